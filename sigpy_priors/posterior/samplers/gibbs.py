r"""Split Gibbs sampling: image and copy in turn, each drawn given the other.

At the level :math:`\sigma_k` the posterior is that of x and a copy z with
:math:`p(x)\, CN(z; x, \sigma_k^2)\, p(y | z)`, and

.. math::
    z \sim CN(z; x, \sigma_k^2)\, p(y | z), \quad
    x \sim p(x | z) \propto p(x)\, CN(z; x, \sigma_k^2)

The first is the likelihood's ``draw``, the second is what a denoiser does: a few
ancestral steps from z, an image with noise of that level, to none. The level falls, so
that chains begin far apart and end at the posterior: exact for
:math:`\sigma_k \to 0`, many levels and many steps of the prior, for any likelihood that
can be drawn from.

References:
    Vono, M., Dobigeon, N., & Chainais, P. (2019). Split-and-augmented Gibbs sampler.
    IEEE TSP, 67(6), 1648-1661.

    Wu, Z., Sun, Y., Chen, Y., et al. (2024). Principled probabilistic imaging using
    diffusion models as plug-and-play priors. NeurIPS. Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sigpy_priors.backend.arrays import Array
from sigpy_priors.posterior.samplers.core import Denoiser, Noise
from sigpy_priors.posterior.samplers.guidance import ddim_step
from sigpy_priors.scan.problem import Problem

__all__ = ["sgs"]

# A draw of the prior ends at this part of its level, where little is left.
_END = 0.05


def sgs(
    denoiser: Denoiser,
    data: Problem,
    noise: Noise,
    sigmas: Sequence[float],
    prior_steps: int = 5,
    cg_iter: int = 30,
) -> Array:
    r"""Split Gibbs sampler with a denoiser.

    Args:
        denoiser (Denoiser): counted denoiser.
        data (Problem or MagnitudeTerm): likelihood, in the prior's units.
        noise (Noise): random streams.
        sigmas (sequence of float): falling coupling levels.
        prior_steps (int): denoiser calls of a draw of x.
        cg_iter (int): most conjugate gradient steps of a draw of z.

    Returns:
        array: samples (N, H, W), the copies z, which agree with the data.
    """
    low = max(denoiser.sigma_range[0], 1e-6)
    x = denoiser(sigmas[0] * noise(data.shape), sigmas[0])
    z = x
    for k, sigma in enumerate(sigmas):
        z = data.draw(x, sigma, noise, cg_iter)
        if k == len(sigmas) - 1:
            break
        levels = np.geomspace(sigma, min(max(_END * sigma, low), sigma), prior_steps)
        x = z
        for upper, below in zip(levels[:-1], levels[1:]):
            x = ddim_step(x, denoiser(x, upper), upper, below, 1, noise)
        x = denoiser(x, levels[-1])
    return z
