"""``sigpy-priors import``: a network of yours as a prior."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

__all__ = ["add_parser"]

# Options named like arguments of import_onnx, and like those of convert.
_NETWORK = (
    "inputs",
    "channels",
    "layout",
    "parametrization",
    "schedule",
    "sigma",
    "scale",
)
_CONVERSION = (
    "framework",
    "python",
    "builder",
    "builder_options",
    "spec",
    "tensors",
    "trust",
)


def add_parser(commands: Any, load: bool) -> None:
    """Declare the subcommand; with ``load``, its options too.

    Args:
        commands (argparse action): what ``add_subparsers`` returned.
        load (bool): whether the command is given, so that what its options may
            be is worth importing.
    """
    p = commands.add_parser(
        "import",
        help="make a prior of a trained network",
        description="Make a prior of a denoiser, score or diffusion network. What is "
        "not stated is found by letting the network denoise a bundled slice, and "
        "shown.",
    )
    if load:
        p.add_argument("model", metavar="MODEL", help="ONNX file, or what becomes one")
        p.add_argument("-o", "--out", required=True, metavar="OUT.onnx")
        p.add_argument("--name", help="of the prior [that of the file]")
        _add_network_arguments(p)
        _add_conversion_arguments(p)
        p.set_defaults(run=run)


def _add_network_arguments(p: argparse.ArgumentParser) -> None:
    """What the network expects and gives."""
    from sigpy_priors.models.precond import OUTPUTS
    from sigpy_priors.models.schedules import SCHEDULES
    from sigpy_priors.onnx.adapter import CHANNELS, LAYOUTS, SIGMAS

    p.add_argument(
        "--inputs", metavar="X,SIGMA", help="names of image and noise input; X: blind"
    )
    p.add_argument(
        "--channels", choices=CHANNELS, metavar="C", help=" | ".join(CHANNELS)
    )
    p.add_argument("--layout", choices=LAYOUTS)
    p.add_argument(
        "--parametrization", metavar="P", help=f"x0, {', '.join(OUTPUTS)}, edm[:DATA]"
    )
    p.add_argument(
        "--schedule",
        metavar="S",
        help=f"how noise is stated: {', '.join(SCHEDULES)}, with :numbers, or a .json "
        "file with betas or sigmas",
    )
    p.add_argument("--sigma", choices=SIGMAS, help="whose deviation its sigma is")
    p.add_argument(
        "--scale", metavar="A[,B]", help="it sees A x + B of an image of magnitude 1"
    )
    p.add_argument("--sigma-range", metavar="LOW,HIGH", help="complex noise levels")


def _add_conversion_arguments(p: argparse.ArgumentParser) -> None:
    """How another framework's model becomes an ONNX file."""
    from sigpy_priors.importers.conversion import FRAMEWORKS, PYTHON

    group = p.add_argument_group("models of PyTorch, TensorFlow, JAX, diffusers")
    group.add_argument("--framework", choices=FRAMEWORKS, help="default: by the file")
    group.add_argument(
        "--python", metavar="PATH", help=f"Python that has the framework (${PYTHON})"
    )
    group.add_argument(
        "--builder", metavar="MODULE:CALLABLE", help="what builds the network"
    )
    group.add_argument(
        "--builder-options", metavar="JSON", type=json.loads, help="arguments for it"
    )
    group.add_argument(
        "--spec", help="inputs for a trace, such as 'x:N,2,8*H,8*W t:N:int64'"
    )
    group.add_argument(
        "--trust", action="store_true", help="run code that a .pt2 file may hold"
    )
    group.add_argument(
        "--tensors", metavar="IN,...->OUT", help="tensors of a TensorFlow 1 graph"
    )


def run(args: argparse.Namespace) -> None:
    """Turn the model into ONNX where it is not, then probe it and write the prior."""
    import tempfile

    from sigpy_priors import importers
    from sigpy_priors.importers.foreign import import_onnx
    from sigpy_priors.io.output import check_writable, refuse_inputs

    check_writable(args.out)
    refuse_inputs(args.out, {"model": args.model})
    network = {name: getattr(args, name) for name in _NETWORK}
    if args.sigma_range:
        network["sigma_range"] = tuple(float(v) for v in args.sigma_range.split(","))
    network["name"] = args.name or Path(args.model).stem
    with tempfile.TemporaryDirectory() as folder:
        source = Path(args.model)
        if source.suffix != ".onnx":
            source = Path(folder) / "model.onnx"
            conversion = {name: getattr(args, name) for name in _CONVERSION}
            importers.convert(args.model, source, show=print, **conversion)
        import_onnx(source, args.out, **network)
    print(f"wrote {args.out}: sigpy-priors info {args.out}")
