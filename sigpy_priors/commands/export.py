"""``sigpy-priors export``: priors for other programs."""

from __future__ import annotations

import argparse
from typing import Any

from sigpy_priors.commands.plugins import add_plugins

__all__ = ["add_parser"]


def add_parser(commands: Any, load: bool) -> None:
    """Declare the subcommand; with ``load``, the formats it knows too.

    Args:
        commands (argparse action): what ``add_subparsers`` returned.
        load (bool): whether the command is given, so that its formats, which
            other packages may add, are worth importing.
    """
    p = commands.add_parser("export", help="export a prior, for BART or any runtime")
    if load:
        formats = p.add_subparsers(dest="format", required=True, metavar="FORMAT")
        add_plugins("export", formats)
        _add_onnx(formats)


def _add_onnx(formats: Any) -> None:
    p = formats.add_parser("onnx", help="an ONNX file, the card inside")
    p.add_argument("name", help="bundled prior or file")
    p.add_argument("path", help="file to write")
    smaller = p.add_mutually_exclusive_group()
    smaller.add_argument(
        "--half", action="store_true", help="half precision, if that loses < 0.1 dB"
    )
    smaller.add_argument(
        "--int8", action="store_true", help="8-bit convolutions, if that loses < 0.1 dB"
    )
    p.set_defaults(run=_run_onnx)


def _run_onnx(args: argparse.Namespace) -> None:
    from sigpy_priors.io.output import check_writable, refuse_inputs
    from sigpy_priors.load import load_prior
    from sigpy_priors.onnx import export_onnx

    check_writable(args.path)
    refuse_inputs(args.path, {"prior": args.name})

    prior = load_prior(args.name, runtime="torch")
    card = export_onnx(prior, args.path, args.half, args.int8)
    print(f"wrote {args.path}\n{card.notes.splitlines()[-1]}")
