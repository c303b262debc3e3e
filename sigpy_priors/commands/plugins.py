"""Subcommands of other packages, found without importing them.

A package adds one with an entry point, in its ``pyproject.toml``::

    [project.entry-points."sigpy_priors.commands"]
    "export.myformat" = "mypackage.commands:add_parser"

The named function is called with what ``add_subparsers`` of ``export`` returned,
adds its parser there, and sets the default ``run`` to a function of the parsed
arguments.
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

__all__ = ["GROUP", "add_plugins", "plugins"]

GROUP = "sigpy_priors.commands"


def plugins(command: str) -> dict[str, EntryPoint]:
    """What other packages add to a command.

    Args:
        command (str): a command with subcommands, such as "export".

    Returns:
        dict: name of the subcommand to its entry point, in alphabetical order.
    """
    prefix = f"{command}."
    found = {
        entry.name.removeprefix(prefix): entry
        for entry in entry_points(group=GROUP)
        if entry.name.startswith(prefix)
    }
    return dict(sorted(found.items()))


def add_plugins(command: str, subparsers: Any) -> None:
    """Let other packages declare their subcommands.

    One that cannot be imported is named on stderr, and keeps nobody from using
    the others.

    Args:
        command (str): as of :func:`plugins`.
        subparsers (argparse action): what ``add_subparsers`` of it returned.
    """
    for name, entry in plugins(command).items():
        try:
            add_parser = entry.load()
        except (ImportError, AttributeError) as e:
            print(
                f"sigpy-priors: warning: {command} {name}, registered as "
                f"{entry.value!r}, cannot be imported ({e}); reinstall its package.",
                file=sys.stderr,
            )
        else:
            add_parser(subparsers)
