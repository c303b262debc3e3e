"""The one door for files: each is opened here, or one line says what is wrong.

Files come from other people and other machines. What a file declares about itself is
compared with the file and with the free memory before anything is allocated; nothing
but plain files is opened, since a pipe is waited for without end; and HDF5 files must
hold their data themselves. Nothing here unpickles, decompresses without a limit, or
follows a file to other files.

=============  ========================  ==============================================
file           door                      limits
=============  ========================  ==============================================
.npy           :func:`load_npy`          plain numbers; the size of the file
.npz           :func:`load_npz`          the same for each member; zip's compression
.h5            :func:`open_h5`,          links and data inside the file; filters;
               :func:`h5_dataset`        ratio of declared to stored size; memory
text, YAML     :func:`read_text`         1 MB, UTF-8
the rest       :func:`check_file`,       plain file; :func:`check_memory` for what is
               :func:`reading`           declared, and any error in one line
=============  ========================  ==============================================
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from sigpy_priors.backend.errors import describe
from sigpy_priors.backend.memory import main_memory_left

if TYPE_CHECKING:
    import h5py

__all__ = [
    "DEFLATE",
    "FileError",
    "check_file",
    "check_memory",
    "check_ratio",
    "h5_dataset",
    "load_npy",
    "load_npz",
    "open_h5",
    "read_text",
    "reading",
]

_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISSOCK: "a socket",
}
# Deflate makes a file at most 1032 times smaller; measured data, with all their
# zeros, are far from that.
DEFLATE = 1100
_SMALL = 1 << 26  # what is declared below this does no harm
_TEXT = 1 << 20
_HEADER = 1 << 16  # of .npy; numpy's own are a few hundred bytes
_LINKS = 16


class FileError(ValueError):
    """A file that cannot be read; the message begins with its name."""


def check_file(path: str | Path) -> Path:
    """Refuse what is no plain file.

    Args:
        path (str or Path): the file; symbolic links to plain files are one.

    Returns:
        Path: the same.

    Raises:
        FileError: if there is none, links go in a circle, it is a folder, pipe or
            device, or may not be read.
    """
    path = Path(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; check the path.") from None
    except (OSError, ValueError) as e:  # circular links, permissions, NUL in a name
        why = getattr(e, "strerror", None) or e
        raise FileError(f"{path}: cannot be opened ({why}); check the path.") from None
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS.items() if test(mode)), "no file")
        raise FileError(f"{path}: is {kind}, expected a plain file; write it to one.")
    if not os.access(path, os.R_OK):
        raise FileError(f"{path}: may not be read; change its permissions (chmod).")
    return path


@contextlib.contextmanager
def reading(path: str | Path, kind: str, advice: str = "copy it again") -> Iterator:
    """Whatever goes wrong within a ``with`` is one line that names the file.

    Args:
        path (str or Path): the file.
        kind (str): what it should be, such as "a numpy array file".
        advice (str): what to do about it.

    Raises:
        FileError: in place of any other exception.
    """
    try:
        yield
    except (FileError, ImportError):
        raise
    except MemoryError as e:
        raise FileError(
            f"{path}: does not fit into memory ({describe(e)}); use a machine with "
            f"more, or a smaller file."
        ) from e
    except Exception as e:
        why = describe(e).rstrip(".") or type(e).__name__
        raise FileError(
            f"{path}: not {kind}, or damaged or cut short ({why}); {advice}."
        ) from e


def check_memory(path: str | Path, nbytes: float, what: str) -> None:
    """Refuse what would not fit into the free memory.

    Args:
        path (str or Path): the file that asks for it.
        nbytes (float): bytes that are about to be taken.
        what (str): what takes them, with its shape.

    Raises:
        FileError: if less is free.
    """
    left = main_memory_left()
    if nbytes > left:
        raise FileError(
            f"{path}: {what} takes {nbytes / 1e9:.3g} GB of memory, of which "
            f"{left / 1e9:.3g} GB are free; the file is damaged, or too large for "
            f"this machine."
        )


def check_ratio(
    path: str | Path, nbytes: float, stored: int, what: str, ratio: float = DEFLATE
) -> None:
    """Refuse what declares far more than it stores: a decompression bomb.

    Args:
        path (str or Path): the file.
        nbytes (float): bytes that it declares.
        stored (int): bytes that there are.
        what (str): what is declared, with its shape.
        ratio (float): the largest ratio of both; 1 for data that are not compressed.

    Raises:
        FileError: if it is larger.
    """
    if nbytes > max(ratio * stored, _SMALL if ratio > 1 else 0):
        raise FileError(
            f"{path}: {what} takes {nbytes:.6g} bytes, but only {stored} are stored; "
            f"the file is damaged, cut short or made to fill the memory: copy it again."
        )


def read_text(path: str | Path, errors: str = "strict") -> str:
    """Read a text file of at most 1 MB.

    Args:
        path (str or Path): the file, in UTF-8.
        errors (str): what to do about other bytes, as :meth:`bytes.decode`.

    Returns:
        str: its text.

    Raises:
        FileError: if it is no plain file, larger, or not UTF-8.
    """
    path = check_file(path)
    size = path.stat().st_size
    if size > _TEXT:
        raise FileError(f"{path}: got {size} bytes, expected a text of at most 1 MB.")
    with reading(path, "a text file in UTF-8", "save it as plain text"):
        return path.read_text(encoding="utf-8", errors=errors)


def _npy_header(
    path: str | Path, file: IO[bytes], length: int, kinds: str = "biufc"
) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, order, type and first byte of an array, checked against its length."""
    form = np.lib.format
    with reading(path, "a numpy array file", "save it again with np.save"):
        version = form.read_magic(file)
        read = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
        if version not in read:
            raise ValueError(f"version {version} of its header")
        shape, fortran, dtype = read[version](file, max_header_size=_HEADER)
        if any(type(n) is not int or n < 0 for n in shape):
            raise ValueError(f"its header says shape {shape}")
    widest = {"c": 16, "U": _TEXT, "S": _TEXT}.get(dtype.kind, 8)
    if dtype.kind not in kinds or not 0 < dtype.itemsize <= widest:
        got = "Python objects" if dtype.hasobject else dtype
        raise FileError(
            f"{path}: got an array of {got}, expected integers or floating point "
            f"numbers of at most 64 bits (128 if complex); convert it with astype."
        )
    start = file.tell()
    nbytes = math.prod(shape) * dtype.itemsize
    check_ratio(path, nbytes, length - start, f"an array of shape {shape}", 1)
    return shape, fortran, dtype, start


