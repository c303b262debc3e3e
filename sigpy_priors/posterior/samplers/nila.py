r"""Noise-level adaptive data consistency (Nila-DC).

Ancestral steps of the unconditional diffusion, each followed by a gradient
step on the data that is held back once the diffusion's noise is no longer
above that of the measurement:

.. math::
    x \leftarrow x + \lambda_k A^H (y - A x), \quad
    \lambda_k = \lambda \min(1, \sigma_k / \sigma_y)

so that the last steps, which cannot remove the measurement's noise any more,
do not bring it in again. (The paper attenuates linearly in its time index
between the same two ends; here linearly in the noise level, which needs no
constants.) Exact for no prior; for white noise and :math:`\|A\| \le 1`.

References:
    Huang, S., et al. (2024). Noise level adaptive diffusion model for robust
    reconstruction of accelerated MRI. MICCAI. arXiv:2403.05245.
"""

from __future__ import annotations

from collections.abc import Sequence

from sigpy_priors.backend.arrays import Array
from sigpy_priors.posterior.samplers.core import Denoiser, Noise
from sigpy_priors.posterior.samplers.guidance import ddim_step
from sigpy_priors.scan.problem import Problem

__all__ = ["nila"]


def nila(
    denoiser: Denoiser,
    data: Problem,
    noise: Noise,
    sigmas: Sequence[float],
    lamda: float = 1.0,
    eta: float = 1.0,
) -> Array:
    r"""Nila-DC.

    Args:
        denoiser (Denoiser): counted denoiser.
        data (Problem): likelihood, in the prior's units.
        noise (Noise): random streams.
        sigmas (sequence of float): falling noise levels.
        lamda (float): :math:`\lambda`, weight before attenuation.
        eta (float): 1 for ancestral steps, 0 for the ODE.

    Returns:
        array: samples (N, H, W).
    """
    x = sigmas[0] * noise(data.shape)
    for sigma, below in zip(sigmas[:-1], sigmas[1:]):
        x = ddim_step(x, denoiser(x, sigma), sigma, below, eta, noise)
        x = x - lamda * min(1.0, below / data.noise_std) * data.gradient(x)
    return denoiser(x, sigmas[-1])
