"""``sigpy-priors adapt``: a prior of one's own from a few images."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Declare the subcommand and its options.

    Args:
        commands (argparse action): what ``add_subparsers`` returned.
    """
    p = commands.add_parser(
        "adapt",
        help="adapt a prior to your own images",
        description="Go on training a prior with your own images: twenty slices "
        "suffice. A fifth of them is kept aside, and nothing is written that is not "
        "better there. Prints a table and draws a picture beside the prior.",
    )
    p.add_argument("prior", metavar="PRIOR", help="bundled name or file")
    p.add_argument("data", metavar="DATA", help="folder of images, or one file")
    p.add_argument(
        "-o", "--output", required=True, metavar="OUT.safetensors", help="the new prior"
    )
    p.add_argument("--device", metavar="NAME", help="torch device [a GPU if any]")
    p.add_argument("--minutes", type=float, metavar="M", help="time limit")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Adapt, and show what it gave."""
    from pathlib import Path

    from sigpy_priors.show.plot import compare
    from sigpy_priors.train.adaptation import adapt

    optim = {} if args.minutes is None else {"minutes": args.minutes}
    made = adapt(args.prior, args.data, args.output, args.device, optim)
    picture = Path(args.output).with_suffix(".png")
    images = dict(made.images)
    compare(images, images.pop("truth"), picture)
    print("Denoising PSNR in dB on images kept aside; change on the bundled example:")
    print(made.table())
    print(f"{made.file}: finished; picture {picture}; sigpy-priors info {made.file}")
