"""``sigpy-priors export bart NAME PATH``: a prior as a graph for BART.

The command line finds this by the entry point "export.bart" of the group
``sigpy_priors.commands``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bart_plugin.algorithms import NAMES
from bart_plugin.graph.contract import KINDS

__all__ = ["add_parser"]


def add_parser(subparsers: Any) -> None:
    """Add the format "bart" to an argparse group; its handler is ``args.run``.

    Args:
        subparsers (argparse action): what ``add_subparsers`` of "export" returned.
    """
    p = subparsers.add_parser("bart", help="a graph for bart pics, nlinv or sample")
    p.add_argument("name", help="bundled prior or file")
    p.add_argument("path", help="graph to write; with .pt TorchScript, for sample")
    p.add_argument(
        "--shape",
        type=_several(int),
        metavar="H,W",
        help="image as SigPy has it; BART's dimensions are W,H [those of --kspace]",
    )
    p.add_argument(
        "--kspace",
        metavar="FILE",
        help="a scan whose noise decides levels and coupling of pics",
    )
    p.add_argument(
        "--sigma",
        type=_several(float),
        metavar="S[,S...]",
        help="noise level at the prior's image scale, or one per iteration; "
        "default: annealing",
    )
    p.add_argument(
        "--relaxation",
        type=float,
        metavar="E",
        help="how far each step goes to the denoised image, in (0, 1]",
    )
    p.add_argument("--kind", choices=KINDS, default="pics")
    p.add_argument(
        "--algorithm", choices=NAMES, default="admm", help="of pics, default admm"
    )
    p.add_argument("--steps", type=int, help="iterations of the annealing")
    p.add_argument("--slices", type=int, default=1, help="slices, BART's dimension 13")
    p.add_argument(
        "--maps",
        default="1",
        metavar="N|FILE",
        help="sets of ESPIRiT maps, or beside --kspace its maps [estimated]",
    )
    p.add_argument(
        "--peak",
        type=float,
        help="greatest image magnitude at the prior's scale [1, or by --kspace]",
    )
    p.set_defaults(run=_run)


def _several(kind: type) -> Callable[[str], tuple]:
    """A parser of numbers with commas between them."""

    def parse(text: str) -> tuple:
        return tuple(kind(n) for n in text.split(","))

    parse.__name__ = f"{kind.__name__}s"
    return parse


def _run(args: argparse.Namespace) -> int:
    from bart_plugin.exporters import export
    from sigpy_priors.io.output import refuse_inputs
    from sigpy_priors.load import load_prior

    for path in (args.path, f"{args.path}.json", f"{args.path}.pb"):
        sources = {"prior": args.name, "kspace": args.kspace, "maps": args.maps}
        refuse_inputs(path, sources)
    prior = load_prior(args.name, runtime="torch")
    algorithm, peak, shape, maps = NAMES[args.algorithm], args.peak, args.shape, 1
    if args.maps.isdecimal():
        maps = int(args.maps)
    elif args.kspace is None:
        raise ValueError(f"--maps {args.maps}: a file of maps goes with --kspace.")
    if args.kspace is not None:
        fit, size = _fit(args, prior)
        algorithm, shape = fit.algorithm, shape or size
        peak = fit.peak if peak is None else peak
    if shape is None:
        raise ValueError("--shape: give the size H,W, or --kspace FILE.")
    if args.steps is not None:
        algorithm = replace(algorithm, max_iter=args.steps)
    written = export(
        prior,
        args.path,
        shape,
        sigma=args.sigma,
        kind=args.kind,
        slices=args.slices,
        maps=maps,
        peak=1.0 if peak is None else peak,
        relaxation=args.relaxation,
        algorithm=algorithm,
    )
    print(f"wrote {written.graph} and {written.card}\nuse it with\n  {written.command}")
    print(_remarks(args.kind, written.command, shape, args.slices, maps))
    return 0


def _remarks(
    kind: str, command: str, shape: tuple[int, ...], slices: int, maps: int
) -> str:
    """What the printed command holds for: BART's own messages do not say it."""
    size = ":".join(map(str, shape[::-1]))
    said = f"for images of {size} in BART, {maps} set(s) of maps, {slices} slice(s)"
    if kind == "pics":
        said += "; its numbers belong together"
        if " -m " not in command:
            # Neither FISTA nor its step converges on a trajectory otherwise.
            said += "; with -t add -e, else the image is NaN"
    return said


def _fit(args: argparse.Namespace, prior: Any) -> tuple[Any, tuple[int, ...]]:
    """What a scan in files asks for, and the size of its image."""
    from bart_plugin.fitting import fitted
    from sigpy_priors.io.slices import open_kspace, open_maps
    from sigpy_priors.priors.base import DenoiserPrior
    from sigpy_priors.scan.maps import estimate_maps

    asked = args.kind, args.algorithm, args.sigma
    if not isinstance(prior, DenoiserPrior) or asked != ("pics", "admm", None):
        raise ValueError(
            f"--kspace: decides the levels of a denoiser for ADMM in pics, got {prior!r}, "
            f"kind {args.kind}, algorithm {args.algorithm}, sigma {args.sigma}; leave it "
            f"out, or use sigpy-priors pics."
        )
    kspace = open_kspace(args.kspace)
    middle = len(kspace) // 2
    y = kspace[middle]
    if args.maps.isdecimal():
        mps = estimate_maps(y)
    else:
        mps = open_maps(args.maps, kspace)[middle]
    return fitted(y, mps, prior, args.algorithm), mps.shape[-2:]
