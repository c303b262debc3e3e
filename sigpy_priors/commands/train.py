"""``sigpy-priors train``: images to a prior."""

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
        "train",
        help="train a prior",
        description="Train a prior. Give the same command again to continue a run "
        "that was interrupted; start it with torchrun for several processes.",
    )
    p.add_argument("config", metavar="CONFIG.yaml")
    p.add_argument("--data", metavar="DIR", help="folder of the training images")
    p.add_argument("--out", metavar="DIR", help="folder for checkpoint, log and prior")
    p.add_argument("--device", metavar="NAME", help="torch device [a GPU if any]")
    p.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="time limit of the whole run, in place of its steps: checkpoint and prior "
        "are written before it",
    )
    p.add_argument(
        "--print-config",
        action="store_true",
        help="show the whole config, defaults included, and stop",
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Validate the config, then train."""
    from sigpy_priors.train.config import dump_config, load_config

    changes = {} if args.minutes is None else {"optim__minutes": args.minutes}
    config = load_config(args.config, **changes)
    if args.print_config:
        print(dump_config(config).rstrip())
        return
    for name in ("data", "out"):
        if getattr(args, name) is None:
            raise ValueError(f"train needs --{name} DIR.")
    from sigpy_priors.train.loop import train

    if config.data.augment == "sampled":
        from sigpy_priors.volume.augmentation import with_sampled_phases

        config = with_sampled_phases(config, args.data, args.out)
    prior = train(config, args.data, args.out, args.device)
    if prior is not None:
        print(f"{prior}: finished; sigpy-priors info {prior}")
