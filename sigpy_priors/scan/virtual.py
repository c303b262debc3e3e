"""Coils as a reconstruction takes them: white, and no more than are worth their time.

Maps and reconstruction cost in proportion to the coils, SigPy's ESPIRiT to their
square, and neighbours see nearly the same. Combinations with orthonormal weights keep
white noise white, so that nothing else has to know.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.scan import coils
from sigpy_priors.scan.noise import estimate_noise

__all__ = ["COILS", "Mixture", "virtual_coils"]

COILS = 12
"""More coils than this are compressed to as many. tests/benchmarks/coils.py: on scans
of 20 and 32 coils close to the head 12 lose at most 0.02 dB."""

# Coils whose k-space shows this many times the noise of the others at its edge are
# brought down to them before they are mixed with them.
_STANDS_OUT = 3.0


class Mixture(NamedTuple):
    """Combinations of coils in place of the coils.

    Attributes:
        forth (array): (virtual coils, coils), for :func:`sigpy_priors.scan.coils.mix`
            on k-space and maps alike.
        back (array): (coils, virtual coils), the coils again, as far as they can be.
        sigma (float or None): the noise level, if the noise was given.
    """

    forth: np.ndarray
    back: np.ndarray
    sigma: float | None

    def normalise(self, mps: Array) -> Array:
        """Maps of the virtual coils, of unit root sum of squares over the coils.

        So an image is what it is without the noise scan, whose units and
        correlations would else shade it.

        Args:
            mps (array): maps (virtual coils, H, W).

        Returns:
            array: the same, times a factor in each pixel.
        """
        xp = sp.get_array_module(mps)
        size = sp.rss(coils.mix(self.back, mps), axes=(0,))
        return mps / xp.where(size > 0, size, 1)


def virtual_coils(
    y: Array,
    noise: Array | None = None,
    count: int | None = None,
    coord: Array | None = None,
) -> Mixture | None:
    """What whitens and compresses coils.

    Args:
        y (array): k-space (coils, ...).
        noise (array or None): covariance, deviations or a noise scan of the coils,
            as of :func:`sigpy_priors.scan.sense.sense_problem`.
        count (int or None): virtual coils; None is :data:`COILS`, where there are
            more. Fewer coils than that are not compressed.
        coord (array or None): trajectory (..., ndim).

    Returns:
        Mixture or None: None if nothing is to be done.

    Raises:
        ValueError: if ``count`` is less than 1, or ``noise`` is no covariance.
    """
    T, back, sigma = None, None, None
    if noise is not None:
        T, sigma = coils.whitening(coils.noise_covariance(noise, len(y)))
        back = np.linalg.pinv(T)
    count = COILS if count is None else count
    if 1 <= count >= (len(y) if T is None else len(T)):
        return None if T is None or back is None else Mixture(T, back, sigma)
    if T is None or back is None:
        factors = _quietened(y, coord)
        T, back = np.diag(factors), np.diag(1 / factors)
    rows = coils.compress(coils.mix(T, y), count)
    return Mixture(rows @ T, back @ rows.conj().T, sigma)


def _quietened(y: Array, coord: Array | None) -> np.ndarray:
    """Factors of coils that are far noisier than the others: one bad coil would be
    the first virtual one."""
    y = sp.to_device(y, sp.cpu_device)
    coord = None if coord is None else sp.to_device(coord, sp.cpu_device)
    level = np.array([_edge(coil[None], coord) for coil in y])
    typical = np.median(level[level > 0]) if level.any() else 0.0
    loud = level > _STANDS_OUT * typical
    return np.where(loud, typical / np.where(loud, level, 1.0), 1.0)


def _edge(coil: Array, coord: Array | None) -> float:
    level = estimate_noise(coil, coord=coord) if coil.any() else 0.0
    return level if math.isfinite(level) else 0.0
