"""Weights in k-space as operators on images: a ramp, and bands."""

from __future__ import annotations

from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_number, check_shape

__all__ = ["Band", "KspaceRamp", "KspaceWeights"]


class KspaceWeights(sp.linop.Linop):
    r"""Multiply k-space: :math:`F^H w F`, w real.

    Args:
        shape (tuple of int): images (..., H, W).
        weights (array): real (H, W), of centred k-space as that of
            :func:`sigpy.fft`.

    Attributes:
        weights (array): these.
        pinv (KspaceWeights): the pseudo-inverse, 1 / w where w is not zero.
    """

    def __init__(self, shape: tuple[int, ...], weights: Array) -> None:
        shape = check_shape("shape", shape)
        self.weights = np.asarray(weights, np.float64)
        if self.weights.shape != shape[-2:]:
            raise ValueError(
                f"weights: expected {shape[-2:]} as the images, got "
                f"{self.weights.shape}."
            )
        # F^H w F does not change when both sides are not centred.
        self._weights: Any = np.fft.ifftshift(self.weights)
        super().__init__(shape, shape)

    @property
    def pinv(self) -> KspaceWeights:
        """KspaceWeights: the pseudo-inverse."""
        w = self.weights
        return KspaceWeights(
            tuple(self.ishape), np.where(w == 0, 0, 1 / np.where(w, w, 1))
        )

    def _apply(self, input):
        xp = sp.get_array_module(input)
        self._weights = sp.to_device(self._weights, sp.get_device(input))
        k = xp.fft.fft2(input) * self._weights
        return xp.fft.ifft2(k).astype(input.dtype, copy=False)

    def _adjoint_linop(self):
        return self

    def _normal_linop(self):
        return KspaceWeights(tuple(self.ishape), self.weights**2)


def _frequencies(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Centred coordinates of k-space, in whole cycles per field of view."""
    h, w = shape[-2:]
    return np.arange(h)[:, None] - h // 2, np.arange(w)[None] - w // 2


class KspaceRamp(KspaceWeights):
    r"""Weight k-space by :math:`|k|^p`: what is left are edges.

    :math:`|k|` is in cycles per pixel, at least that of the lowest frequency, so that the
    mean has an inverse; the root mean square of the weights is one, so that white
    noise keeps its energy. As an operator to k-space, as WKGM has it, this is
    ``sp.linop.FFT(shape, axes=(-2, -1)) * KspaceRamp(shape)``.

    Args:
        shape (tuple of int): images (..., H, W).
        power (float): p, >= 0.

    References:
        Tu, Z., et al. (2023). WKGM: weighted k-space generative model for parallel
        imaging reconstruction. NMR in Biomedicine, 36(11). There p = 1.
    """

    def __init__(self, shape: tuple[int, ...], power: float = 1.0) -> None:
        check_number("power", power)
        h, w = check_shape("shape", shape)[-2:]
        v, u = _frequencies((h, w))
        k = np.maximum(np.hypot(v / h, u / w), 1 / max(h, w)) ** power
        super().__init__(shape, k / np.sqrt(np.mean(k**2)))


class Band(KspaceWeights):
    r"""Keep the frequencies of a ring: a projection.

    Args:
        shape (tuple of int): images (..., H, W).
        low (float): least radius, in samples of k-space.
        high (float or None): radius below which frequencies are kept, None for all.

    Raises:
        ValueError: if nothing is left.
    """

    def __init__(
        self, shape: tuple[int, ...], low: float = 0.0, high: float | None = None
    ) -> None:
        check_number("low", low)
        radius = np.hypot(*_frequencies(check_shape("shape", shape)))
        kept = (radius >= low) & (radius < (np.inf if high is None else high))
        if not kept.any():
            raise ValueError(
                f"low, high: no frequency of {tuple(shape)} is in [{low}, {high}), "
                f"expected some; the largest is {radius.max():.1f}."
            )
        super().__init__(shape, kept)

    def _normal_linop(self):
        return self
