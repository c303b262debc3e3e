"""k-space, maps and images of SigPy in BART's dimensions, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bart_plugin.graph import contract
from bart_plugin.toolbox.runner import BartError

__all__ = ["Scan", "checked_image", "checked_scan"]


class Scan(NamedTuple):
    """k-space and maps (slices, maps, coils, 1, H, W), and the image's shape."""

    y: np.ndarray
    mps: np.ndarray
    shape: tuple[int, ...]
    slices: int
    maps: int


def checked_scan(y: np.ndarray, mps: np.ndarray) -> Scan:
    """View data of SigPy as BART has them.

    Args:
        y (array): k-space (coils, H, W) or (slices, coils, H, W).
        mps (array): maps like ``y``, or with an axis for sets of ESPIRiT maps
            before the coils.

    Returns:
        Scan: the same arrays, reshaped.

    Raises:
        ValueError: if they are not complex, not finite or do not fit.
    """
    y, mps = np.asarray(y), np.asarray(mps)
    for name, v in (("y", y), ("mps", mps)):
        if not np.iscomplexobj(v):
            raise ValueError(f"{name}: expected a complex array, got {v.dtype}.")
        if not np.isfinite(v).all():
            raise ValueError(f"{name}: some values are NaN or infinite.")
    if y.ndim not in (3, 4) or mps.ndim not in (y.ndim, y.ndim + 1):
        raise ValueError(
            f"expected y (coils, H, W) or (slices, coils, H, W), and mps like y or "
            f"with an axis for sets of maps before the coils; got {y.shape}, "
            f"{mps.shape}."
        )
    several = mps.ndim == y.ndim + 1
    fit = mps[..., 0, :, :, :] if several else mps
    if fit.shape != y.shape:
        raise ValueError(f"y {y.shape} and mps {mps.shape} do not fit.")
    *stack, coils, h, w = y.shape
    slices, maps = (stack or [1])[0], mps.shape[-4] if several else 1
    image = (*y.shape[:-3], *((maps,) if several else ()), h, w)
    # One slice needs no axes out to BART's dimension of slices.
    gap = (1,) * (contract.SLICE_DIM - contract.MAPS_DIM - 1)
    before = (slices, *gap) if slices > 1 else ()
    y = y.reshape((*before, 1, coils, 1, h, w))
    mps = mps.reshape((*before, maps, coils, 1, h, w))
    return Scan(y, mps, image, slices, maps)


def checked_image(x: np.ndarray, shape: Sequence[int], advice: str) -> np.ndarray:
    """An image of BART in SigPy's shape.

    Args:
        x (array): what BART returned.
        shape (sequence of int): of the image.
        advice (str): what to change where it diverged.

    Returns:
        array: the same, reshaped.

    Raises:
        BartError: if some of it is not finite.
    """
    x = x.reshape(shape)
    if not np.isfinite(x).all():
        raise BartError(
            f"BART's image has {(~np.isfinite(x)).sum()} values that are not finite: "
            f"the iteration diverged, {advice}."
        )
    return x
