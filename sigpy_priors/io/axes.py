"""Which axis is which: what k-space itself tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array

__all__ = ["coils_are_last", "profiles"]

_FEW = 64  # coils that scanners have


def profiles(y: Array) -> list[np.ndarray]:
    """Mean power of what was sampled along each axis of an array.

    Args:
        y (array): k-space, zero where not sampled.

    Returns:
        list of array: of each axis one, relative to its sum.
    """
    xp = sp.get_array_module(y)
    power: Any = xp.abs(y / max(float(xp.abs(y).max()), 1e-38)) ** 2
    out = []
    for axis in range(y.ndim):
        others = tuple(a for a in range(y.ndim) if a != axis)
        count = xp.maximum((power > 0).sum(axis=others), 1)
        mean = sp.to_device(power.sum(axis=others) / count, sp.cpu_device)
        out.append(np.asarray(mean / max(float(mean.sum()), 1e-38)))
    return out


def coils_are_last(y: Array) -> bool:
    """Tell (H, W, coils) from (coils, H, W).

    An array whose last axis is far shorter than the others may be either. K-space has
    its energy in the middle of H and W, and coils in no order.

    Args:
        y (array): k-space with three axes.

    Returns:
        bool: whether its last axis are the coils.
    """
    if y.ndim != 3 or 2 * y.shape[-1] >= min(y.shape[:-1]) or y.shape[-1] > _FEW:
        return False
    first, last = (_in_the_middle(p) for p in profiles(y)[:: y.ndim - 1])
    return last <= first + 0.1


def _in_the_middle(profile: np.ndarray) -> float:
    """Share of the middle quarter."""
    n = len(profile)
    width = max(n // 4, 1)
    return float(profile[n // 2 - width // 2 :][:width].sum())
