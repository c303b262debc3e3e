r"""The likelihood of magnitudes, beside the linear one of :class:`.problem.Problem`.

Magnitudes m with noise tell nothing of the phase:

.. math:: p(m | x) \propto \exp(-(|x| - m)^2 / s^2)

with s the standard deviation of the complex noise, half of whose power is along the
image. It has what samplers ask of a likelihood that they do not differentiate: ``prox``
in closed form, and ``draw``.

References:
    Luo, G., Wang, X., Blumenthal, M., et al. (2023). Generative priors for MRI
    reconstruction trained from magnitude-only images using phase augmentation.
    arXiv:2308.02340.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_image, check_number

__all__ = ["MagnitudeTerm"]


class MagnitudeTerm:
    r"""Find x from its magnitude.

    Args:
        magnitude (array): m, real and >= 0, (H, W).
        noise_std (float): s > 0, in its units.

    Attributes:
        shape (tuple of int): of an image.
        linear (bool): False; samplers that need an operator cannot use it.
        norm (float), gain (float): 1, as of an operator.
        support (array): bool, where m > 0: elsewhere x is zero but for the noise.

    Raises:
        ValueError: if m is complex, negative, not finite or zero, or s is not > 0.
    """

    linear = False
    norm = gain = 1.0

    def __init__(self, magnitude: Array, noise_std: float) -> None:
        check_image("magnitude", magnitude)
        if magnitude.dtype.kind == "c" or not (magnitude >= 0).all():
            raise ValueError(
                f"magnitude: expected real numbers >= 0, got {magnitude.dtype} from "
                f"{magnitude.real.min():g}."
            )
        if not magnitude.any():
            raise ValueError("magnitude: all values are zero.")
        self.noise_std = check_number("noise_std", noise_std, strict=True)
        real = np.result_type(magnitude.dtype, np.float32)
        self.magnitude = magnitude.astype(real, copy=False)
        self.shape = tuple(magnitude.shape)
        self.normals = 0.0

    @property
    def y(self) -> Array:
        """array: m as a complex image."""
        return self.magnitude.astype(np.result_type(self.magnitude, np.complex64))

    AHy = y

    @cached_property
    def support(self) -> Array:
        return self.magnitude > 0

    def first_image(self) -> Array:
        """The magnitude, for the scale."""
        return self.y

    def in_units_of(self, scale: float, gain: float | None = None) -> MagnitudeTerm:
        """The same of x / scale."""
        return MagnitudeTerm(self.magnitude / scale, self.noise_std / scale)

    def value(self, x: Array) -> float:
        r""":math:`\frac{1}{2} \||x| - m\|^2` of one image."""
        xp = sp.get_array_module(x)
        return 0.5 * float(xp.linalg.norm(xp.abs(x) - self.magnitude)) ** 2

    def gradient(self, x: Array) -> Array:
        """Of :meth:`value`: ``(|x| - m) x / |x|``, zero where x is."""
        return self._with(sp.get_array_module(x).abs(x) - self.magnitude, x)

    def prox(self, alpha: float, z: Array, x: Any = None, max_iter: int = 0) -> Array:
        r"""Minimise :math:`\frac12 \||x| - m\|^2 + \frac{1}{2\alpha} \|x - z\|^2`.

        Keeps the phase of z and mixes the magnitudes.

        Args:
            alpha (float): step size; :math:`r^2 / s^2` for images of variance
                :math:`r^2` around z.
            z (array): images (..., H, W).
            x (array or None): not needed.
            max_iter (int): not needed.

        Returns:
            array: like ``z``.
        """
        xp = sp.get_array_module(z)
        return self._with((self.magnitude + xp.abs(z) / alpha) / (1 + 1 / alpha), z)

    def draw(self, z: Array, r: float, noise: Callable, max_iter: int = 0) -> Array:
        r"""Draw from :math:`CN(x; z, r^2)\, p(m | x)`.

        The radius from the normal distribution that both have along it; then the
        phase, which given the radius :math:`\rho` is von Mises distributed around
        that of z with :math:`\kappa = 2 \rho |z| / r^2`, exactly. So all is exact for
        :math:`s \to 0`.

        Args:
            z (array): images (N, H, W).
            r (float): their standard deviation.
            noise (callable): white noise CN(0, 1) of a shape, for N members.
            max_iter (int): not needed.

        Returns:
            array: like ``z``.
        """
        xp = sp.get_array_module(z)
        rho = xp.abs(self.prox(r**2 / self.noise_std**2, z))
        spread = (1 / self.noise_std**2 + 1 / r**2) ** -0.5 / 2**0.5
        u = noise(self.shape)
        rho = xp.abs(rho + spread * 2**0.5 * u.real)
        angle = _von_mises(2 * rho * xp.abs(z) / r**2, noise)
        return self._with(rho, z) * xp.exp(1j * angle).astype(z.dtype)

    @staticmethod
    def _with(rho: Array, z: Array) -> Array:
        """Magnitudes, with the phases of z."""
        xp = sp.get_array_module(z)
        size = xp.abs(z)
        unit = xp.where(size > 0, z / xp.where(size > 0, size, 1), 1)
        return (rho * unit).astype(z.dtype, copy=False)


def _von_mises(kappa: Array, noise: Callable) -> Array:
    """Draw angles of mean zero, each member of a batch from its own stream.

    By rejection from a wrapped Cauchy distribution (Best & Fisher, 1979, The efficient
    simulation of the von Mises distribution. Applied Statistics, 28(2)); of a large
    kappa it is normal to single precision.
    """
    xp = sp.get_array_module(kappa)
    kappa = xp.maximum(kappa.astype(xp.float64), 1e-6)
    tau = 1 + xp.sqrt(1 + 4 * kappa**2)
    rho = (tau - xp.sqrt(2 * tau)) / (2 * kappa)
    s = (1 + rho**2) / (2 * rho)
    angle = xp.full(kappa.shape, xp.nan)
    shape = kappa.shape[1:]
    while not xp.isfinite(angle).all():
        z, u = noise(shape), noise(shape)
        cos = xp.cos(xp.angle(z))
        f = (1 + s * cos) / (s + cos)
        c = kappa * (s - f)
        # |u|^2 is exponential, so that exp of minus it is uniform.
        level = xp.exp(-(xp.abs(u) ** 2).astype(xp.float64))
        good = (c * (2 - c) > level) | (xp.log(c / level) + 1 - c >= 0)
        sign = xp.where(z.imag > 0, 1, -1)
        new = sign * xp.arccos(xp.clip(f, -1, 1))
        angle = xp.where(good & ~xp.isfinite(angle), new, angle)
    normal = noise(shape).real * 2**0.5 / xp.sqrt(kappa)
    return xp.where(kappa > 1e4, normal, angle)
