r"""Guidance by a gradient through the denoiser: DPS and PiGDM.

With :math:`\hat x = D(x, \sigma_k)` and its Jacobian J both step to

.. math::
    x_{k+1} = \tilde x + c_1 n + c_2 (x_k - \tilde x) / \sigma_k, \quad
    c_1 = \eta \sigma_{k+1} \sqrt{1 - \sigma_{k+1}^2 / \sigma_k^2}, \quad
    c_2 = \sqrt{\sigma_{k+1}^2 - c_1^2}

**DPS**: :math:`\tilde x = \hat x`, eta = 1, and after the step
:math:`x_{k+1} \leftarrow x_{k+1} + \zeta J^H A^H (y - A\hat x) /
\|y - A \hat x\|`. The norm stands in for the noise level, so that it is exact
for no A; the papers' zeta is 1 for images of range 1.

**PiGDM** takes the Gaussian :math:`x_0 | x_k \sim CN(\hat x, r_k^2 I)`:
:math:`\tilde x = \hat x + \sigma_k^2 J^H A^H
(r_k^2 A A^H + \sigma_y^2)^{-1} (y - A \hat x)`,
:math:`r_k^2 = \sigma_k^2 s^2 / (\sigma_k^2 + s^2)`. Exact for white images of
variance :math:`s^2`, any linear A and white noise, in the limit of many steps.

References:
    Chung, H., Kim, J., Mccann, M. T., Klasky, M. L., & Ye, J. C. (2023).
    Diffusion posterior sampling for general noisy inverse problems. ICLR.

    Song, J., Vahdat, A., Mardani, M., & Kautz, J. (2023). Pseudoinverse-guided
    diffusion models for inverse problems. ICLR.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sigpy_priors.backend.arrays import Array
from sigpy_priors.posterior.samplers.core import Denoiser, Noise
from sigpy_priors.scan.problem import Problem
from sigpy_priors.scan.solve import conjugate_gradient, inner

__all__ = ["dps", "pigdm", "ddim_step"]


def ddim_step(x: Any, clean: Any, sigma: Any, below: Any, eta: Any, noise: Any) -> Any:
    """From x at ``sigma`` to the level ``below``, given the clean image."""
    c1 = eta * below * math.sqrt(max(1 - (below / sigma) ** 2, 0))
    c2 = math.sqrt(max(below**2 - c1**2, 0))
    out = clean + c2 / sigma * (x - clean)
    return out + c1 * noise(x.shape[1:]) if c1 else out


def dps(
    denoiser: Denoiser,
    data: Problem,
    noise: Noise,
    sigmas: Sequence[float],
    zeta: float = 1.0,
    eta: float = 1.0,
) -> Array:
    r"""Diffusion posterior sampling.

    Args:
        denoiser (Denoiser): counted denoiser.
        data (Problem): likelihood; its noise level is not used.
        noise (Noise): random streams.
        sigmas (sequence of float): falling noise levels.
        zeta (float): length of the guidance.
        eta (float): 1 for ancestral steps, 0 for the ODE.

    Returns:
        array: samples (N, H, W).
    """
    x = sigmas[0] * noise(data.shape)
    for sigma, below in zip(sigmas[:-1], sigmas[1:]):
        clean, pullback = denoiser.linearize(x, sigma)
        resid = data.y - data.forward(clean)
        norm = inner(resid, resid).reshape(-1, 1, 1) ** 0.5
        guide = pullback(data.adjoint(resid)) / norm.clip(1e-12, None)
        x = ddim_step(x, clean, sigma, below, eta, noise) + zeta * guide
    return denoiser(x, sigmas[-1])


def pigdm(
    denoiser: Denoiser,
    data: Problem,
    noise: Noise,
    sigmas: Sequence[float],
    prior_std: float = 0.5,
    eta: float = 1.0,
    cg_iter: int = 20,
) -> Array:
    r"""Pseudoinverse-guided diffusion.

    Args:
        denoiser (Denoiser): counted denoiser.
        data (Problem): likelihood, in the prior's units.
        noise (Noise): random streams.
        sigmas (sequence of float): falling noise levels.
        prior_std (float): s, standard deviation of a pixel.
        eta (float): 1 for ancestral steps, as in the paper, 0 for the ODE.
        cg_iter (int): most conjugate gradient steps of a solve.

    Returns:
        array: samples (N, H, W).
    """

    def guided(x, sigma):
        clean, pullback = denoiser.linearize(x, sigma)
        r2 = sigma**2 * prior_std**2 / (sigma**2 + prior_std**2)

        def system(u):
            return r2 * data.forward(data.adjoint(u)) + data.noise_std**2 * u

        resid = data.y - data.forward(clean)
        u = conjugate_gradient(system, resid, None, cg_iter)
        return clean + sigma**2 * pullback(data.adjoint(u))

    x = sigmas[0] * noise(data.shape)
    for sigma, below in zip(sigmas[:-1], sigmas[1:]):
        x = ddim_step(x, guided(x, sigma), sigma, below, eta, noise)
    return guided(x, sigmas[-1])
