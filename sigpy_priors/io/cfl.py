"""BART's .cfl/.hdr files, and its dimensions as SigPy's axes.

BART stores its 16 dimensions first fastest: read with the dimensions reversed,
dimension d is numpy's axis -1 - d, and (READ, PHS1) is (W, H).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.io.files import check_file, read_text

__all__ = ["read_cfl", "write_cfl", "bart_to_slices", "image_to_bart"]

_BART_DIMS = 16
_READ, _PHS1, _PHS2, _COIL, _SLICE, _BATCH = 0, 1, 2, 3, 13, 15


def read_cfl(path: str | Path) -> npt.NDArray[np.complex64]:
    """Map a BART array into memory.

    (The reader in BART's own package loads all of it and checks nothing.)

    Args:
        path (str or Path): its ``.cfl`` or ``.hdr`` file.

    Returns:
        array: complex64, BART's 16 dimensions in reversed order, so that
        axis -1 - d is BART's dimension d.

    Raises:
        ValueError: if the header is unreadable or the data are cut short.
    """
    path = Path(path)
    lines = read_text(path.with_suffix(".hdr"), "replace").splitlines()
    try:
        dims = [int(n) for n in lines[lines.index("# Dimensions") + 1].split()]
        if not 0 < len(dims) <= _BART_DIMS or min(dims) < 1:
            raise ValueError
    except (ValueError, IndexError):
        raise ValueError(
            f"{path.with_suffix('.hdr')}: not a BART header, expected a line "
            f"'# Dimensions' and one with up to {_BART_DIMS} sizes."
        ) from None
    dims += [1] * (_BART_DIMS - len(dims))
    data = check_file(path.with_suffix(".cfl"))
    size, expected = data.stat().st_size, 8 * math.prod(dims)
    if size != expected:
        raise ValueError(
            f"{data}: cut short or not of this header: got "
            f"{size} bytes, expected {expected}; write it again."
        )
    return np.memmap(data, "<c8", "r", shape=tuple(dims[::-1]))


def write_cfl(path: str | Path, data: np.ndarray) -> None:
    """Write a BART array; the reverse of :func:`read_cfl`.

    Args:
        path (str or Path): its ``.cfl`` file; the ``.hdr`` goes beside it.
        data (array): BART's dimensions in reversed order.
    """
    path = Path(path)
    dims = " ".join(map(str, data.shape[::-1]))
    data = np.ascontiguousarray(data, "<c8")
    header, text = path.with_suffix(".hdr"), f"# Dimensions\n{dims}\n"
    # A run that is killed between the two leaves no data with another's header.
    header.unlink(missing_ok=True)
    write_atomic(path.with_suffix(".cfl"), data.tofile)
    write_atomic(header, lambda p: p.write_text(text))


def bart_to_slices(path: str | Path, data: np.ndarray, cartesian: bool) -> np.ndarray:
    """View BART's dimensions as ([slices,] coils, H, W).

    Args:
        path (str or Path): named in errors.
        data (array): as :func:`read_cfl` gives it.
        cartesian (bool): (READ, PHS1) is (W, H), or the two of READ, PHS1 and PHS2
            that are longer than 1: a slice across another axis of a 3-D scan; else
            BART's non-Cartesian (1, samples, spokes), which becomes (spokes, samples).

    Returns:
        array: without a slice axis where there is one slice.

    Raises:
        ValueError: if another dimension is longer than 1.
    """
    dims = data.shape[::-1]
    if cartesian:
        inner = _plane(dims)
        advice = "; `bart fft -iu 4` and `bart transpose 2 13` make slices of 3-D data"
    else:
        inner = (_PHS2, _PHS1)  # (1, samples, spokes, coils)
        advice = ""
    for d, n in enumerate(dims):
        if n > 1 and d not in (*inner, _COIL, _SLICE):
            raise ValueError(
                f"{path}: BART dimension {d} is {n}, expected 1 (only "
                f"{', '.join(map(str, sorted(inner)))}, 3 and 13 may be longer); "
                f"take one with `bart slice {d} INDEX`{advice if d == 2 else ''}."
            )
    shape = tuple(dims[d] for d in (_SLICE, _COIL, *inner))
    return data.reshape(shape if shape[0] > 1 else shape[1:])


def _plane(dims: tuple[int, ...]) -> tuple[int, int]:
    """The dimensions that are H and W."""
    long = [d for d in (_READ, _PHS1, _PHS2) if dims[d] > 1]
    return (long[1], long[0]) if len(long) == 2 else (_PHS1, _READ)


def image_to_bart(image: np.ndarray, samples: bool = False) -> np.ndarray:
    """View an image as BART's dimensions, reversed.

    Args:
        image (array): ([slices,] H, W), or ([slices,] samples, H, W).
        samples (bool): whether it has an axis of samples; it becomes BART's
            BATCH, as in ``bart sample``.

    Returns:
        array: 16 axes.
    """
    image = image if samples else image[..., None, :, :]
    slices, count, height, width = ((1,) + image.shape)[-4:]
    dims = [1] * _BART_DIMS
    dims[_READ], dims[_PHS1] = width, height
    dims[_SLICE], dims[_BATCH] = slices, count
    # Samples are BART's outer axis, slices ours.
    image = image.reshape(slices, count, height, width).swapaxes(0, 1)
    return image.reshape(dims[::-1])