def load_npy(path: str | Path) -> np.ndarray:
    """Map the array of a ``.npy`` file into memory, read-only.

    Args:
        path (str or Path): the file.

    Returns:
        array: as stored; only plain numbers are taken.

    Raises:
        FileError: if it is no such file, or cut short.
    """
    path = check_file(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        shape, fortran, dtype, start = _npy_header(path, file, size)
        order = "F" if fortran else "C"
        if not math.prod(shape):
            return np.empty(shape, dtype, order)  # nothing can be mapped
        with reading(path, "a numpy array file", "save it again with np.save"):
            return np.memmap(file, dtype, "r", start, shape, order)


def load_npz(path: str | Path, only: str | None = None) -> dict[str, np.ndarray]:
    """Read the arrays of a ``.npz`` file.

    Args:
        path (str or Path): the file.
        only (str or None): name of the one array to read, if it is there.

    Returns:
        dict: name to array; numbers and texts.

    Raises:
        FileError: if it is no such file, damaged, or does not fit into memory.
    """
    import zipfile

    path, arrays, total = check_file(path), {}, 0
    advice = "save it again with np.savez"
    with reading(path, "a numpy .npz file", advice), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            where = f"{path}, array {name!r}"
            if only not in (None, name):
                continue
            check_ratio(where, member.file_size, member.compress_size, "it")
            total += member.file_size
            check_memory(path, total, "all that is in it")
            if name in arrays:
                raise FileError(f"{path}: has two arrays {name!r}; {advice}.")
            with archive.open(member) as file:
                arrays[name] = _read_member(where, file, member.file_size)
    return arrays


def _read_member(where: str, file: IO[bytes], size: int) -> np.ndarray:
    """An array of numbers or of texts; zip checks its sum at the last byte."""
    data = file.read(size)
    if len(data) != size or file.read(1):
        raise FileError(f"{where}: cut short; copy it again.")
    stream = io.BytesIO(data)
    shape, fortran, dtype, start = _npy_header(where, stream, size, "biufcUS")
    array = np.frombuffer(data, dtype, math.prod(shape), start)
    return array.reshape(shape, order="F" if fortran else "C").copy()


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

    path = check_file(path)
    with reading(path, "an HDF5 file"):
        return h5py.File(path, "r")


def _h5_find(group: h5py.Group, name: str, depth: int = 0) -> h5py.HLObject | None:
    """What a name refers to within this file, or None."""
    import h5py

    item: h5py.HLObject = group
    for part in filter(None, name.split("/")):
        if not isinstance(item, h5py.Group):
            return None
        link = item.get(part, getlink=True)
        if link is None:
            return None
        if isinstance(link, h5py.ExternalLink):
            raise ValueError(f"{name!r} is a link to another file, {link.filename!r}")
        if isinstance(link, h5py.SoftLink):
            if depth >= _LINKS:
                raise ValueError(f"the links of {name!r} go in a circle")
            start = item.file if link.path.startswith("/") else item
            found = _h5_find(start, link.path, depth + 1)
            if found is None:
                return None
            item = found
        else:
            item = item[part]
    return item


def h5_dataset(file: h5py.File, name: str) -> h5py.Dataset | h5py.Group | None:
    """Look an object up in an HDF5 file, and check it if it has data.

    Args:
        file (h5py.File): from :func:`open_h5`.
        name (str): path within the file.

    Returns:
        h5py.Dataset, h5py.Group or None: None where there is nothing of this name.
        Reading a part of a dataset, such as a slice, is left to the caller; one chunk
        fits into memory.

    Raises:
        FileError: if it is damaged, lies in another file, is declared far larger than
            what is stored, or has chunks that do not fit into memory.
    """
    import h5py

    path = file.filename
    with reading(path, "an HDF5 file that can be read"):
        found: Any = _h5_find(file, name)
        if not isinstance(found, h5py.Dataset):
            return found
        if found.external or found.is_virtual:
            raise ValueError(f"the data of {name!r} lie in other files")
        if found.shape is None:
            raise ValueError(f"dataset {name!r} is empty")
        what = f"dataset {name!r} of shape {found.shape}"
        item = found.dtype.itemsize
        nbytes = math.prod(found.shape) * item
        check_ratio(path, nbytes, found.id.get_storage_size(), what, _ratio(found))
        chunk = math.prod(found.chunks) * item if found.chunks else 0
        check_memory(path, chunk, f"one chunk of {what}")
    return found


def _ratio(data: h5py.Dataset) -> float:
    """How much smaller than declared a dataset may be stored."""
    # Chunks that were never written hold zeros, as lines that were not sampled.
    return DEFLATE if data.chunks else 1
