r"""Markov chains on the posterior of a density: Hamiltonian Monte Carlo, preconditioned.

In a trajectory the Gaussian part of :mod:`.log_posterior` is solved exactly, a rotation
of :math:`(x - \mu, v)`, and the rest kicks the velocity:

.. math::
    v &\leftarrow v - \tfrac{\epsilon}{2} M^{-1} \nabla U_1(x) \\
    (x - \mu,\, v) &\leftarrow
        (\cos\epsilon\, (x - \mu) + \sin\epsilon\, v,\;
         \cos\epsilon\, v - \sin\epsilon\, (x - \mu)) \\
    v &\leftarrow v - \tfrac{\epsilon}{2} M^{-1} \nabla U_1(x)

so that for a Gaussian posterior every step is accepted, whatever the size of the image,
and a trajectory of :math:`\pi / 2` gives an independent draw. For any other the end is
accepted by the exact log-posterior: chains have it as their limit, and only their speed
depends on M. The step is adapted in a warm-up, which is thrown away.

All chains go through the density as one batch; their random numbers depend on the seed,
their number and the round, so that a run that is resumed goes on as it would have.

References:
    Neal, R. M. (2011). MCMC using Hamiltonian dynamics. Handbook of Markov chain Monte
    Carlo, Chapter 5.

    Shahbaba, B., Lan, S., Johnson, W. O., & Neal, R. M. (2014). Split Hamiltonian Monte
    Carlo. Statistics and Computing, 24, 339-349 (the exact Gaussian part).

    Hoffman, M. D., & Gelman, A. (2014). The No-U-Turn sampler. JMLR, 15, 1593-1623
    (Section 3.2, the step size and its constants).

    Gelman, A., et al. (2013). Bayesian data analysis. Section 11.4 (split R-hat).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.posterior.log_posterior import LogPosterior
from sigpy_priors.posterior.samplers.core import Noise
from sigpy_priors.posterior.statistics import effective_sample_size, split_rhat

__all__ = ["Chains"]

# Dual averaging: Hoffman & Gelman (2014), Section 3.2.
_GAMMA, _T0, _KAPPA, _TARGET = 0.05, 10, 0.75, 0.8
_FIRST_STEP = 0.5
_SPREAD = 1.5  # of the first images around the maximum, in standard deviations
_MOST_STEPS = 16  # of a trajectory
_JITTER = 0.2  # of its length, so that no pixel comes round to where it was
_MOST = 1e3  # an image beyond it, at the prior's scale, has diverged
# Converged: Gelman et al., in this share of the pixels.
_RHAT, _SHARE = 1.05, 0.95
_EVERY = 8  # rounds between two looks at it
_LEAST_DRAWS = 8  # of each chain, before anything is said of convergence


class Chains:
    """Several chains, until they agree.

    Args:
        target (LogPosterior): the posterior.
        chains (int): how many.
        warmup (int): trajectories that adapt the step and are thrown away.
        max_gradients (int): of the density, for each chain.
        seed (int): of all random numbers.

    Attributes:
        step (float): of the integrator.
        acceptance (float): mean probability with which trajectories were accepted,
            after the warm-up.
        rhat (array), ess (array): of the magnitude, over the support; NaN before there
            are enough draws.
        converged (bool): whether R-hat is below 1.05 in 95 % of the pixels.
    """

    def __init__(
        self,
        target: LogPosterior,
        chains: int,
        warmup: int,
        max_gradients: int,
        seed: int,
    ) -> None:
        self.target, self.count, self.warmup = target, chains, warmup
        self.max_gradients, self.seed = max_gradients, seed
        self.step, self._mean_step, self._h = _FIRST_STEP, 1.0, 0.0
        self.round = self.spent = self.thin = 0
        self.acceptance = 0.0
        self.converged = False
        self.rhat = self.ess = np.full(1, math.nan)
        self.draws: list[Array] = []
        self._x: Any = None

    def begin(self, center: Array) -> None:
        """Put the chains around the maximum, and find the Gaussian to move along.

        Args:
            center (array): the maximum of the posterior (H, W).
        """
        target, noise = self.target, self._noise()
        xp = sp.get_array_module(center)
        x = xp.stack([center] * self.count)
        target.around(center, target.find_curvature(x, noise))
        self._x = x + _SPREAD * target.velocity(noise)
        self.thin = 1

    def _noise(self) -> Noise:
        """The random numbers of a round."""
        numbers = [self.round * self.count + k for k in range(self.count)]
        return Noise(self.seed, numbers, self.target.problem.y)

    def run_round(self) -> None:
        """A trajectory of every chain, and what follows from it."""
        self.round += 1
        noise = self._noise()
        before = self.target.gradients
        x, probability = self._trajectory(noise)
        self.spent += (self.target.gradients - before) // self.count
        self._x = x
        if self.round <= self.warmup:
            self._adapt(float(probability.mean()))
            return
        rounds = self.round - self.warmup
        self.acceptance += (float(probability.mean()) - self.acceptance) / rounds
        if rounds % self.thin == 0:
            self.draws.append(x)

    def _trajectory(self, noise: Noise) -> tuple[Array, Array]:
        target, x, step = self.target, self._x, self.step
        xp = sp.get_array_module(x)
        rng = np.random.default_rng([self.seed, self.round, 1])
        length = math.pi / 2 * (1 + _JITTER * rng.uniform(-1, 1))
        steps = min(max(round(length / step), 1), _MOST_STEPS)
        cos, sin, mean = math.cos(step), math.sin(step), target.mean
        v = target.velocity(noise)
        value, grad = target.prior_value_and_grad(x)
        start = target.potential(x, value) + target.kinetic(v)
        end, good = x, xp.ones(len(x), bool)
        v = v + step / 2 * target.force(end, grad)
        for k in range(steps):
            away = end - mean
            end, v = mean + cos * away + sin * v, cos * v - sin * away
            good &= xp.abs(end).reshape(len(end), -1).max(axis=1) < _MOST
            end = xp.where(good[:, None, None], end, x)  # and is refused below
            value, grad = target.prior_value_and_grad(end)
            v = v + (1 if k < steps - 1 else 0.5) * step * target.force(end, grad)
        lost = target.potential(end, value) + target.kinetic(v) - start
        lost = xp.where(good & xp.isfinite(lost), lost, math.inf)
        probability = xp.exp(-xp.maximum(lost, 0))
        taken = xp.asarray(rng.random(len(x))) < probability
        return xp.where(taken[:, None, None], end, x), probability

    def _adapt(self, probability: float) -> None:
        """One step of dual averaging."""
        t = self.round
        self._h += (_TARGET - probability - self._h) / (t + _T0)
        log_step = math.log(10 * _FIRST_STEP) - math.sqrt(t) / _GAMMA * self._h
        log_step = min(log_step, math.log(math.pi / 2))
        share = t**-_KAPPA
        self._mean_step *= math.exp(share * (log_step - math.log(self._mean_step)))
        last = t == self.warmup
        self.step = self._mean_step if last else math.exp(log_step)

    def diagnose(self, wanted: int) -> bool:
        """Whether to stop: the chains agree and there are samples enough, or no more.

        Args:
            wanted (int): independent samples that are wanted, in the median pixel.

        Returns:
            bool: True if there is nothing left to do.
        """
        if self.round <= self.warmup:
            return False
        over = self.spent >= self.max_gradients
        enough = len(self.draws) * self.count >= wanted
        if not enough or len(self.draws) < _LEAST_DRAWS or (
            self.round % _EVERY and not over
        ):  # fmt: skip
            return over and enough
        values = np.stack([self._magnitudes(d) for d in self.draws], axis=1)
        self.rhat, self.ess = split_rhat(values), effective_sample_size(values)
        self.converged = bool(np.quantile(self.rhat, _SHARE) < _RHAT)
        if self.converged and np.median(self.ess) >= wanted:
            return True
        # So that what is kept stays within bounds.
        if len(self.draws) >= max(4 * math.ceil(wanted / self.count), 64):
            self.draws, self.thin = self.draws[1::2], 2 * self.thin
        return over

    def _magnitudes(self, x: Array) -> np.ndarray:
        return np.abs(sp.to_device(x[:, self.target.support], sp.cpu_device))

    def samples(self, count: int) -> Array:
        """As many draws as wanted, evenly from all chains.

        Args:
            count (int): number of samples.

        Returns:
            array: (count, H, W), chain after chain.
        """
        xp = sp.get_array_module(self.draws[0])
        each = xp.stack(self.draws, axis=1)
        share = np.full(self.count, count // self.count)
        share[: count % self.count] += 1
        last = each.shape[1] - 1
        return xp.concatenate(
            [c[xp.asarray(np.linspace(last, 0, n).round().astype(int)[::-1].copy())]
             for c, n in zip(each, share) if n]
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs, as arrays on the CPU."""
        target = self.target
        numbers = [
            self.step, self._mean_step, self._h, self.round, self.spent, self.thin,
            self.acceptance,
        ]  # fmt: skip
        arrays = {
            "x": self._x, "center": target.center, "curvature": target.curvature
        }  # fmt: skip
        if self.draws:
            arrays["draws"] = sp.get_array_module(self._x).stack(self.draws)
        moved = {k: sp.to_device(v, sp.cpu_device) for k, v in arrays.items()}
        return {"numbers": np.array(numbers, np.float64), **moved}

    def restore(self, state: dict[str, Any], move: Callable[[Any], Array]) -> None:
        """Go on from a :meth:`state`.

        Args:
            state (dict): of it.
            move (function): brings an array to the device of the chains.
        """
        numbers = state["numbers"].tolist()
        self.step, self._mean_step, self._h = numbers[:3]
        self.round, self.spent, self.thin = (int(v) for v in numbers[3:6])
        self.acceptance = numbers[6]
        self._x = move(state["x"])
        self.target.around(move(state["center"]), move(state["curvature"]))
        self.draws = list(move(state["draws"])) if "draws" in state else []
