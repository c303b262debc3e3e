r"""Noise level and image scale, from the data alone.

With these two numbers nothing is left to tune: the data term's weight and
the noise levels at which the prior is called follow from them.

K-space alone tells the noise by its edge, where there is least signal, but some:
at low noise, and for masks that leave the edge out, it is signal that is counted.
Several coils tell more: an image fits their data up to the noise, and white noise of
level one, treated alike, says how much of it a fit takes away
(:func:`residual`). What the maps do not explain counts as noise there, as it should.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array

if TYPE_CHECKING:
    from sigpy_priors.scan.problem import Problem

__all__ = [
    "estimate_noise",
    "estimate_scale",
    "is_low",
    "noisy_coils",
    "residual",
    "residual_noise",
    "sampling_mask",
]

# Share of the samples, farthest from the centre, in the band that is measured.
_BAND = 0.05
_LEAST = 256
# A second band at this fraction of the first one's radius tells the signal.
_INNER = 0.7
# Power of the signal in k-space falls about as radius to the power -3.
_DECAY = 3
# Cartesian samples below this share of the greatest were not measured: a float32
# transform and back leaves 4e-8 of it where there was nothing.
_NOT_SAMPLED = 1e-6
# The fit: weakly regularised, relative to the squared gain, and its steps.
_RHO = 1e-3
_STEPS = 12
# Where the noise is below this part of the image's scale, what a coarse fit leaves of
# the image is more: a finer one tells.
_LOW = 0.008
_FINER = 10, 4  # less regularisation, more steps
_STEPS_SLOW = 24  # of trajectories, whose dense centre slows the fit
# A coil stands out if its noise has this many times the power of the others', and
# is brought down until it has no more than this.
_STANDS_OUT = 3.0
_SETTLED = 1.2


def sampling_mask(y: Array) -> Array:
    """Where Cartesian k-space was sampled: where any coil differs from zero.

    Args:
        y (array): k-space (coils, ...).

    Returns:
        array: ones and zeros, shape (...), in the real precision of ``y``.
    """
    greatest = abs(y).max(axis=0)
    return (greatest > _NOT_SAMPLED * float(greatest.max())).astype(y.real.dtype)


def _radius(xp: Any, shape: tuple, coord: Array | None) -> Array:
    """Distance of every sample from the centre of k-space, its edge at 1."""
    if coord is not None:
        reach = xp.abs(coord).reshape(-1, coord.shape[-1]).max(axis=0)
        return xp.linalg.norm(coord / xp.maximum(reach, 1e-12), axis=-1)
    axes = [(xp.arange(n) - n // 2) / max(n / 2, 1) for n in shape]
    return xp.sqrt(sum(g**2 for g in xp.meshgrid(*axes, indexing="ij")))


def _band_power(power: Array, coils: int, radius: Array, around: float) -> tuple:
    """Noise-like power of the samples nearest to a radius, and their radius.

    The median shrugs off the few samples that carry much signal. Of the mean
    power of C coils, each exponential, it is that of a gamma distribution.
    """
    from scipy.special import gammaincinv

    xp = sp.get_array_module(power)
    count = max(math.ceil(_BAND * radius.size), math.ceil(_LEAST / coils))
    count = min(count, radius.size)
    band = xp.argpartition(xp.abs(radius - around), count - 1)[:count]
    median = float(xp.median(power[band])) * coils / gammaincinv(coils, 0.5)
    return median, float(xp.mean(radius[band]))


def estimate_noise(
    y: Array, weights: Array | None = None, coord: Array | None = None
) -> float:
    r"""Standard deviation of the complex noise, by the edge of k-space.

    The outermost samples of any mask or trajectory carry the least signal,
    but some. With the power law :math:`P(r) = \sigma_y^2 + a r^{-3}` through
    two bands of samples, a second one at 0.7 of that radius tells how much.

    Args:
        y (array): k-space (coils, ...), zero where nothing was sampled; the
            noise is taken as white and alike in all coils. Coils of zeros do
            not count.
        weights (array or None): zero where nothing was sampled.
        coord (array or None): trajectory (..., ndim), as in SigPy.

    Returns:
        float: :math:`\sigma_y`, in the units of ``y``.

    Raises:
        ValueError: if nothing is sampled.
    """
    if getattr(y, "ndim", 0) < 2 or y.dtype.kind not in "fc":
        got = getattr(y, "shape", type(y).__name__)
        raise ValueError(f"y: expected k-space (coils, ...), complex, got {got}.")
    for name, v, kinds in (("weights", weights, "biuf"), ("coord", coord, "iuf")):
        if v is not None and (not hasattr(v, "dtype") or v.dtype.kind not in kinds):
            raise ValueError(f"{name}: expected an array of real numbers, got {v!r}.")
    if coord is not None and coord.shape[:-1] != y.shape[1:]:
        raise ValueError(
            f"coord: expected shape {y.shape[1:]} + (ndim,), got {coord.shape}."
        )
    if weights is not None and any(
        n not in (1, m) for n, m in zip(weights.shape[::-1], y.shape[::-1])
    ):
        raise ValueError(
            f"weights: expected a shape that broadcasts to y's {y.shape}, got "
            f"{weights.shape}."
        )
    device = sp.get_device(y)
    with device:
        xp = device.xp
        weights, coord = (
            v if v is None else sp.to_device(v, device) for v in (weights, coord)
        )
        greatest = float(xp.abs(y).max()) if y.size else 0.0
        if not greatest:
            raise ValueError("y: no sample differs from zero, nothing to reconstruct.")
        magnitude = xp.abs(y / greatest)  # whose square is finite
        magnitude = magnitude[magnitude.reshape(len(y), -1).any(axis=1)]
        sampled = xp.ones(y.shape[1:], bool)
        if coord is None:
            sampled = sampling_mask(y) > 0
        if weights is not None:
            used = xp.abs(xp.broadcast_to(weights, y.shape)).max(axis=0) > 0
            sampled = sampled & used
        if not sampled.any():
            raise ValueError("weights: zero wherever y was sampled, nothing is left.")
        power = (magnitude**2).mean(axis=0)[sampled]
        radius = _radius(xp, y.shape[1:], coord)[sampled]
        return greatest * math.sqrt(_edge_power(power, len(magnitude), radius))


def _edge_power(power: Array, coils: int, radius: Array) -> float:
    edge = float(radius.max())
    outer, r_outer = _band_power(power, coils, radius, edge)
    inner, r_inner = _band_power(power, coils, radius, _INNER * edge)
    ratio = (r_inner / r_outer) ** _DECAY if r_outer > 0 else 0.0
    noise = (outer - ratio * inner) / max(1 - ratio, 0.1)
    # Steeper signals than the law's would leave nothing: keep a third.
    return min(max(noise, outer / 3), outer)


def residual(
    problem: Problem,
    weights: Array | None = None,
    cartesian: bool = True,
    finer: bool = False,
) -> tuple[Array, Array]:
    """What a fit leaves of the data, and of white noise in their place.

    Args:
        problem (Problem): operator and data.
        weights (array or None): zero where there are no data.
        cartesian (bool): whether the samples are on a grid.
        finer (bool): fit closer, for low noise.

    Returns:
        tuple: two arrays like the data.
    """
    xp = sp.get_array_module(problem.y)
    z = np.random.default_rng(0).standard_normal((2, *problem.y.shape))
    z = xp.asarray(z[0] + 1j * z[1]).astype(problem.y.dtype) * math.sqrt(0.5)
    if weights is not None:
        z = z * (weights > 0)
    less, more = _FINER if finer else (1, 1)
    rho = _RHO / less * problem.gain**2
    steps = more * (_STEPS if cartesian else _STEPS_SLOW)
    # At one scale, so that float32 serves both.
    size = float(xp.abs(problem.AHy).max()) or 1.0
    b = xp.stack([problem.AHy / size, problem.adjoint(z)])
    x = problem.solve(rho, b, None, steps, 0.0)
    return problem.y - problem.forward(x[0]) * size, z - problem.forward(x[1])


def _power(xp: Any, a: Array) -> float:
    return float(xp.linalg.norm(a.reshape(-1).astype(np.complex128)) ** 2)


def is_low(problem: Problem, level: float) -> bool:
    """Whether a noise level is so low that only a finer fit tells it."""
    scale = estimate_scale(problem.first_image())
    return level < _LOW * problem.gain * scale


def residual_noise(problem: Problem, parts: tuple | None = None) -> tuple[float, float]:
    r"""Standard deviation of the noise, by what a fit leaves of the data.

    With H the map from data to fitted data, the residual of noise has the power
    :math:`\sigma_y^2\, \mathrm{tr} (I - H)^2`, and a draw of noise gives the trace.

    Args:
        problem (Problem): operator and data.
        parts (tuple or None): of :func:`residual`, where it was called before.

    Returns:
        tuple of float: :math:`\sigma_y`, and the share of noise that is left: near
        zero, as for one coil, the first number says nothing.
    """
    xp = sp.get_array_module(problem.y)
    of_data, of_noise = residual(problem) if parts is None else parts
    left = _power(xp, of_noise)
    total = float((of_noise != 0).sum())
    if not left or not total:
        return 0.0, 0.0
    return math.sqrt(_power(xp, of_data) / left), left / total


def noisy_coils(parts: tuple, factors: np.ndarray) -> np.ndarray | None:
    """Factors that bring coils of far more noise down to the level of the others.

    Only the loudest at a time: their noise leaks through the fit into the residual
    of the others.

    Args:
        parts (tuple): of :func:`residual`, (coils, ...) each.
        factors (array): (coils,), what the coils were multiplied by so far.

    Returns:
        array or None: better factors; None where no coil stands out any more.
    """
    xp = sp.get_array_module(parts[0])
    found, white = (np.array([_power(xp, coil) for coil in of_all]) for of_all in parts)
    power = found / np.maximum(white, 1e-6 * white.max())
    typical = float(np.median(power))
    limit = np.where(factors < 1, _SETTLED, _STANDS_OUT) * typical
    loud = (power > limit) & (power > power.max() / 2)
    if len(power) < 3 or not typical or not loud.any():
        return None
    return np.where(loud, factors * np.sqrt(typical / power), factors)


def estimate_scale(x: Array) -> float:
    """Image scale: the 99.8th percentile of the magnitude.

    Args:
        x (array): image, any shape.

    Returns:
        float: scale, in the units of ``x``.

    Raises:
        ValueError: if the image is zero almost everywhere.
    """
    if not hasattr(x, "dtype") or x.dtype.kind not in "biufc" or not x.size:
        got = getattr(x, "shape", type(x).__name__)
        raise ValueError(
            f"x: expected an image of numbers that is not empty, got {got}."
        )
    xp = sp.get_array_module(x)
    scale = float(xp.percentile(xp.abs(x), 99.8))
    if not (0 < scale < math.inf):
        scale = float(xp.abs(x).max())
    if not (0 < scale < math.inf):
        raise ValueError(
            f"the image's scale is {scale}: k-space or maps are zero or not finite."
        )
    return scale
