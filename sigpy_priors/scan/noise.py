r"""Noise level and image scale, from the data alone.

With these two numbers nothing is left to tune: the data term's weight and
the noise levels at which the prior is called follow from them.
"""

import math

import numpy as np
import sigpy as sp

__all__ = ["estimate_noise", "estimate_scale"]

# Share of the samples, farthest from the centre, in the band that is measured.
_BAND = 0.05
_LEAST = 256
# A second band at this fraction of the first one's radius tells the signal.
_INNER = 0.7
# Power of the signal in k-space falls about as radius to the power -3.
_DECAY = 3


def _radius(xp, shape, coord):
    """Distance of every sample from the centre of k-space, its edge at 1."""
    if coord is not None:
        reach = xp.abs(coord).reshape(-1, coord.shape[-1]).max(axis=0)
        return xp.linalg.norm(coord / xp.maximum(reach, 1e-12), axis=-1)
    axes = [(xp.arange(n) - n // 2) / max(n / 2, 1) for n in shape]
    return xp.sqrt(sum(g**2 for g in xp.meshgrid(*axes, indexing="ij")))


def _band_power(magnitude, radius, around):
    """Noise-like power of the samples nearest to a radius, and their radius.

    The median of |n|^2 for n ~ CN(0, v) is v ln 2; unlike the mean it shrugs
    off the few samples that carry much signal.
    """
    xp = sp.get_array_module(magnitude)
    count = max(math.ceil(_BAND * radius.size), math.ceil(_LEAST / len(magnitude)))
    count = min(count, radius.size)
    band = xp.argpartition(xp.abs(radius - around), count - 1)[:count]
    power = xp.median(magnitude[:, band]) ** 2 / math.log(2)
    return float(power), float(xp.mean(radius[band]))


def estimate_noise(y, weights=None, coord=None):
    r"""Standard deviation of the complex noise in k-space.

    The outermost samples of any mask or trajectory carry the least signal,
    but some. With the power law :math:`P(r) = \sigma_y^2 + a r^{-3}` through
    two bands of samples, a second one at 0.7 of that radius tells how much.

    Args:
        y (array): k-space (coils, ...), zero where nothing was sampled; the
            noise is taken as white and alike in all coils.
        weights (array or None): zero where nothing was sampled.
        coord (array or None): trajectory (..., ndim), as in SigPy.

    Returns:
        float: :math:`\sigma_y`, in the units of ``y``.

    Raises:
        ValueError: if nothing is sampled.
    """
    device = sp.get_device(y)
    with device:
        return _estimate_noise(device.xp, y, *(
            v if v is None else sp.to_device(v, device) for v in (weights, coord)
        ))  # fmt: skip


def _estimate_noise(xp, y, weights, coord):
    magnitude = xp.abs(y)
    sampled = magnitude.max(axis=0) > 0
    if weights is not None:
        sampled &= xp.abs(xp.broadcast_to(weights, y.shape)).max(axis=0) > 0
    if not sampled.any():
        raise ValueError("y: no sample differs from zero, nothing to reconstruct.")
    magnitude = magnitude[:, sampled]
    radius = _radius(xp, y.shape[1:], coord)[sampled]
    outer, r_outer = _band_power(magnitude, radius, radius.max())
    inner, r_inner = _band_power(magnitude, radius, _INNER * radius.max())
    ratio = (r_inner / r_outer) ** _DECAY if r_outer > 0 else 0.0
    power = (outer - ratio * inner) / max(1 - ratio, 0.1)
    # Steeper signals than the law's would leave nothing: keep a third.
    return math.sqrt(min(max(power, outer / 3), outer))


def estimate_scale(x):
    """Image scale: the 99.8th percentile of the magnitude.

    Args:
        x (array): image, any shape.

    Returns:
        float: scale, in the units of ``x``.

    Raises:
        ValueError: if the image is zero almost everywhere.
    """
    xp = sp.get_array_module(x)
    scale = float(xp.percentile(xp.abs(x), 99.8))
    if not (0 < scale < math.inf):
        scale = float(xp.abs(x).max())
    if not (0 < scale < math.inf):
        raise ValueError(
            f"the image's scale is {scale}: k-space or maps are zero or not finite."
        )
    return scale
