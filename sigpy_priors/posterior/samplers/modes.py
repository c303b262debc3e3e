r"""Which of the prior's modes: a choice among draws of the prior.

Where :math:`p(x_0 | x_t)` has several modes, its two moments do not tell how
probable the data are, and guidance by them gives modes wrong weights. At a
level :math:`\sigma` below the gaps between modes they do:

.. math::
    p(y | x_t) = CN(y; A D, A V A^H + \sigma_y^2)

So candidates :math:`x_t` are drawn from the prior, by the probability flow
without data, and each takes the place of the one before with the probability
:math:`\min(1, p(y | x_t') / p(y | x_t))`: Metropolis-Hastings moves, of which
:math:`p(x_t | y)` is the stationary law. Few are enough if there are few data;
the k-space of an image would need astronomically many.

References:
    Hastings, W. K. (1970). Monte Carlo sampling methods using Markov chains
    and their applications. Biometrika, 57(1). (Independence sampler.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.posterior.samplers.core import Denoiser, Noise
from sigpy_priors.posterior.samplers.ode import flow
from sigpy_priors.posterior.samplers.subspace import Subspace
from sigpy_priors.scan.problem import Problem

__all__ = ["choose", "directions", "unknowns"]

_SIGMA_MAX = 20.0


def unknowns(data: Any) -> Any:
    """Real dimensions that the data can tell something about, at most."""
    return 2 * min(data.y.size, int(np.prod(data.shape)))


def directions(data: Any) -> Iterator[Any]:
    """Images v such that all V v span what the data see of V."""
    if data.y.size < np.prod(data.shape):
        shape, lift = data.y.shape, data.A.H
    else:
        shape, lift = data.shape, lambda e: e
    xp = sp.get_array_module(data.y)
    eye = xp.eye(int(np.prod(shape)), dtype=data.y.dtype)
    for e in eye.reshape((-1,) + tuple(shape)):
        yield lift(e)
        yield lift(1j * e)


def choose(
    denoiser: Denoiser,
    data: Problem,
    noise: Noise,
    sigma: float,
    candidates: int,
    steps: int,
) -> Array:
    """Choose one of several draws of the prior by what the data say.

    Args:
        denoiser (Denoiser): counted denoiser.
        data (Problem): likelihood, in the prior's units.
        noise (Noise): random streams.
        sigma (float): the level at which modes are told apart.
        candidates (int): draws for each sample.
        steps (int): denoiser calls for each of them, beside those products
            that :func:`unknowns` counts.

    Returns:
        array: images at the level (N, H, W).
    """
    xp = sp.get_array_module(data.y)
    top = min(_SIGMA_MAX, denoiser.sigma_range[1])
    sigmas = np.geomspace(top, sigma, steps).tolist()
    chosen = current = None
    for _ in range(candidates):
        x = flow(denoiser, top * noise(data.shape), sigmas)
        mean, pullback = denoiser.linearize(x, sigma)
        space = Subspace(data)
        for v in directions(data):
            v = xp.broadcast_to(v, x.shape).astype(x.dtype)
            space.add(v, sigma**2 * pullback(v))
        score = space.log_evidence(mean, -data.gradient(mean) / data.noise_std**2)
        # -|n|^2 is the logarithm of a uniform random number.
        log_u = -(xp.abs(noise((1, 1))) ** 2)
        if chosen is None:
            chosen, current = x, score
        accept = log_u < score - current
        chosen = xp.where(accept, x, chosen)
        current = xp.where(accept, score, current)
    return chosen
