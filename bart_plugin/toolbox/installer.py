"""A ``pics`` with TensorFlow for the stock BART 0.8.00 of Debian and Ubuntu.

Every user's ``bart pics``, root's too, is the installed program. So it is a copy, with
copies of its libraries beside it, and root takes both only from where nobody else can
write.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from bart_plugin.toolbox.builder import BuildError
from bart_plugin.toolbox.elf import read_dynamic, with_runpath
from sigpy_priors.io.cache import cache

__all__ = ["COMMANDS", "install_pics", "uninstall_pics"]

# Where stock BART 0.8.00 looks for a command before its own ones.
COMMANDS = Path("/usr/local/lib/bart/commands")

_LIBRARIES = "pics.lib"  # beside the program
_BUILD = "python -m bart_plugin build --version 0.8.00"


def install_pics(folder: str | Path = COMMANDS) -> Path:
    """Put a TensorFlow-enabled ``pics`` where stock BART 0.8.00 tries it first.

    Args:
        folder (str or Path): where that BART looks for commands.

    Returns:
        Path: the program, a copy; its libraries are in ``pics.lib`` beside it.

    Raises:
        BuildError: if there is no build of 0.8.00, others may write to it or to the
            folder, or the place is taken by something else or may not be written.
    """
    bart = cache() / "bart-0.8.00" / "bart"
    if not bart.is_file():
        raise BuildError(f"there is no TensorFlow-enabled BART 0.8.00 yet: {_BUILD}")
    program = Path(folder) / "pics"
    if (program.exists() or program.is_symlink()) and not _ours(program):
        raise BuildError(
            f"{program} is there already and not ours: move it away first."
        )
    data, libraries = _trusted_build(bart.resolve())
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        _check_trust(program.parent.resolve())
        _copy(program, data, libraries)
    except PermissionError:
        raise BuildError(f"{program} may not be written: run this as root.") from None
    return program


def uninstall_pics(folder: str | Path = COMMANDS) -> bool:
    """Take away what :func:`install_pics` put there.

    Args:
        folder (str or Path): where that BART looks for commands.

    Returns:
        bool: whether there was anything.

    Raises:
        BuildError: if it may not be removed.
    """
    program = Path(folder) / "pics"
    if not _ours(program):
        return False
    try:
        program.unlink()
        shutil.rmtree(program.with_name(_LIBRARIES), ignore_errors=True)
    except PermissionError:
        raise BuildError(f"{program} may not be removed: run this as root.") from None
    return True


def _trusted_build(bart: Path) -> tuple[bytes, list[Path]]:
    """The program as it is to be installed, and the libraries that go with it.

    Nothing of it is run: it is another user's until it has been looked at.
    """
    _check_trust(bart)
    data = bart.read_bytes()
    try:
        dynamic = read_dynamic(data)
        data = with_runpath(data, f"$ORIGIN/{_LIBRARIES}")
    except ValueError as e:
        raise BuildError(f"{bart} is no build of BART ({e}): {_BUILD}") from e
    beside = [Path(dynamic.runpath) / name for name in dynamic.needed]
    libraries = [p.resolve() for p in beside if p.exists()]
    for library in libraries:
        _check_trust(library)
    if not any("tensorflow" in p.name for p in libraries):
        raise BuildError(f"{dynamic.runpath} has no TensorFlow any more: {_BUILD}")
    return data, libraries


def _check_trust(path: Path) -> None:
    """Refuse what anybody but root and the caller can change, or its folders."""
    owners = {0, os.geteuid()}
    child = None
    for part in (path, *path.parents):
        status = part.lstat()
        shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        # In a sticky folder others can add files, not replace ours.
        if shared and child is not None and status.st_mode & stat.S_ISVTX:
            shared = 0
        if status.st_uid not in owners or shared:
            raise BuildError(
                f"{part} can be changed by others than root: build as the user who "
                f"installs (sudo {_BUILD}), in a folder that is theirs alone."
            )
        child = part


def _copy(program: Path, data: bytes, libraries: list[Path]) -> None:
    """Each is there whole or not at all; readable by everybody."""
    folder = program.with_name(_LIBRARIES)
    with tempfile.TemporaryDirectory(dir=program.parent) as work:
        made = Path(work) / _LIBRARIES
        made.mkdir()
        for library in libraries:
            shutil.copyfile(library, made / library.name)
            (made / library.name).chmod(0o644)
        made.chmod(0o755)
        new = Path(work) / "pics"
        new.write_bytes(data)
        new.chmod(0o755)
        if folder.exists():
            os.replace(folder, Path(work) / "old")
        os.replace(made, folder)
        os.replace(new, program)


def _ours(program: Path) -> bool:
    """Whether it was put there by this, or is a link of earlier versions."""
    if program.is_symlink():
        target = os.readlink(program)
        return "sigpy-priors" in target or Path(target).is_relative_to(cache())
    try:
        return read_dynamic(program.read_bytes()).runpath == f"$ORIGIN/{_LIBRARIES}"
    except (OSError, ValueError):
        return False
