"""Files that are whole or not there, whenever a process is killed or a disk is full."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from safetensors import SafetensorError

__all__ = ["remove_leftovers", "write_atomic", "writing"]


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Whatever the system refuses within a ``with`` is one line that names the file.

    Args:
        path (str or Path): what is being written.

    Raises:
        OSError: in place of one that says nothing of the file, such as that of a full
            disk, and of what safetensors raises.
    """
    try:
        yield
    except (OSError, SafetensorError) as e:
        if str(e).startswith(f"{path}: "):
            raise
        code = getattr(e, "errno", None)
        error = OSError(
            f"{path}: cannot be written ({os.strerror(code) if code else e}); make room "
            f"or choose another folder, and give the same command again."
        )
        error.errno = code
        raise error from e


def write_atomic(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call ``write(temporary path)``, then put the result in place at once.

    A reader, or a run killed at any moment, sees the old file or the new one. The
    temporary file lies in a folder that nobody else may enter, so that no name in it
    can be taken, or made to lead elsewhere, by those who share ``path``'s folder.

    Args:
        path (str or Path): file to write; a link there is replaced, not followed.
        write (callable): takes the path of a temporary file and fills it.

    Raises:
        OSError: if it cannot be written; an older file is as it was.
    """
    path = Path(path)
    with (
        writing(path),
        tempfile.TemporaryDirectory(
            prefix=f".{path.name}.", suffix=".tmp", dir=path.parent
        ) as folder,
    ):
        tmp = Path(folder) / path.name  # with its ending, which some writers look at
        tmp.touch()
        mode = tmp.stat().st_mode  # safetensors would leave it to its owner only
        write(tmp)
        tmp.chmod(mode)
        with open(tmp, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(tmp, path)


def remove_leftovers(path: str | Path) -> None:
    """Remove temporary files of ``path`` that a killed process left behind."""
    path = Path(path)
    for tmp in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if tmp.is_dir() and not tmp.is_symlink():
            shutil.rmtree(tmp, ignore_errors=True)
        else:
            tmp.unlink(missing_ok=True)
