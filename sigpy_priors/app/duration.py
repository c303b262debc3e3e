"""How long sampling will take, told before it begins."""

from __future__ import annotations

import sys
import time

import sigpy as sp
from tqdm.auto import tqdm

from sigpy_priors.backend import arrays
from sigpy_priors.backend.arrays import Array
from sigpy_priors.posterior.samplers import METHODS, Denoiser
from sigpy_priors.priors.base import DenoiserPrior

__all__ = ["LONG", "announce", "evaluation_seconds"]

LONG = 60.0
"""float: seconds for which a user would rather decide before than after."""

# Two evaluations are made to learn what one costs: at most a fiftieth of the whole.
_WORTH = 100


def evaluation_seconds(
    prior: DenoiserPrior, method: str, x: Array, sigma: float
) -> float:
    """What one network evaluation of one image takes, measured.

    Args:
        prior (DenoiserPrior): the prior.
        method (str): of :data:`sigpy_priors.posterior.samplers.METHODS`; some need
            Jacobian products, which cost more.
        x (array): image (H, W).
        sigma (float): a noise level of the prior.

    Returns:
        float: seconds.
    """
    denoiser, batch = Denoiser(prior), x[None]

    def once() -> None:
        if METHODS[method].jacobian:
            out, pullback = denoiser.linearize(batch, sigma)
            pullback(out)
        else:
            denoiser(batch, sigma)

    once()  # compiles, reserves memory, chooses how to convolve
    before, begun = denoiser.evaluations, time.perf_counter()
    once()
    seconds = time.perf_counter() - begun
    return seconds / (denoiser.evaluations - before)


def announce(
    prior: DenoiserPrior, method: str, x: Array, sigma: float, count: int, cost: int
) -> None:
    """Say how long it will take if that is long.

    Args:
        prior (DenoiserPrior): as of :func:`evaluation_seconds`.
        method (str): likewise.
        x (array): likewise.
        sigma (float): likewise.
        count (int): samples that are still to be drawn.
        cost (int): evaluations of each.
    """
    if count * cost < _WORTH:
        return
    with sp.get_device(x), arrays.on_stream_of(x):
        one = evaluation_seconds(prior, method, x, sigma)
    seconds = one * count * cost
    if seconds >= LONG:
        tqdm.write(
            f"{count} samples of {cost} network evaluations, {one:.2g} s each: about "
            f"{_readable(seconds)}; fewer samples, a lower resolution or a GPU take less",
            file=sys.stderr,
        )


def _readable(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
