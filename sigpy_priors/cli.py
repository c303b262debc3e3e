"""The command ``sigpy-priors``. Each subcommand imports what it needs itself."""

import argparse
import sys

from sigpy_priors import __version__
from sigpy_priors.commands import demo, export, import_, recon, sample, train
from sigpy_priors.commands import info as priors

__all__ = ["main"]


def _parser(argv):
    parser = argparse.ArgumentParser(
        prog="sigpy-priors",
        description="Learned MR image priors for SigPy and BART.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (recon, sample, priors, train, demo):
        module.add_parser(commands)
    # Options of these two load much: only when that command is given.
    export.add_parser(commands, load="export" in argv)
    import_.add_parser(commands, load="import" in argv)
    return parser


def main(argv=None):
    """Run one command.

    Args:
        argv (list of str or None): arguments; default the process's.

    Returns:
        int: exit status: 0, 2 for a wrong input, 130 when interrupted.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        args = _parser(argv).parse_args(argv)
        return args.run(args) or 0
    except KeyboardInterrupt as e:
        # Training says how to go on.
        print(f"sigpy-priors: {str(e) or 'interrupted'}", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as e:
        print(f"sigpy-priors: error: {e}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
