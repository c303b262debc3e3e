r"""The solvers of :class:`sigpy_priors.app.PriorRecon`, with all their numbers.

Each number says where it comes from: a derivation, a paper, or
``tests/benchmarks/tune.py``, which chooses it on simulated scans of validation
slices. Strings are short names for the defaults: ``"hqs"``, ``"LBFGS"``, and SigPy's
own ``"GradientMethod"``, ``"ADMM"`` and ``"PrimalDualHybridGradient"``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, Prior

__all__ = ["HQS", "LBFGS", "SOLVERS", "SigpySolver", "Solver", "get_solver"]


@dataclass(frozen=True)
class Solver:
    """What all solvers have: a name, the priors that they can use, a limit.

    Attributes:
        name (str): SigPy's, or "hqs" or "LBFGS".
        needs (type): the kind of prior.
        splits (bool): whether it takes several, each split from the image.
        max_iter (int): most iterations, that is evaluations of the prior.
    """

    name: ClassVar[str]
    needs: ClassVar[type]
    splits: ClassVar[bool] = False
    max_iter: int = 32

    def __post_init__(self) -> None:
        for f in fields(self):
            v = getattr(self, f.name)
            whole = f.type == "int"
            if isinstance(v, str):
                continue
            if not (v > 0 and math.isfinite(v)) or (whole and v != int(v)):
                kind = "a whole number" if whole else "a number"
                raise ValueError(f"{f.name} must be {kind} > 0 and finite, got {v}.")

    def check(self, prior: Prior | list) -> None:
        """Raise a ValueError unless it can use this prior, or list of them."""
        if isinstance(prior, list):
            if not self.splits:
                fit = [n for n, s in SOLVERS.items() if s.splits]
                raise ValueError(
                    f"solver {self.name!r} takes one prior, got a list of "
                    f"{len(prior)}; choose {' or '.join(fit)}."
                )
        elif not isinstance(prior, self.needs):
            fit = [n for n, s in SOLVERS.items() if isinstance(prior, s.needs)]
            raise ValueError(
                f"solver {self.name!r} needs a {self.needs.__name__}, got {prior!r}; "
                f"choose {' or '.join(fit)}."
            )


@dataclass(frozen=True)
class HQS(Solver):
    r"""Annealed half-quadratic splitting, as long as the image moves.

    Levels double from ``first`` while the image moves by more than ``rise`` of one:
    then it is farther from the truth than the prior was told, as where whole slices
    alias onto each other. From there they fall by a step of :math:`\log\sigma` that
    is a ``steps``-th part of the way where the image follows, and shorter by the square
    of what its last change was above ``change`` times the level: coherent aliasing
    takes longer than what looks like noise. At the last level it goes on until the
    change is below ``tol`` times it.

    Attributes:
        first (float): noise level at which annealing starts, relative to the image's
            scale. From: tune.py.
        span (float): the first is at least this multiple of the last, which noisy data
            need. From: tune.py --noisy.
        last (float): the last one, as a multiple of that at which prior and data
            have their nominal weights. From: tune.py.
        rise (float): change of the image, in levels, above which the level was too
            low. From: tune.py, also with --sms.
        top (float): the highest level that is risen to; images are 0.3 in root mean
            square, and further from the truth than twice that is no estimate.
        steps (int): steps from the first to the last level of an easy problem.
            From: tune.py.
        change (float): change of the image, in levels, that is small enough for a
            whole step. From: tune.py.
        shortest (float): the shortest step, as a part of the whole one.
        rest (float): what is left before the last level is no step of its own up to
            this part of a whole one. From: tune.py.
        tol (float): change of the image, in levels, at which it has converged.
            From: tune.py.
        relax (float): over-relaxation of the splitting, in [1, 2). From: Eckstein &
            Bertsekas (1992), Boyd et al. (2011), Section 3.4.3: 1.5 to 1.8.
        cg_tol (float): error that conjugate gradients may leave in the image, in
            levels. From: tune.py.
        cg_iter (int): most of their steps.
    """

    name: ClassVar[str] = "hqs"
    needs: ClassVar[type] = DenoiserPrior
    splits: ClassVar[bool] = True
    first: float = 0.15
    span: float = 3.0
    last: float = 3.0
    steps: int = 6
    rise: float = 0.4
    top: float = 0.6
    change: float = 0.15
    shortest: float = 0.1
    rest: float = 0.25
    tol: float = 0.4
    relax: float = 1.6
    cg_tol: float = 0.1
    cg_iter: int = 60

    def levels(
        self, nominal: float, highest: float, count: int | None = None
    ) -> Callable[[float | None], tuple[float | None, bool]]:
        """The noise levels, one after the other.

        Args:
            nominal (float): level at which prior and data have their nominal
                weights, relative to the scale.
            highest (float): that the prior knows.
            count (int or None): as many levels, whatever the image does.

        Returns:
            function: of the root mean square change of the image by the last level,
            relative to the scale, None at first: the next level, or None to end, and
            whether the image has converged.
        """
        end = min(self.last * nominal, highest)
        first = min(max(self.first, self.span * end), highest)
        top = min(max(self.top, first), highest)
        step = math.log(first / end) / self.steps
        now = None
        rising = True
        left = iter(np.geomspace(first, end, count).tolist() if count else ())

        def level(change: float | None) -> tuple[float | None, bool]:
            nonlocal now, rising
            moved = math.inf if change is None or now is None else change / now
            still = moved < self.tol
            if count:
                now = next(left, None) if now is not None or change is None else None
                return now, still
            rising = now is None or (rising and moved > self.rise and now < top)
            if now is None:
                now = first
            elif rising:
                now = min(2 * now, top)
            elif now > end:
                share = (self.change / max(moved, 1e-12)) ** 2
                share = min(1.0, max(self.shortest, share))
                left_over = math.log(now / end) - step * share
                joined = left_over <= self.rest * step
                now = end if joined else now * math.exp(-step * share)
            elif still:
                return None, True
            return now, False

        return level


@dataclass(frozen=True)
class LBFGS(Solver):
    """L-BFGS on the true objective of a density.

    Attributes:
        tol (float): relative change of the image below which a step is not worth its
            pass through the network.
    """

    name: ClassVar[str] = "LBFGS"
    needs: ClassVar[type] = DensityPrior
    max_iter: int = 40
    tol: float = 1e-3


@dataclass(frozen=True)
class SigpySolver(Solver):
    """One of :class:`sigpy.app.LinearLeastSquares`, with the prior's prox.

    ADMM and PDHG take a prox at its word, and a gradient step of a density is none.

    Attributes:
        coupling (float): noise level, relative to the scale, at which ADMM couples
            prior and data: where the prior tells most. From: tune.py.
    """

    needs: ClassVar[type] = DenoiserPrior
    coupling: float = 0.1


@dataclass(frozen=True)
class _GradientMethod(SigpySolver):
    name: ClassVar[str] = "GradientMethod"
    needs: ClassVar[type] = Prior
    max_iter: int = 50


@dataclass(frozen=True)
class _Admm(SigpySolver):
    name: ClassVar[str] = "ADMM"
    splits: ClassVar[bool] = True
    max_iter: int = 30


@dataclass(frozen=True)
class _Pdhg(SigpySolver):
    name: ClassVar[str] = "PrimalDualHybridGradient"
    splits: ClassVar[bool] = True
    max_iter: int = 100


SOLVERS: dict[str, type[Solver]] = {
    s.name: s for s in (HQS, LBFGS, _GradientMethod, _Admm, _Pdhg)
}


def get_solver(solver: Solver | str | None, prior: Prior | list) -> Solver:
    """A solver by name, itself, or the prior's own.

    Args:
        solver (Solver, str or None): what was asked for.
        prior (Prior or list): which it must be able to use.

    Returns:
        Solver: the solver.

    Raises:
        ValueError: if the name is unknown, or the solver needs another prior.
    """
    if solver is None:
        solver = HQS.name if isinstance(prior, list) else prior.default_solver
    if not isinstance(solver, Solver):
        if solver not in SOLVERS:
            raise ValueError(
                f"solver must be one of {', '.join(SOLVERS)}, or a Solver object, got "
                f"{solver!r}."
            )
        solver = SOLVERS[solver]()
    solver.check(prior)
    return solver
