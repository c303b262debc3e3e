"""Where a program of Linux looks for its libraries, read and changed."""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = ["Dynamic", "read_dynamic", "with_runpath"]

_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRTAB, _RPATH, _RUNPATH = 1, 5, 15, 29


class Dynamic(NamedTuple):
    """What the loader is told.

    Attributes:
        needed (list of str): names of libraries.
        runpath (str): folders to look into first, or "".
        offset (int): of that text in the file.
    """

    needed: list[str]
    runpath: str
    offset: int


def read_dynamic(data: bytes) -> Dynamic:
    """Read the dynamic section of a 64-bit little-endian ELF file.

    Args:
        data (bytes): the file.

    Returns:
        Dynamic: its libraries.

    Raises:
        ValueError: if it is no such file.
    """
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("expected a 64-bit program of Linux")
    try:
        return _read(data)
    except (struct.error, StopIteration, ValueError) as e:
        raise ValueError("its table of libraries cannot be read") from e


def _read(data: bytes) -> Dynamic:
    (first,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    headers = [
        struct.unpack_from("<IIQQQQ", data, first + i * size) for i in range(count)
    ]
    start, length = next((h[2], h[5]) for h in headers if h[0] == _DYNAMIC)
    entries = [struct.unpack_from("<qQ", data, start + k) for k in range(0, length, 16)]
    address = next(v for tag, v in entries if tag == _STRTAB)
    texts = next(
        address - h[3] + h[2]
        for h in headers
        if h[0] == _LOAD and h[3] <= address < h[3] + h[5]
    )

    def text(value: int) -> str:
        return data[texts + value : data.index(b"\0", texts + value)].decode()

    needed = [text(v) for tag, v in entries if tag == _NEEDED]
    paths = [v for tag, v in entries if tag in (_RPATH, _RUNPATH)]
    if not paths:
        return Dynamic(needed, "", 0)
    return Dynamic(needed, text(paths[0]), texts + paths[0])


def with_runpath(data: bytes, runpath: str) -> bytes:
    """The same program with another, not longer, runpath.

    Args:
        data (bytes): the file.
        runpath (str): folders; ``$ORIGIN`` is that of the program.

    Returns:
        bytes: the changed file.

    Raises:
        ValueError: if there is no runpath, or a shorter one.
    """
    old = read_dynamic(data)
    room = len(old.runpath.encode())
    new = runpath.encode()
    if not room or len(new) > room:
        raise ValueError(f"runpath {old.runpath!r} has no room for {runpath!r}")
    start = old.offset
    return data[:start] + new.ljust(room, b"\0") + data[start + room :]
