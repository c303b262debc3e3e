"""Numpy and HDF5 files: opened, or one line on what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import h5py

__all__ = ["FileError", "load_npy", "open_h5"]


class FileError(ValueError):
    """A file that cannot be read; the message begins with its name."""


def load_npy(path: str | Path) -> np.ndarray:
    """Map the array of a ``.npy`` file into memory, read-only.

    Args:
        path (str or Path): the file.

    Returns:
        array: as stored; pickled objects are refused.

    Raises:
        FileError: if it is no such file, or cut short.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as e:
        raise FileError(
            f"{path}: not a numpy array file, or cut short ({e}); save it again "
            f"with np.save."
        ) from e


def open_h5(path: str | Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Args:
        path (str or Path): the file.

    Returns:
        h5py.File: to be closed by the caller.

    Raises:
        FileError: if it is no such file, or cut short.
    """
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as e:
        raise FileError(
            f"{path}: not an HDF5 file, or cut short ({e}); copy it again."
        ) from e
