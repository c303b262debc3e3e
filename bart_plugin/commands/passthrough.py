"""``sigpy-priors pics``: ``bart pics`` with a prior, and nothing to tune.

The command line is that of ``bart pics``, files and all. Sizes, noise level and scale
are read from the files; the graph is exported once and kept; coupling, iterations and
``-R TF:`` are added unless they are given; then BART runs.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess  # noqa: S404 - the program that the user installed
import sys
from typing import Any, NamedTuple

import numpy as np

__all__ = ["add_parser"]

_USAGE = """usage: sigpy-priors pics [--prior NAME] [options of bart pics] KSPACE MAPS IMAGE

bart pics with a learned prior: noise levels, coupling and iterations follow from the
data, the graph is exported and kept.

  --prior NAME   bundled prior or file [brain]
  --lamda L      strength of the prior relative to the right one [1]
  --dry-run      print BART's command and do not run it

KSPACE, MAPS and IMAGE are BART's files, without ending. -m, -u, -C and -i replace what
would be chosen; -t gives a trajectory."""

_ALLOWED = {0: "read", 1: "phase", 3: "coils", 4: "sets of maps", 13: "slices"}


class _Asked(NamedTuple):
    prior: str
    lamda: float
    dry: bool
    options: list[str]
    files: list[str]


def add_parser(commands: Any) -> None:
    """Add the command "pics" to an argparse group; its handler is ``args.run``.

    Args:
        commands (argparse action): what ``add_subparsers`` returned.
    """
    # Options are BART's: argparse is to know none.
    p = commands.add_parser(
        "pics",
        help="bart pics with a prior: levels and coupling follow from the data",
        prefix_chars="\0",
        add_help=False,
    )
    p.add_argument("arguments", nargs="*")
    p.set_defaults(run=_run)


def _parsed(arguments: list[str]) -> _Asked:
    words, own = list(arguments), {"--prior": "brain", "--lamda": "1"}
    for name in own:
        for k, word in enumerate(words):
            if word == name and k + 1 < len(words):
                own[name] = words[k + 1]
                del words[k : k + 2]
                break
            if word.startswith(f"{name}="):
                own[name] = word.partition("=")[2]
                del words[k]
                break
    dry = "--dry-run" in words
    words = [w for w in words if w != "--dry-run"]
    options, files = words[:-3], words[-3:]
    if len(files) < 3 or any(f.startswith("-") for f in files):
        raise ValueError(
            f"pics: expected three files at the end, KSPACE MAPS IMAGE, got "
            f"{' '.join(files) or 'none'}.\n{_USAGE}"
        )
    if any(w.startswith("-R") for w in options):
        raise ValueError(
            "-R: the prior is the regularization here; for others use bart pics."
        )
    try:
        lamda = float(own["--lamda"])
    except ValueError:
        raise ValueError(
            f"--lamda: expected a number, got {own['--lamda']!r}."
        ) from None
    return _Asked(own["--prior"], lamda, dry, options, files)


def _given(options: list[str], letter: str) -> str | None:
    """The value of a short option, "" if it has none; None if it is not there."""
    for k, word in enumerate(options):
        if word == f"-{letter}":
            after = options[k + 1] if k + 1 < len(options) else ""
            return "" if letter == "m" else after
        if word.startswith(f"-{letter}") and not word.startswith("--"):
            return word[2:]
    return None


def _read(name: str, path: str) -> np.ndarray:
    """A BART file as (slices, sets of maps, coils, phase 2, H, W)."""
    from sigpy_priors.io.cfl import read_cfl

    data = np.asarray(read_cfl(f"{path}.cfl"))
    dims = data.shape[::-1]
    if any(n > 1 and d not in _ALLOWED for d, n in enumerate(dims)):
        raise ValueError(
            f"{path}: expected {name} in BART's dimensions "
            f"{', '.join(f'{d} ({what})' for d, what in _ALLOWED.items())} alone, got "
            f"{dims}; reconstruct parts of it with bart slice."
        )
    return data.reshape(dims[13], dims[4], dims[3], dims[2], dims[1], dims[0])


def _scan(asked: _Asked) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """K-space, maps and coordinates as arrays of SigPy."""
    from sigpy_priors.io.cfl import read_cfl
    from sigpy_priors.io.slices import read_coord

    kspace, maps, _ = asked.files
    mps = _read("maps", maps)[:, :, :, 0]
    trajectory = _given(asked.options, "t")
    if trajectory is None:
        y = _read("k-space", kspace)[:, 0, :, 0]
        coord = None
    else:
        coord = read_coord(f"{trajectory}.cfl")
        data = np.asarray(read_cfl(f"{kspace}.cfl"))
        y = data.reshape(mps.shape[2], *coord.shape[:-1])
    if len(mps) == 1:
        mps = mps[0]
        y = y[0] if trajectory is None else y
        mps = mps[0] if len(mps) == 1 else mps
    return y, mps, coord


def _command(asked: _Asked, prior: Any) -> tuple[list[str], str]:
    """BART's options with those that follow from the data, and lambda."""
    from bart_plugin.algorithms import Admm, default_levels
    from bart_plugin.cached import cached_graph
    from bart_plugin.calls import map_lamda_of
    from bart_plugin.exporters import GraphSpec
    from bart_plugin.fitting import fitted
    from bart_plugin.layout import checked_scan
    from sigpy_priors.priors.base import DenoiserPrior

    y, mps, coord = _scan(asked)
    method, peak = fitted(y, mps, prior, coord=coord)
    slices = len(y) if y.ndim == 4 else 1
    sets = mps.shape[-4] if mps.ndim == y.ndim + 1 and coord is None else 1
    levels = default_levels(prior, method, None, None)
    spec = GraphSpec(mps.shape[-2:], "pics", *levels, slices, sets, peak)
    graph = cached_graph(prior, spec).with_suffix("")
    if isinstance(prior, DenoiserPrior):
        assert isinstance(method, Admm)
        rho = float(_given(asked.options, "u") or method.rho)
        weight = asked.lamda * rho
    else:
        weight = asked.lamda * map_lamda_of(checked_scan(y, mps), prior)
    ours = shlex.split(f"-S {method.options()}")
    pairs = [[w] for w in ours if w in ("-S", "-m")]
    pairs += [[a, b] for a, b in zip(ours, ours[1:]) if a in ("-u", "-C", "-i", "-s")]
    kept = [w for p in pairs if _given(asked.options, p[0][1:]) is None for w in p]
    return kept, f"TF:{{{graph}}}:{weight:.9g}"


def _run(args: argparse.Namespace) -> int:
    if not args.arguments or {"-h", "--help"} & set(args.arguments):
        print(_USAGE)
        return 0
    from bart_plugin.toolbox.program import find
    from bart_plugin.toolbox.runner import environment
    from sigpy_priors.io.output import refuse_inputs
    from sigpy_priors.load import load_prior

    asked = _parsed(args.arguments)
    kspace, maps, image = asked.files
    for ending in (".cfl", ".hdr"):
        sources = {"kspace": f"{kspace}{ending}", "maps": f"{maps}{ending}"}
        refuse_inputs(f"{image}{ending}", sources)
    prior = load_prior(asked.prior, runtime="torch")
    added, option = _command(asked, prior)
    program = find()
    command = ["pics", *added, *asked.options, "-R", option, *asked.files]
    print(f"bart {shlex.join(command)}", file=sys.stderr)
    if asked.dry:
        return 0
    with environment(program):
        return subprocess.run([str(program), *command]).returncode
