r"""Denoise, make consistent with the data, add noise again.

None of these differentiates the denoiser. With
:math:`\hat x = D(x_k, \sigma_k)`:

**DiffPIR**: the mean of
:math:`CN(x; \hat x, \sigma_k^2 / \lambda)\, CN(y; A x, \sigma_y^2)` is
:math:`\tilde x`, and
:math:`x_{k+1} = \tilde x + \sigma_{k+1} (\sqrt{1-\zeta}\, (x_k - \tilde x) /
\sigma_k + \sqrt\zeta\, n)`. A point estimate in each step: exact for no prior.

**DDS**: M steps of conjugate gradients on
:math:`(I + \gamma A^H A) \tilde x = \hat x + \gamma A^H y`, started at
:math:`\hat x`, then a DDIM step. The noise level is not used.

**DAPS**: :math:`\hat x_0` by a few steps of the probability flow ODE from
:math:`x_k`; :math:`\tilde x` *drawn* from
:math:`CN(x; \hat x_0, r_k^2)\, CN(y; A x, \sigma_y^2)`; then
:math:`x_{k+1} = \tilde x + \sigma_{k+1} n`. For linear A the draw is exact by
perturbing and solving; the paper's 100 Langevin steps have the same
stationary density. Exact where :math:`x_0 | x_k` is
:math:`CN(\hat x_0, r_k^2 I)`, for any linear A and white noise.

References:
    Zhu, Y., et al. (2023). Denoising diffusion models for plug-and-play image
    restoration. CVPR workshops. Algorithm 1.

    Chung, H., Lee, S., & Ye, J. C. (2024). Decomposed diffusion sampler for
    accelerating large-scale inverse problems. ICLR. Algorithm 1 (VE).

    Zhang, B., et al. (2025). Improving diffusion inverse problem solving with
    decoupled noise annealing. CVPR. Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sigpy_priors.backend.arrays import Array
from sigpy_priors.posterior.samplers.core import Denoiser, Noise
from sigpy_priors.posterior.samplers.guidance import ddim_step
from sigpy_priors.scan.problem import Problem

__all__ = ["diffpir", "dds", "daps"]


def diffpir(
    denoiser: Denoiser,
    data: Problem,
    noise: Noise,
    sigmas: Sequence[float],
    lamda: float = 8.0,
    zeta: float = 0.3,
    cg_iter: int = 20,
) -> Array:
    r"""Plug-and-play restoration by denoising diffusion.

    Args:
        denoiser (Denoiser): counted denoiser.
        data (Problem): likelihood, in the prior's units.
        noise (Noise): random streams.
        sigmas (sequence of float): falling noise levels.
        lamda (float): :math:`\lambda`; 1 is the statistical weight.
        zeta (float): share of fresh noise.
        cg_iter (int): most conjugate gradient steps of a solve.

    Returns:
        array: samples (N, H, W).
    """
    x = sigmas[0] * noise(data.shape)
    for k, sigma in enumerate(sigmas):
        clean = denoiser(x, sigma)
        alpha = sigma**2 / (lamda * data.noise_std**2)
        clean = data.prox(alpha, clean, clean, cg_iter)
        if k == len(sigmas) - 1:
            return clean
        x = clean + sigmas[k + 1] * (
            math.sqrt(1 - zeta) / sigma * (x - clean)
            + math.sqrt(zeta) * noise(data.shape)
        )


def dds(
    denoiser: Denoiser,
    data: Problem,
    noise: Noise,
    sigmas: Sequence[float],
    gamma: float = 5.0,
    cg_iter: int = 5,
    eta: float = 0.85,
) -> Array:
    r"""Decomposed diffusion sampler.

    Args:
        denoiser (Denoiser): counted denoiser.
        data (Problem): likelihood; its noise level is not used.
        noise (Noise): random streams.
        sigmas (sequence of float): falling noise levels.
        gamma (float): :math:`\gamma`, weight of the data.
        cg_iter (int): M, steps of conjugate gradients.
        eta (float): 1 for ancestral steps, 0 for the ODE.

    Returns:
        array: samples (N, H, W).
    """
    x = sigmas[0] * noise(data.shape)
    for k, sigma in enumerate(sigmas):
        clean = denoiser(x, sigma)
        b = data.AHy + clean / gamma
        clean = data.solve(1 / gamma, b, clean, cg_iter)
        if k == len(sigmas) - 1:
            return clean
        x = ddim_step(x, clean, sigma, sigmas[k + 1], eta, noise)


def daps(
    denoiser: Denoiser,
    data: Problem,
    noise: Noise,
    sigmas: Sequence[float],
    ode_steps: int = 5,
    spread: float = 1.0,
    cg_iter: int = 20,
) -> Array:
    r"""Decoupled annealing posterior sampling.

    Args:
        denoiser (Denoiser): counted denoiser.
        data (Problem): likelihood, in the prior's units.
        noise (Noise): random streams.
        sigmas (sequence of float): falling noise levels.
        ode_steps (int): denoiser calls for every level.
        spread (float): :math:`r_k / \sigma_k`.
        cg_iter (int): most conjugate gradient steps of a solve.

    Returns:
        array: samples (N, H, W).
    """
    x = sigmas[0] * noise(data.shape)
    for k, sigma in enumerate(sigmas):
        inner = np.geomspace(sigma, min(sigmas[-1], sigma / 2), ode_steps)
        for upper, below in zip(inner[:-1], inner[1:]):
            x = ddim_step(x, denoiser(x, upper), upper, below, 0, noise)
        x = data.draw(denoiser(x, inner[-1]), spread * sigma, noise, cg_iter)
        if k < len(sigmas) - 1:
            x = x + sigmas[k + 1] * noise(data.shape)
    return x
