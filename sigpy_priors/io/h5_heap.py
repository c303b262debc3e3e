"""The heaps of an HDF5 file, in which ISMRMRD keeps its samples and its header.

The HDF5 library walks from object to object by their sizes, and where a damaged file
says that an object has no size it walks on the spot, without end and out of Python's
reach. The sizes are therefore looked at first.

References:
    HDF5 File Format Specification, version 3.0, III.E "Global Heap".
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from sigpy_priors.io.files import FileError, check_file

__all__ = ["check_heaps"]

_HEAD = b"GCOL\x01\0\0\0"
_FIRST = 16  # bytes before the first object: signature, version, size
_OBJECT = struct.Struct("<HHIQ")  # index, references, reserved, size


def check_heaps(path: str | Path) -> None:
    """Refuse a file whose heaps cannot be walked through.

    Args:
        path (str or Path): an HDF5 file.

    Raises:
        FileError: if an object in a heap has an impossible size.
    """
    path = check_file(path)
    if not path.stat().st_size:
        return
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        at = data.find(_HEAD)
        while at >= 0:
            size = (
                struct.unpack_from("<Q", data, at + 8)[0] if at + 16 <= len(data) else 0
            )
            if not _FIRST <= size <= len(data) - at or not _walk(data, at, at + size):
                raise FileError(
                    f"{path}: not an HDF5 file that can be read, or damaged (the heap "
                    f"at byte {at}); copy it again."
                )
            at = data.find(_HEAD, at + size)


def _walk(data: mmap.mmap, at: int, end: int) -> bool:
    """Whether the objects of a heap lead to its end."""
    at += _FIRST
    while at + _OBJECT.size <= end:
        index, _, _, size = _OBJECT.unpack_from(data, at)
        # Object 0 is the free space, whose size counts from its own beginning.
        step = size if index == 0 else _OBJECT.size + (size + 7) // 8 * 8
        if step < _OBJECT.size or at + step > end:
            return False
        at += step
    return True
