r"""What :class:`sigpy_priors.app.recon.PriorRecon` regularises by: one or several.

Priors and SigPy's proximal operators are summed,

.. math::
    \frac{1}{2} \|A x - y\|^2 + \sum_i g_i(W_i x), \quad
    g_i = -w_i \lambda_i \log p_i \text{ or what the prox is of}

**Learned priors** are split, :math:`z_i = W_i x`. All share one coupling: as SigPy's
operator ``G`` stands :math:`G x = (t_1 W_1 x, t_2 W_2 x, \dots)`, and the prox of
:math:`g_i(z_i / t_i)` at a step :math:`\alpha` is :math:`t_i \text{prox}_{g_i}` at
:math:`\alpha / t_i^2`. With :math:`t_i^2 = 1 / c_i`, c the mean eigenvalue of
:math:`W_i^H W_i`, a level :math:`\sigma` of x is :math:`\sqrt{c_i} \sigma` in z, as of
a tight frame (:mod:`sigpy_priors.priors.lifted`).

**SigPy's own** keep their parameters, in the units of the data: they are called at the
steps :math:`\alpha = 1 / \rho_k`, as in SigPy's ADMM, so that ``L1Reg(shape, lamda)``
adds :math:`\lambda \|x\|_1` to the objective, whatever the levels are. At the level
:math:`\sigma_k` its threshold is :math:`\lambda \sigma_k^2 / (\text{gain}\,
\sigma_\text{nominal})^2`, which falls with the level as the prior's does; what was cut
away comes back by the multiplier, at most :math:`\lambda` for every coefficient. In
"hqs" they share the copy z of the first prior of x: its step is then the prox of the
sum (:class:`_Joint`). A copy of their own would hold x back by as much as the prior's
moves it, however small :math:`\lambda` is: with a tenth of the best lamda, 1-D R = 4
ended 0.7 dB below the prior alone, and so it ends 0.05 dB below (simulated).

The sum is taken at its word: a prior and wavelets that are each right for themselves
count what both know twice, and smooth too much: beside a prior a wavelet's lamda should
be well below the one that is best without.

References:
    Afonso, M. V., Bioucas-Dias, J. M., & Figueiredo, M. A. T. (2011). An augmented
    Lagrangian approach to the constrained optimization formulation of imaging inverse
    problems. IEEE TIP, 20(3). Several regularisers, one split for each.

    Bauschke, H. H., & Combettes, P. L. (2008). A Dykstra-like algorithm for two monotone
    operators. Pacific Journal of Optimization, 4(3). The prox of a sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sigpy as sp

from sigpy_priors.alg import LBFGS
from sigpy_priors.backend.arrays import Array
from sigpy_priors.linop.frame import mean_square, squared_norm
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, Prior
from sigpy_priors.priors.lifted import Lifted
from sigpy_priors.priors.product import Product
from sigpy_priors.prox import DenoiserReg, LogPriorReg

__all__ = ["Factor", "Regularizer", "factors", "strength"]

# Noiseless data still need a finite weight.
_SIGMA_FLOOR = 1e-4

# The prox of a density among several: steps, and the relative one at which they end.
_STEPS = 10
_TOL = 1e-3
# Of the projected gradient, in each round.
_ROUNDS = 10


@dataclass(frozen=True)
class Factor:
    """One of them: a prior or a prox of W x."""

    what: Prior | sp.prox.Prox
    weight: float = 1.0
    W: sp.linop.Linop | None = None


def strength(prior: Any, lamda: float, noise_std: float, unit: float) -> float:
    r"""The right :math:`\lambda_i` of a prior, times a factor.

    Args:
        prior (Prior): the prior.
        lamda (float): the factor.
        noise_std (float): of the data.
        unit (float): of the data, for an image that the prior knows as 1.

    Returns:
        float: in squared units of the data.
    """
    sigma = max(noise_std / unit, _SIGMA_FLOOR)
    if isinstance(prior, DenoiserPrior):
        sigma = max(sigma, prior.sigma_range[0])
    return lamda * prior.strength * (sigma * unit) ** 2 / 2


def factors(prior: Any, splits: bool = True) -> list[Factor]:
    """The factors of what was given as a prior.

    Args:
        prior (Prior or list): a prior; or a list of priors, SigPy's proximal
            operators on images, and pairs (prox, W) of W x.
        splits (bool): whether the solver takes products apart, and lifts that have
            no denoiser of their own.

    Returns:
        list of Factor: at least one of them with a prior.

    Raises:
        ValueError: if one of them is something else.
    """
    if isinstance(prior, list):
        found = [f for one in prior for f in factors(one)]
        if not any(isinstance(f.what, Prior) for f in found):
            raise ValueError(
                f"prior: expected a list with a learned prior, got {prior}; for "
                f"proximal operators alone there is sigpy.app.LinearLeastSquares."
            )
        return found
    what, W = prior if isinstance(prior, tuple) and len(prior) == 2 else (prior, None)
    if splits and isinstance(what, Product) and isinstance(what, DenoiserPrior):
        return [
            Factor(f.what, w * f.weight, f.W)
            for p, w in zip(what.priors, what.weights)
            for f in factors(p)
        ]
    if splits and isinstance(what, Lifted) and _needs_split(what):
        return [Factor(what.prior, W=what.W)]
    if not isinstance(what, Prior | sp.prox.Prox) or (
        W is not None and not isinstance(W, sp.linop.Linop)
    ):
        raise ValueError(
            f"prior: expected priors, sigpy proximal operators and pairs (prox, linop), "
            f"got {prior!r}."
        )
    if isinstance(what, Prior) and W is not None:
        return factors(Lifted(what, W))
    return [Factor(what, W=W)]


def _needs_split(prior: Lifted) -> bool:
    return isinstance(prior, DenoiserPrior) and prior.bound is None


class Regularizer:
    r"""The sum of factors as SigPy's ``proxg`` and ``G``.

    Args:
        parts (list of Factor): what is summed.
        shape (tuple of int): of the image.
        strength (function): of a prior, the right :math:`\lambda_i`.
        scale (float): image magnitude that the priors know as 1.
        unit (float): factor on G, where that matters to a solver.
        joint (bool): whether SigPy's share the copy of the first prior of x.

    Attributes:
        proxg (Prox): of the one, or of all.
        G (Linop or None): None where it would be the identity.
        leading (Prior): the first denoiser, else the first density: the one whose
            noise levels are meant.
        lamda (float): its :math:`\lambda`.
        highest (float): level that all of them know.

    Raises:
        ValueError: if a factor is of other shapes.
    """

    def __init__(
        self,
        parts: list[Factor],
        shape: tuple[int, ...],
        strength: Callable[[Any], float],
        scale: float,
        unit: float = 1.0,
        joint: bool = False,
    ) -> None:
        self.parts, self.shape, self.scale = parts, tuple(shape), scale
        priors: list[Any] = [f.what for f in parts if isinstance(f.what, Prior)]
        denoisers = [p for p in priors if isinstance(p, DenoiserPrior)]
        self.leading = (denoisers or priors)[0]
        self.lamda = strength(self.leading)
        for part in parts:
            self._check(part)
        known = [f for f in parts if not isinstance(f.what, Prior)]
        host = next((f for f in parts if f not in known and f.W is None), None)
        if joint and known and host:
            prox = _Joint(self._prox(host, strength), *self._stack(known, strength, 1))
            rest = [f for f in parts if f not in known and f is not host]
            parts = [Factor(prox), *rest]
        self.proxg, self.G = self._stack(parts, strength, unit)
        self.highest = min(
            (
                f.what.sigma_range[1]
                * math.sqrt(self.lamda / (f.weight * strength(f.what)))
                for f in self.parts
                if isinstance(f.what, DenoiserPrior)
            ),
            default=math.inf,
        )

    def _stack(self, parts: list[Factor], strength: Callable, unit: float) -> Any:
        """One prox and its operator, None for the identity."""
        proxes = [self._prox(part, strength) for part in parts]
        if len(parts) == 1 and parts[0].W is None:
            return proxes[0], None
        operators = [f.W or sp.linop.Identity(self.shape) for f in parts]
        ts = [unit * (f.W is None or mean_square(f.W) ** -0.5) for f in parts]
        prox = sp.prox.Stack([_Scaled(p, t) for p, t in zip(proxes, ts)])
        return prox, _Stacked([t * W for t, W in zip(ts, operators)])

    def _check(self, part: Factor) -> None:
        what, W = part.what, part.W
        if W is not None and tuple(W.ishape) != self.shape:
            raise ValueError(
                f"prior: {W} is of images {tuple(W.ishape)}, expected {self.shape}."
            )
        shape = self.shape if W is None else tuple(W.oshape)
        if isinstance(what, Prior):
            if len(shape) < what.event_ndim:
                raise ValueError(
                    f"{what!r} is of images with {what.event_ndim} axes, got an "
                    f"operator from {shape}."
                )
        elif tuple(what.shape) != shape:
            raise ValueError(
                f"prior: {what} is of arrays {tuple(what.shape)}, expected {shape}; a "
                f"prox of W x is given as a pair (prox, W)."
            )

    def _prox(self, part: Factor, strength: Callable) -> sp.prox.Prox:
        what = part.what
        if isinstance(what, sp.prox.Prox):
            return what
        alone = len(self.parts) == 1
        kind: Any = LogPriorReg if alone else _DensityReg
        if isinstance(what, DenoiserPrior):
            kind = DenoiserReg
        shape = self.shape if part.W is None else part.W.oshape
        return kind(shape, what, part.weight * strength(what), scale=self.scale)

    def value(self, x: Array, strength: Callable) -> float:
        r"""The sum of :math:`-\lambda_i \log p_i` of those that have a density."""
        total = 0.0
        for f in self.parts:
            if isinstance(f.what, DensityPrior):
                z: Any = x if f.W is None else f.W(x)
                z = z / self.scale
                log_prob: Any = f.what.log_prob(z)
                total -= f.weight * strength(f.what) * float(log_prob.sum())
        return total


class _Joint(sp.prox.Prox):
    r"""Prox of :math:`g_1(z) + g_2(W z)`, by block ascent in the dual.

    .. math::
        \min_{p, q} \frac{1}{2} \| v - p - W^H q \|^2 + g_1^*(p) + g_2^*(q), \quad
        z = v - p - W^H q

    Over p this is one call of the first prox; over q a projected gradient, which for
    one :math:`W = 1` is one call of the second one. One round is done each time, from
    where the last one ended: v hardly changes in the end.
    """

    def __init__(
        self, first: sp.prox.Prox, second: sp.prox.Prox, W: sp.linop.Linop | None
    ) -> None:
        self.first, self.second = first, second
        self.W: Any = W or sp.linop.Identity(first.shape)
        self.tau = 1.0 if W is None else 1 / squared_norm(W)
        self.rounds = 1 if W is None else _ROUNDS
        self.dual: Any = None  # q / alpha, which does not change with alpha
        super().__init__(first.shape)

    def _prox(self, alpha: float, input: Array) -> Array:
        W, tau = self.W, self.tau
        q = W(input) * 0 if self.dual is None else alpha * self.dual
        pulled = W.H(q)
        z = self.first(alpha, input - pulled)
        rest = z + pulled
        for _ in range(self.rounds):
            s = q + tau * W(z)
            q = s - tau * self.second(alpha / tau, s / tau)
            z = rest - W.H(q)
        self.dual = q / alpha
        return z


class _Stacked(sp.linop.Vstack):
    """Vertically, with the normal operators of each."""

    def _normal_linop(self):
        return sp.linop.Add([W.N for W in self.linops])


class _Scaled(sp.prox.Prox):
    """Prox of g(z / t)."""

    def __init__(self, prox: sp.prox.Prox, t: float) -> None:
        self.prox, self.t = prox, t
        super().__init__(prox.shape)

    def _prox(self, alpha: float, input: Array) -> Array:
        if self.t == 1:
            return self.prox(alpha, input)
        return self.t * self.prox(alpha / self.t**2, input / self.t)


class _DensityReg(LogPriorReg):
    r"""The prox of a density to its minimum, by L-BFGS."""

    def _prox(self, alpha: float, input: Array) -> Array:
        xp = sp.get_array_module(input)
        weight = alpha * self.lamda

        def objective(x: Array) -> tuple[float, Array]:
            value, ascent = self.prior.log_prob_and_grad(x / self.scale)
            gap = float(xp.linalg.norm(x - input)) ** 2 / 2
            grad = x - input - (weight / self.scale) * ascent
            return gap - weight * float(value.sum()), grad

        alg = LBFGS(objective, input.copy(), _STEPS, tol=_TOL)
        while not alg.done():
            alg.update()
        return alg.x
