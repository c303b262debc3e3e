r"""The undecimated wavelet transform, a tight frame; SigPy's own are decimated."""

from __future__ import annotations

from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_count, check_shape

__all__ = ["UndecimatedWavelet"]


class UndecimatedWavelet(sp.linop.Linop):
    r"""Subbands of an image, all of its size, :math:`W^H W = 1`.

    Level j filters along each axis with an orthonormal wavelet's pair, its taps
    :math:`2^j` pixels apart (a trous) and divided by :math:`\sqrt 2`, so that
    :math:`|\hat h|^2 + |\hat g|^2 = 1` at every frequency. Edges are periodic.
    It commutes with shifts, so that it gives no blocks.

    Args:
        shape (tuple of int): image (H, W).
        wave_name (str): an orthonormal wavelet of PyWavelets.
        level (int): number of levels.

    Attributes:
        rows (array), columns (array): responses of the subbands' filters along the
            two axes, complex (bands, H) and (bands, W), not centred.

    Output: (3 level + 1, H, W): the coarse image, then the details of every level
    from coarse to fine, each along the first axis, the second, and both.

    Raises:
        ValueError: if the wavelet is not orthonormal.

    References:
        Holschneider, M., et al. (1989). A real-time algorithm for signal analysis
        with the help of the wavelet transform. Wavelets, Springer.

        Coifman, R. R., & Donoho, D. L. (1995). Translation-invariant de-noising.
    """

    def __init__(
        self, shape: tuple[int, ...], wave_name: str = "haar", level: int = 1
    ) -> None:
        shape = check_shape("shape", shape)
        if len(shape) != 2:
            raise ValueError(f"shape: expected an image (H, W), got {shape}.")
        level = check_count("level", level)
        lows, highs = zip(*(_responses(wave_name, n, level) for n in shape))
        bands = []
        coarse = [np.ones(n) for n in shape]
        for j in range(level):
            # Each axis of this level, low and high, of what was coarse before.
            (r, c), (lr, lc), (hr, hc) = (
                coarse,
                *[[side[j] for side in filters] for filters in (lows, highs)],
            )
            details = [(r * hr, c * lc), (r * lr, c * hc), (r * hr, c * hc)]
            bands = details + bands
            coarse = [r * lr, c * lc]
        self.rows, self.columns = (np.stack(v) for v in zip(coarse, *bands))
        self._filters: Any = self.rows[:, :, None] * self.columns[:, None]
        super().__init__((len(self.rows), *shape), shape)

    @property
    def pinv(self) -> sp.linop.Linop:
        """Linop: the adjoint."""
        return self.H

    def _apply(self, input):
        xp = sp.get_array_module(input)
        self._filters = sp.to_device(self._filters, sp.get_device(input))
        k = self._filters * xp.fft.fft2(input)
        return xp.fft.ifft2(k).astype(input.dtype, copy=False)

    def _adjoint_linop(self):
        return _Synthesis(self)

    def _normal_linop(self):
        return sp.linop.Identity(self.ishape)


class _Synthesis(sp.linop.Linop):
    """From subbands to the image."""

    def __init__(self, analysis: UndecimatedWavelet) -> None:
        self.analysis = analysis
        super().__init__(analysis.ishape, analysis.oshape)

    def _apply(self, input):
        xp = sp.get_array_module(input)
        filters = sp.to_device(self.analysis._filters, sp.get_device(input))
        k = (filters.conj() * xp.fft.fft2(input)).sum(axis=0)
        return xp.fft.ifft2(k).astype(input.dtype, copy=False)

    def _adjoint_linop(self):
        return self.analysis


def _responses(wave_name: str, n: int, level: int) -> tuple[list[Array], list[Array]]:
    """Of the low and the high filter of each level, on n frequencies."""
    import pywt

    wave = pywt.Wavelet(wave_name)  # pyright: ignore[reportAttributeAccessIssue]
    if not wave.orthogonal:
        raise ValueError(
            f"wave_name: {wave_name!r} is not orthonormal, expected one such as haar "
            f"or db4."
        )
    taps = np.arange(wave.dec_len) - (wave.dec_len - 1) // 2
    k = np.arange(n)[:, None]

    def at(filter: Any, j: int) -> Array:
        waves = np.exp(-2j * np.pi * k * taps * 2**j / n)
        return waves @ np.asarray(filter) / np.sqrt(2)

    levels = range(level)
    return [at(wave.dec_lo, j) for j in levels], [at(wave.dec_hi, j) for j in levels]
