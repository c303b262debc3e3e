"""``sigpy-priors augment``: complex images for training from magnitudes."""

from __future__ import annotations

import argparse
from typing import Any

from sigpy_priors.data import DEFAULT_PRIOR

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Declare the subcommand and its options.

    Args:
        commands (argparse action): what ``add_subparsers`` returned.
    """
    p = commands.add_parser(
        "augment",
        help="draw phases for magnitude images, to train on",
        description="Draw a phase for every magnitude slice from a complex prior, and "
        "write a data set that train takes, with a picture beside it. A run that was "
        "interrupted continues when the same command is given again.",
    )
    p.add_argument(
        "magnitudes", metavar="MAGNITUDES", help="folder of images, or one file"
    )
    p.add_argument("-o", "--output", required=True, metavar="OUT.npz")
    p.add_argument(
        "--prior",
        default=DEFAULT_PRIOR,
        metavar="NAME",
        help=f"bundled name or file [{DEFAULT_PRIOR}]",
    )
    p.add_argument(
        "-n",
        "--num-samples",
        type=int,
        default=1,
        metavar="N",
        help="of each slice [1]",
    )
    p.add_argument("--seed", type=int, default=0, metavar="S", help="[0]")
    p.add_argument(
        "--device", type=int, default=-1, metavar="ID", help="GPU number, or -1 [-1]"
    )
    p.add_argument(
        "--restart",
        action="store_true",
        help="discard slices of an unfinished run, replace an output made otherwise",
    )
    p.add_argument("--scheduler", metavar="ADDRESS", help="of Dask, or `local` [none]")
    p.add_argument(
        "--workers", type=int, metavar="N", help="processes of --scheduler local"
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Draw what is missing, write, and show some of it."""
    from pathlib import Path

    from sigpy_priors.show.plot import phases
    from sigpy_priors.volume.augmentation import augment

    made = augment(
        args.magnitudes, args.output, args.prior, args.num_samples, args.seed,
        args.device, restart=args.restart, scheduler=args.scheduler,
        workers=args.workers,
    )  # fmt: skip
    picture = Path(args.output).with_suffix(".png")
    phases(made[:: max(len(made) // 6, 1)][:6], picture)
    print(f"{args.output}: {len(made)} complex slices {made.shape[1:]}; {picture}")
