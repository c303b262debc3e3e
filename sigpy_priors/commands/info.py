"""``sigpy-priors list`` and ``sigpy-priors info``: which priors there are."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Declare both subcommands.

    Args:
        commands (argparse action): what ``add_subparsers`` returned.
    """
    p = commands.add_parser("list", help="list the bundled priors")
    p.set_defaults(run=run_list)
    p = commands.add_parser("info", help="show the card of a prior")
    p.add_argument("name", metavar="NAME", help="bundled name or file")
    p.set_defaults(run=run_info)


def run_list(args: argparse.Namespace) -> None:
    """One line for each bundled prior."""
    from sigpy_priors.load import read_card
    from sigpy_priors.priors.file import bundled

    for name, path in bundled().items():
        card = read_card(path)
        if card.sigma_range is None:
            what = f"{card.kind} of images with noise {card.sigma:g}"
        else:
            low, high = card.sigma_range
            what = f"denoiser, sigma {low:g} to {high:g}"
        size = path.stat().st_size / 1e6
        print(f"{name}\t{size:.1f} MB\t{what}\t{card.license}")


def run_info(args: argparse.Namespace) -> None:
    """The whole card, as YAML."""
    import yaml

    from sigpy_priors.load import read_card

    card = read_card(args.name).model_dump(mode="json")
    if card["architecture"] == "onnx":
        from sigpy_priors.onnx.engine.runtime import describe

        card = {"runtime": describe(), **card}
    print(yaml.safe_dump(card, sort_keys=False, allow_unicode=True).rstrip())
