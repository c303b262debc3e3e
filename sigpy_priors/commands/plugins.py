"""Subcommands of other packages, found without importing them.

A package adds one with an entry point, in its ``pyproject.toml``::

    [project.entry-points."sigpy_priors.commands"]
    "export.myformat" = "mypackage.commands:add_parser"
    "mycommand" = "mypackage.commands:add_command"

The named function is called with what ``add_subparsers`` of ``export``, or of
``sigpy-priors`` itself, returned, adds its parser there, and sets the default ``run``
to a function of the parsed arguments.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

__all__ = ["GROUP", "add_plugins", "plugins"]

GROUP = "sigpy_priors.commands"


def plugins(command: str) -> dict[str, EntryPoint]:
    """What other packages add to a command.

    Args:
        command (str): a command with subcommands, such as "export"; "" is
            ``sigpy-priors`` itself.

    Returns:
        dict: name of the subcommand to its entry point, in alphabetical order.
    """
    prefix = f"{command}." if command else ""
    found = {
        entry.name.removeprefix(prefix): entry
        for entry in entry_points(group=GROUP)
        if entry.name.startswith(prefix) and "." not in entry.name[len(prefix) :]
    }
    return dict(sorted(found.items()))


def add_plugins(
    command: str, subparsers: Any, asked: Sequence[str] | None = None
) -> None:
    """Let other packages declare their subcommands.

    One that cannot be imported is named on stderr, and keeps nobody from using
    the others.

    Args:
        command (str): as of :func:`plugins`.
        subparsers (argparse action): what ``add_subparsers`` of it returned.
        asked (sequence of str or None): words of the command line; what is not
            among them is listed and not imported. None imports all.
    """
    for name, entry in plugins(command).items():
        if asked is not None and name not in asked:
            subparsers.add_parser(name, help=f"added by {entry.module.split('.')[0]}")
            continue
        try:
            add_parser = entry.load()
        except (ImportError, AttributeError) as e:
            print(
                f"sigpy-priors: warning: {f'{command} {name}'.strip()}, registered as "
                f"{entry.value!r}, cannot be imported ({e}); reinstall its package.",
                file=sys.stderr,
            )
        else:
            add_parser(subparsers)
