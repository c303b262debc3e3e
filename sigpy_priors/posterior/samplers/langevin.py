r"""Langevin samplers of the posterior, annealed over noise levels.

All take steps :math:`x \leftarrow x + \tau P s + \sqrt{2 \tau} P^{1/2} n` with
the score :math:`s = \partial \log p / \partial \bar x` and
:math:`n \sim CN(0, I)`, whose stationary density is p for small
:math:`\tau`; the factor is that of complex noise.

**Annealed Langevin dynamics**, ``ald``: P = I,
:math:`\tau = \eta \sigma_k^2`, likelihood widened to the current level,

.. math::
    s = \frac{D(x, \sigma_k) - x}{\sigma_k^2}
      + \frac{A^H (y - A x)}{\sigma_y^2 + \sigma_k^2}

Exact in the limit of many levels and steps that end at sigma -> 0, for any
linear A with :math:`\|A\| \le 1` and white noise.

**Preconditioned ULA**, ``pula``: the exact likelihood at every level, hence

.. math::
    s = \frac{D - x}{\sigma_k^2} + \frac{A^H (y - A x)}{\sigma_y^2}, \quad
    P = (A^H A / \sigma_y^2 + \sigma_k^{-2})^{-1}

P and its root are one solve by conjugate gradients: with perturbed data,
:math:`P (A^H n_1 / \sigma_y + n_2 / \sigma_k) \sim CN(0, P)`. No step size
depends on A or the noise, so there is nothing to tune. Exact in the same
limit, for any linear A.

References:
    Jalal, A., et al. (2021). Robust compressed sensing MRI with deep
    generative priors. NeurIPS. Equation (3), 3 steps a level.

    Luo, G., et al. (2023). Bayesian MRI reconstruction with joint uncertainty
    estimation using diffusion models. MRM, 90(1), 295-311.

    Blumenthal, M., Holliber, T., Tamir, J. I., & Uecker, M. (2025). Fast and
    robust diffusion posterior sampling for MR image reconstruction using the
    preconditioned unadjusted Langevin algorithm. arXiv:2512.05791.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sigpy_priors.backend.arrays import Array
from sigpy_priors.posterior.samplers.core import Denoiser, Noise
from sigpy_priors.scan.problem import Problem

__all__ = ["ald", "pula"]


def ald(
    denoiser: Denoiser,
    data: Problem,
    noise: Noise,
    sigmas: Sequence[float],
    steps_per_level: int = 3,
    step_size: float = 0.5,
) -> Array:
    r"""Annealed Langevin dynamics.

    Args:
        denoiser (Denoiser): counted denoiser.
        data (Problem): likelihood, in the prior's units.
        noise (Noise): random streams.
        sigmas (sequence of float): falling noise levels.
        steps_per_level (int): steps at each level.
        step_size (float): :math:`\eta`, relative to the squared noise level.

    Returns:
        array: samples (N, H, W).
    """
    x = sigmas[0] * noise(data.shape)
    for sigma in sigmas:
        tau = step_size * sigma**2
        for _ in range(steps_per_level):
            score = (denoiser(x, sigma) - x) / sigma**2
            score -= data.gradient(x) / (data.noise_std**2 + sigma**2)
            x = x + tau * score + math.sqrt(2 * tau) * noise(data.shape)
    return denoiser(x, sigmas[-1])


def pula(
    denoiser: Denoiser,
    data: Problem,
    noise: Noise,
    sigmas: Sequence[float],
    steps_per_level: int = 2,
    step_size: float = 0.5,
    cg_iter: int = 20,
) -> Array:
    r"""Preconditioned unadjusted Langevin algorithm.

    Args:
        denoiser (Denoiser): counted denoiser.
        data (Problem): likelihood, in the prior's units.
        noise (Noise): random streams.
        sigmas (sequence of float): falling noise levels.
        steps_per_level (int): steps at each level.
        step_size (float): :math:`\tau` in (0, 1].
        cg_iter (int): most conjugate gradient steps of a solve.

    Returns:
        array: samples (N, H, W).
    """
    x = sigmas[0] * noise(data.shape)
    for sigma in sigmas:
        rho = (data.noise_std / sigma) ** 2
        for _ in range(steps_per_level):
            # sigma_y^2 (tau s + sqrt(2 tau) (A^H n_1 / sigma_y + n_2 / sigma))
            b = rho * (denoiser(x, sigma) - x) - data.gradient(x)
            n = data.noise_std * data.adjoint(noise(data.A.oshape))
            n += data.noise_std**2 / sigma * noise(data.shape)
            b = step_size * b + math.sqrt(2 * step_size) * n
            x = x + data.solve(rho, b, None, cg_iter)
    return denoiser(x, sigmas[-1])
