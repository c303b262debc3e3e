r"""Predictor-corrector sampling with data consistency after every step.

With :math:`s = (D(x, \sigma_k) - x) / \sigma_k^2`,
:math:`\Delta = \sigma_k^2 - \sigma_{k+1}^2` and :math:`n \sim CN(0, I)`:

.. math::
    \text{predictor:} \quad & x \leftarrow x + \Delta s + \sqrt{\Delta}\, n \\
    \text{corrector:} \quad & x \leftarrow x + \epsilon s + \sqrt{2 \epsilon}\, n,
        \quad \epsilon = 2 (r \|n\| / \|s\|)^2 \\
    \text{data:} \quad & x \leftarrow x + \lambda A^H (y - A x)

The data step knows no noise level: exact for noiseless data with
:math:`A A^H = I` on the samples (one coil, Cartesian) only, in the limit of
many steps.

References:
    Song, Y., et al. (2021). Score-based generative modeling through
    stochastic differential equations. ICLR. Algorithms 2 and 4.

    Chung, H., & Ye, J. C. (2022). Score-based diffusion models for
    accelerated MRI. Medical Image Analysis, 80, 102479. Algorithm 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sigpy_priors.backend.arrays import Array
from sigpy_priors.posterior.samplers.core import Denoiser, Noise
from sigpy_priors.scan.problem import Problem
from sigpy_priors.scan.solve import inner

__all__ = ["predictor_corrector"]


def predictor_corrector(
    denoiser: Denoiser,
    data: Problem,
    noise: Noise,
    sigmas: Sequence[float],
    snr: float = 0.16,
    lamda: float = 1.0,
) -> Array:
    r"""Predictor-corrector sampling.

    Args:
        denoiser (Denoiser): counted denoiser.
        data (Problem): likelihood; its noise level is not used.
        noise (Noise): random streams.
        sigmas (sequence of float): falling noise levels.
        snr (float): r of the corrector.
        lamda (float): :math:`\lambda` of the data step, for
            :math:`\|A\| \le 1`.

    Returns:
        array: samples (N, H, W).
    """
    x = sigmas[0] * noise(data.shape)
    for sigma, below in zip(sigmas[:-1], sigmas[1:]):
        delta = sigma**2 - below**2
        score = (denoiser(x, sigma) - x) / sigma**2
        x = x + delta * score + math.sqrt(delta) * noise(data.shape)
        x -= lamda * data.gradient(x)
        score = (denoiser(x, below) - x) / below**2
        n = noise(data.shape)
        # Without its cap a vanishing score would give an infinite step.
        size = 2 * snr**2 * inner(n, n) / inner(score, score).clip(1e-12, None)
        size = size.clip(None, below**2)
        x = x + size * score + (2 * size) ** 0.5 * n
        x -= lamda * data.gradient(x)
    return denoiser(x, sigmas[-1])
