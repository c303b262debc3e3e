"""Annealed half-quadratic splitting of an image: its couplings, from its noise levels.

A coupling is that of a level by what the operator multiplies an image by, and by the
strength of the prior; what conjugate gradients may leave is a part of the level.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.alg import BatchedSplitting
from sigpy_priors.app.regularizers import Factor, factors, strength
from sigpy_priors.app.solvers import HQS, Solver
from sigpy_priors.backend.arrays import Array, column
from sigpy_priors.priors.base import DenoiserPrior, Prior
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.scan.solve import inner
from sigpy_priors.scan.stack import ProblemStack

__all__ = ["Annealing", "SlicesSplitting", "check_together", "goes_together"]


class Annealing:
    r"""Couplings of one image, by how far it moves.

    Args:
        hqs (HQS): the numbers.
        lamda (float): strength of the prior, in squared units of the data.
        gain (float): what the operator multiplies a typical image by.
        scale (float): image magnitude that the prior knows as 1.
        pixels (int): of the image.
        highest (float): level that the prior knows.
        limit (int or None): as many levels, whatever the image does.

    Attributes:
        nominal (float): level at which the coupling is that of the data,
            :math:`\rho = \text{gain}^2`, relative to the scale.
        converged (bool): whether the image had ceased to change.
    """

    def __init__(
        self,
        hqs: HQS,
        lamda: float,
        gain: float,
        scale: float,
        pixels: int,
        highest: float,
        limit: int | None,
    ) -> None:
        self._gain, self._norm = gain, math.sqrt(pixels) * scale
        self._cg_tol = hqs.cg_tol
        self.nominal = math.sqrt(2 * lamda) / (gain * scale)
        self._levels = hqs.levels(self.nominal, highest, limit)
        self.converged = False

    def rho(self, k: int, change: float | None) -> float | None:
        """The next coupling, of the norm by which the image has changed; None to end."""
        if change is not None:
            change /= self._norm
        sigma, self.converged = self._levels(change)
        return None if sigma is None else (self.nominal * self._gain / sigma) ** 2

    def sigma(self, rho: Any) -> Any:
        """The level of a coupling, or of an array of them."""
        return self.nominal * self._gain / np.sqrt(rho)

    def error(self, rho: float) -> float:
        """The norm of what conjugate gradients may leave of their right side.

        What is left of an error e in the weakest direction is rho e.
        """
        return self._cg_tol * float(self.sigma(rho)) * self._norm * rho


def goes_together(prior: Prior | list, solver: Solver) -> bool:
    """Whether slices can go through a prior together: one denoiser of images."""
    return (
        isinstance(solver, HQS)
        and isinstance(prior, DenoiserPrior)
        and prior.event_ndim == 2
        and factors(prior) == [Factor(prior)]
    )


def check_together(
    prior: Prior | list, solver: Solver, three_d: bool, kwargs: dict
) -> None:
    """Raise a ValueError for what slices cannot have together.

    Args:
        prior (Prior or list): as of :class:`sigpy_priors.app.recon.PriorRecon`.
        solver (Solver): likewise.
        three_d (bool): likewise.
        kwargs (dict): further arguments of that class.
    """
    if goes_together(prior, solver) and not three_d and not kwargs:
        return
    raise ValueError(
        f"slices=True: expected solver 'hqs', one denoiser of images, two-dimensional "
        f"k-space and no more arguments, got {solver.name!r}, {prior!r}, "
        f"three_d={three_d}, {', '.join(kwargs) or 'none'}; give the slices one by one."
    )


class SlicesSplitting:
    """The same of slices that go through prior and operators together.

    Args:
        problems (ProblemStack): operators, data and noise.
        prior (DenoiserPrior): learned prior.
        lamda (float): its strength relative to the right one.
        hqs (HQS): the numbers.
        limit (int or None): as many levels, whatever the images do.

    Attributes:
        scale (array): magnitude of each that the prior sees as 1.
        annealing (list of Annealing): couplings of each.
        alg (BatchedSplitting): the algorithm.
    """

    def __init__(
        self,
        problems: ProblemStack,
        prior: DenoiserPrior,
        lamda: float,
        hqs: HQS,
        limit: int | None,
    ) -> None:
        self._problems, self._prior, self._hqs = problems, prior, hqs
        self._members = list(range(len(problems)))
        x = problems.first_images()
        self.scale = np.array([estimate_scale(v) for v in x])
        numbers = zip(problems.noise_std, problems.gain, self.scale)
        self.annealing = [
            Annealing(
                hqs, strength(prior, lamda, float(noise), float(gain * scale)),
                float(gain), float(scale), x[0].size, prior.sigma_range[1], limit,
            )
            for noise, gain, scale in numbers
        ]  # fmt: skip
        self.alg = BatchedSplitting(
            self._data_prox, self._prior_prox, x, [a.rho for a in self.annealing],
            limit or hqs.max_iter, hqs.relax,
        )  # fmt: skip

    def _prior_prox(self, rho: np.ndarray, x: Array, members: list[int]) -> Array:
        sigmas = [float(self.annealing[i].sigma(r)) for i, r in zip(members, rho)]
        scale = column(self.scale[members], x)
        return scale * self._prior.denoise(x / scale, np.array(sigmas))

    def _data_prox(
        self, rho: np.ndarray, z: Array, x: Array, members: list[int]
    ) -> Array:
        if members != self._members:  # some have ended
            kept = [self._members.index(i) for i in members]
            self._problems, self._members = self._problems.take(kept), list(members)
        b = self._problems.AHy + column(rho, z) * z
        size = inner(b, b) ** 0.5
        size = sp.get_array_module(b).where(size > 0, size, 1)
        errors = [self.annealing[i].error(r) for i, r in zip(members, rho.tolist())]
        tol = column(errors, b) / size
        return self._problems.solve(rho.tolist(), b, x, self._hqs.cg_iter, tol)
