"""The command ``sigpy-priors``. Each subcommand imports what it needs itself."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence

from sigpy_priors import __version__
from sigpy_priors.backend.errors import describe
from sigpy_priors.commands import (
    adapt,
    augment_data,
    demo,
    example_files,
    export,
    import_,
    info,
    recon,
    sample,
    train,
)
from sigpy_priors.commands.plugins import add_plugins

__all__ = ["main"]


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sigpy-priors",
        description="Learned MR image priors for SigPy and BART.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--debug", action="store_true", help="show where an error was raised"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (
        recon,
        sample,
        info,
        train,
        adapt,
        augment_data,
        demo,
        example_files,
    ):
        module.add_parser(commands)
    # Options of these two load much: only when that command is given.
    export.add_parser(commands, load="export" in argv)
    import_.add_parser(commands, load="import" in argv)
    add_plugins("", commands, asked=argv)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    An error is one line; ``--debug``, before or after the command, shows where
    it was raised.

    Args:
        argv (list of str or None): arguments; default the process's.

    Returns:
        int: exit status: 0, 2 after an error, 130 when interrupted.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in argv
    argv = [a for a in argv if a != "--debug"]
    try:
        args = _parser(argv).parse_args(argv)
        return args.run(args) or 0
    except KeyboardInterrupt as e:
        # Training says how to go on.
        print(f"sigpy-priors: {str(e) or 'interrupted'}", file=sys.stderr)
        return 130
    except Exception as e:
        if debug:
            traceback.print_exception(e)
        print(f"sigpy-priors: error: {describe(e)}", file=sys.stderr)
        return 2
