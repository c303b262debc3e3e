"""A ``pics`` with TensorFlow for the stock BART 0.8.00 of Debian and Ubuntu."""

from __future__ import annotations

import os
from pathlib import Path

from bart_plugin.toolbox.builder import BuildError
from bart_plugin.toolbox.program import cached
from sigpy_priors.io.cache import cache

__all__ = ["COMMANDS", "install_pics", "uninstall_pics"]

# Where stock BART 0.8.00 looks for a command before its own ones.
COMMANDS = Path("/usr/local/lib/bart/commands")


def install_pics(folder: str | Path = COMMANDS) -> Path:
    """Put a TensorFlow-enabled ``pics`` where stock BART 0.8.00 tries it first.

    Args:
        folder (str or Path): where that BART looks for commands.

    Returns:
        Path: the link that was made.

    Raises:
        BuildError: if there is no build of 0.8.00, the place is taken by
            something else, or may not be written.
    """
    bart = cached("0.8.00")
    if bart is None:
        raise BuildError(
            "there is no TensorFlow-enabled BART 0.8.00 yet: "
            "python -m bart_plugin build --version 0.8.00"
        )
    link = Path(folder) / "pics"
    if link.exists() and not _ours(link):
        raise BuildError(f"{link} is there already and not ours: move it away first.")
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        # BART runs the command that it is called by, so a link is enough.
        link.symlink_to(bart)
    except PermissionError:
        raise BuildError(f"{link} may not be written: run this as root.") from None
    return link


def uninstall_pics(folder: str | Path = COMMANDS) -> bool:
    """Take away what :func:`install_pics` put there.

    Args:
        folder (str or Path): where that BART looks for commands.

    Returns:
        bool: whether there was anything.

    Raises:
        BuildError: if it may not be removed.
    """
    link = Path(folder) / "pics"
    if not _ours(link):
        return False
    try:
        link.unlink()
    except PermissionError:
        raise BuildError(f"{link} may not be removed: run this as root.") from None
    return True


def _ours(link: Path) -> bool:
    """Whether it points into a cache: this one, or that of another user's call."""
    if not link.is_symlink():
        return False
    target = os.readlink(link)
    return "sigpy-priors" in target or Path(target).is_relative_to(cache())
