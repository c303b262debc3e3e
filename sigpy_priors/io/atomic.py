"""Files that are whole or not there, whenever a process is killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["write_atomic", "remove_leftovers"]


def write_atomic(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call ``write(temporary path)``, then put the result in place at once.

    A reader, or a run killed at any moment, sees the old file or the new one.

    Args:
        path (str or Path): file to write.
        write (callable): takes the path of a temporary file and fills it.
    """
    path = Path(path)
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        tmp.touch()
        mode = tmp.stat().st_mode  # safetensors would leave it to its owner only
        write(tmp)
        tmp.chmod(mode)
        with open(tmp, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(tmp, path)
    finally:
        tmp.unlink(missing_ok=True)


def remove_leftovers(path: str | Path) -> None:
    """Remove temporary files of ``path`` that a killed process left behind."""
    path = Path(path)
    for tmp in path.parent.glob(f".{path.name}.*.tmp"):
        tmp.unlink(missing_ok=True)
