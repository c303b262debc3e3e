r"""Coil maps given an image: the other half of a joint reconstruction.

Three ways, each of unit root sum of squares where there is signal:

- :func:`coarse_maps`, without any image: of the densest part of k-space.
- :func:`smooth_maps`: the coils' spectra :math:`\hat c` that explain the data,

  .. math::
      \min_{\hat c} \sum_j \| P F (x \cdot F^{-1} W \hat c_j) - y_j \|^2
      + \alpha \|\hat c_j\|^2, \quad W(k) = (1 + 220 |k / 128|^2)^{-8}

  with the smoothness W of nonlinear inversion, k in 1 / field of view. One step of
  Gauss-Newton, for any trajectory, from measured samples alone, so that errors of the
  image's other part do not come back.
- :func:`filled_maps`: ESPIRiT on k-space whose gaps the reconstruction has filled,
  which is the most exact where the image is nearly right.

References:
    Uecker, M., Hohage, T., Block, K. T., & Frahm, J. (2008). Image reconstruction by
    regularized nonlinear inversion. Magnetic Resonance in Medicine, 60(3), 674-682
    (W, with the constants of BART's nlinv).

    Ying, L., & Sheng, J. (2007). Joint image reconstruction and sensitivity estimation
    in SENSE (JSENSE). Magnetic Resonance in Medicine, 57(6), 1196-1202.
"""

from __future__ import annotations

import math
from typing import Any

import sigpy as sp
from sigpy.mri.app import EspiritCalib

from sigpy_priors.backend.arrays import Array
from sigpy_priors.scan.maps import KERNEL_WIDTH
from sigpy_priors.scan.solve import conjugate_gradient

__all__ = ["change_of_maps", "coarse_maps", "filled_maps", "smooth_maps"]

# Of the Gaussian that is the densest part of k-space, in samples.
_COARSE = 6.0
# Of W for 128 pixels, since coils do not know the resolution; and what is given up of
# the data for it, relative to the image's power.
# From: Uecker et al., and tests/benchmarks/joint.py --simulated.
_SLOPE, _POWER = 220.0 / 128**2, 8.0
_ALPHA = 1e-3
_STEPS, _TOL = 15, 1e-3
_WIDTH = 48  # of the calibration region, where all of it is there
_OBJECT = 0.1  # of the greatest magnitude: what counts as signal


def _unit(maps: Array) -> Array:
    """With unit root sum of squares."""
    xp = sp.get_array_module(maps)
    size = sp.rss(maps, axes=(0,))
    return maps / xp.maximum(size, 1e-6 * float(size.max()) or 1.0)


def _radius2(xp: Any, shape: tuple[int, ...]) -> Array:
    """Squared distance from the centre, in samples."""
    v, u = xp.meshgrid(*(xp.arange(n) - n // 2 for n in shape), indexing="ij")
    return v**2 + u**2


def coarse_maps(
    y: Array,
    coord: Array | None = None,
    weights: Array | None = None,
    shape: tuple[int, ...] | None = None,
) -> Array:
    """Maps of the coils' coarse images, by a Gaussian at the centre of k-space.

    Args:
        y (array): k-space (coils, H, W), zero where not sampled, or (coils, ...)
            with ``coord``.
        coord (array or None): coordinates (..., 2), in 1 / field of view.
        weights (array or None): density compensation of the samples.
        shape (tuple of int or None): H and W, with ``coord``.

    Returns:
        array: maps (coils, H, W).
    """
    xp = sp.get_array_module(y)
    if coord is None:
        window = xp.exp(-_radius2(xp, y.shape[1:]) / (2 * _COARSE**2))
        return _unit(sp.ifft(y * window.astype(y.real.dtype), axes=(-2, -1)))
    assert shape is not None
    radius = xp.linalg.norm(coord, axis=-1)
    # Spokes and spirals are dense as 1 / radius, where nothing better is known.
    density = xp.maximum(radius, 0.5) if weights is None else weights
    window = density * xp.exp(-(radius**2) / (2 * _COARSE**2))
    y = y * window.astype(y.real.dtype)
    near = radius < 4 * _COARSE
    images = [sp.nufft_adjoint(v[near], coord[near], shape) for v in y]
    return _unit(xp.stack(images).astype(y.dtype))


def smooth_maps(
    x: Array, y: Array, coord: Array | None = None, weights: Array | None = None
) -> Array:
    """Smooth maps that explain the data, given the image.

    Args:
        x (array): image (H, W).
        y (array): k-space, as of :func:`coarse_maps`.
        coord (array or None): coordinates.
        weights (array or None): relative precisions of the samples, as the mask.

    Returns:
        array: maps (coils, H, W).
    """
    xp = sp.get_array_module(y)
    size = xp.abs(x)
    level = math.sqrt(float((size[size > _OBJECT * float(size.max())] ** 2).mean()))
    x = x / level
    smooth = (1 + _SLOPE * _radius2(xp, x.shape)) ** -_POWER
    smooth = smooth.astype(y.real.dtype)
    W = sp.linop.IFFT(x.shape) * sp.linop.Multiply(x.shape, smooth)
    F = sp.linop.FFT(x.shape) if coord is None else sp.linop.NUFFT(x.shape, coord)
    if weights is not None:
        F = sp.linop.Multiply(F.oshape, weights**0.5) * F
        y = y * weights**0.5
    A = F * sp.linop.Multiply(x.shape, x) * W
    # Of unit gain on a grid; trajectories sample some places more than once.
    alpha = _ALPHA * (1.0 if coord is None else y[0].size / x.size)

    def normal(c: Array) -> Array:
        return xp.stack([A.H(A(v)) for v in c]) + alpha * c

    b = xp.stack([A.H(v) for v in y]).astype(y.dtype)
    spectra = conjugate_gradient(normal, b, None, _STEPS, _TOL)
    maps: list[Any] = [W(c) for c in spectra]
    return _unit(xp.stack(maps))


def filled_maps(x: Array, y: Array, mps: Array, mask: Array) -> Array:
    """ESPIRiT of k-space whose gaps the present image and maps fill.

    Args:
        x (array): image (H, W).
        y (array): k-space (coils, H, W).
        mps (array): present maps (coils, H, W).
        mask (array): where it was sampled, (H, W).

    Returns:
        array: maps (coils, H, W).

    Raises:
        ValueError: if none can be estimated.
    """
    xp = sp.get_array_module(y)
    k = xp.where(mask > 0, y, sp.fft(mps * x, axes=(-2, -1))).astype(y.dtype)
    width = min(_WIDTH, *x.shape)
    maps: Any = EspiritCalib(
        k, width, kernel_width=KERNEL_WIDTH, device=sp.get_device(y), show_pbar=False
    ).run()
    if not xp.isfinite(maps).all():
        raise ValueError("y: no coil maps can be estimated from it; give maps.")
    return maps


def change_of_maps(new: Array, old: Array, x: Array) -> float:
    """Root mean square sine of the angle between two sets of maps, on the image.

    A common phase of the coils, which is the image's, does not count.

    Args:
        new (array): maps (coils, H, W) of unit root sum of squares.
        old (array): likewise.
        x (array): image (H, W), whose power weighs the pixels.

    Returns:
        float: 0 for the same maps, 1 for orthogonal ones.
    """
    xp = sp.get_array_module(x)
    cosine = xp.minimum(xp.abs((new.conj() * old).sum(axis=0)), 1)
    power = xp.abs(x) ** 2 * (xp.abs(new).sum(axis=0) > 0)
    return math.sqrt(float((power * (1 - cosine**2)).sum() / power.sum()))
