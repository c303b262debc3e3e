r"""The noise that stored slices carry: how much, and what a magnitude took from it.

A magnitude is :math:`|x_0 + n|` with complex noise n. Learning from noisy images
(:mod:`sigpy_priors.train.ambient`) needs the level of n, and n itself as white complex
noise: given the true magnitude A, the phase that was lost is von Mises distributed,

.. math:: p(\psi \mid m) \propto \exp(2 A m \cos\psi / s_0^2),

which :func:`restored_noise` draws. Where the signal is strong that is the quadrature
part of the noise; where there is none the phase is uniform, and the background of the
magnitude has mean zero again.

References:
    Gudbjartsson, H., & Patz, S. (1995). The Rician distribution of noisy MRI data.
    Magnetic Resonance in Medicine, 34(6), 910-914.

    Immerkaer, J. (1996). Fast noise variance estimation. Computer Vision and Image
    Understanding, 64(2), 300-302 (differences of second order).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F

from sigpy_priors.priors.module import complex_sigma

__all__ = ["estimate_slice_noise", "restored_noise"]

# Differences of this order along both axes see the corners of k-space only, where even
# sharp structure has ceased; of lower ones half is structure on brain images.
_ORDER = 4
# Blocks of so many pixels; those with signal everywhere tell the noise, and the
# quietest of them, since the others have more structure. Of pure noise that finds 0.94.
_BLOCK = 16
_SIGNAL = 0.1
_QUANTILE = 0.25
_LEAST = 4
# Half width of the square whose mean power tells the true magnitude.
_AROUND = 2
# I_1 / I_0, fitted at k from 0.01 to 100.
_FIT = -0.06, 0.23
_STRONG = 50.0  # here the distribution is a normal one to three digits


def _blocks(values):
    h, w = (n // _BLOCK for n in values.shape)
    cut = values[: h * _BLOCK, : w * _BLOCK]
    return cut.reshape(h, _BLOCK, w, _BLOCK).swapaxes(1, 2).reshape(h * w, -1)


def _differences(channel):
    """Of unit variance for unit white noise: sum of squares of the binomials."""
    for axis in (0, 1):
        channel = np.diff(channel, n=_ORDER, axis=axis)
    return channel / math.comb(2 * _ORDER, _ORDER)


def estimate_slice_noise(img: np.ndarray) -> float:
    r"""Complex noise level of a slice, by the corners of its k-space.

    In blocks that are signal throughout, where a magnitude's noise is that of one
    channel; the lower quartile over them, so that texture counts little. Noise that
    interpolation or a filter has made smooth is not seen, and stays part of the image:
    rather too low, since what is taken for noise is lost to the prior.

    Args:
        img (array): magnitude or complex (H, W), scale about 1.

    Returns:
        float: :math:`s_0` with :math:`E|n|^2 = s_0^2`, in the units of ``img``; NaN if
        too little of the slice has signal to tell.
    """
    if min(img.shape) < _BLOCK + _ORDER:
        return math.nan
    channels = [np.real(img)] + [np.imag(img)] * np.iscomplexobj(img)
    middle = slice(_ORDER // 2, -(_ORDER // 2))
    signal = np.abs(img)[middle, middle]
    inside = np.quantile(_blocks(signal), 0.1, axis=1) > _SIGNAL
    if inside.sum() < _LEAST:
        return math.nan
    # Mean absolute values: unlike medians they are not steps for integers.
    size = [np.abs(_blocks(_differences(c))[inside]).mean(axis=1) for c in channels]
    level = math.sqrt(math.pi / 2) * float(np.quantile(np.mean(size, 0), _QUANTILE))
    return complex_sigma(level)


def restored_noise(
    magnitude: torch.Tensor, noise: torch.Tensor, unit: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the phase of noise that the magnitude of noisy images has lost.

    From the normal distribution, wrapped, that has the first moment of von Mises'.

    Args:
        magnitude (Tensor): noisy magnitudes (B, H, W).
        noise (Tensor): their complex noise level (B, 1, 1).
        unit (Tensor): unit normal numbers (B, H, W).

    Returns:
        tuple: radians, relative to the phase of the true image, zero where there is no
        noise; and the noise level of every pixel: no more than the image has power
        around it, since many a background has been set to zero.
    """
    size = 2 * _AROUND + 1
    power = F.avg_pool2d(
        magnitude[:, None].square(), size, 1, _AROUND, count_include_pad=False
    )[:, 0]
    variance = torch.minimum(noise.square(), power)
    # By its chance noise alone has up to so much; taken for signal it would bias the
    # background.
    signal = power > (1 + 2 / size) * variance
    true = torch.where(signal, power - variance, 0.0).sqrt()
    kappa = (2 * true * magnitude / variance.clamp_min(1e-12)).clamp_max(1e8)
    weak = kappa.clamp_max(_STRONG)
    # I_1 / I_0 within 1 % of its logarithm: exact at both ends (Amos's form).
    root = weak.square() + 0.75 + 1.5 / (1 + _FIT[0] * weak + _FIT[1] * weak.square())
    length = weak / (0.5 + root.sqrt())
    spread = torch.where(
        kappa > _STRONG, 1 / kappa.clamp_min(1), -2 * length.clamp_min(1e-3).log()
    )
    return torch.where(noise > 0, unit * spread.sqrt(), 0.0), variance.sqrt()
