"""Iterative algorithms of learned priors. They take plain callables."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import sigpy as sp
from sigpy.alg import Alg

from sigpy_priors.backend.arrays import Array, column

__all__ = ["BatchedSplitting", "HalfQuadraticSplitting", "LBFGS"]


class HalfQuadraticSplitting(Alg):
    r"""Annealed half-quadratic splitting, with a multiplier.

    Minimises :math:`f(x) + g(x)` by splitting x from its copy z with a
    coupling :math:`\rho_k` that grows from weak to strong:

    .. math::
        z_k &= \text{prox}_{g / \rho_k}(x_{k-1} + u_{k-1}) \\
        u_k &= u_{k-1} + \gamma x_{k-1} + (1 - \gamma) z_k - z_k \\
        x_k &= \text{prox}_{f / \rho_k}(z_k - u_k)

    A small :math:`\rho` lets the prior smooth coarsely, whatever has aliased;
    a large one leaves the details to it. Without the multiplier u, the plain
    method of the references, x and z agree only for :math:`\rho \to \infty`;
    with it, their common limit is the minimiser for any last :math:`\rho`
    (with a constant one this is ADMM). :math:`\gamma` over-relaxes.

    With an operator W, z is a copy of W x, and W x stands for x above; the last line
    is :math:`\arg\min_x f(x) + \frac{\rho_k}{2} \| W x - z_k + u_k \|^2`.

    Args:
        proxf (function): maps (alpha, z, x) to prox of alpha f at z, or to the
            minimiser of the last line for ``z`` :math:`= z_k - u_k`; x is a start
            for iterative ones.
        proxg (function): maps (alpha, x) to prox of alpha g at x.
        x (array): initial image, overwritten.
        rhos (sequence of float or function): coupling of each iteration; or a
            function of its number and of the norm by which x has just changed
            (None at first), which gives it, or None to end.
        max_iter (int or None): most iterations; None for the sequence's length.
        relax (float): :math:`\gamma`, in [1, 2).
        W (function or None): from x to what z is a copy of; None for x itself.

    Attributes:
        x (array): solution, the side of the data.
        z (array): its copy, the side of the prior.
        resid (float): norm of W x - z.
        change (float): norm by which x changed in the last iteration.
        rhos (list of float): couplings so far.

    References:
        Geman, D., & Yang, C. (1995). Nonlinear image recovery with
        half-quadratic regularization. IEEE TIP, 4(7), 932-946.

        Zhang, K., et al. (2021). Plug-and-play image restoration with deep
        denoiser prior. IEEE TPAMI, 44(10). Algorithm 1.

        Boyd, S., et al. (2011). Distributed optimization and statistical
        learning via ADMM. Sections 3.4.1 (scaling u when rho changes) and
        3.4.3 (over-relaxation).
    """

    def __init__(
        self,
        proxf: Callable,
        proxg: Callable,
        x: Array,
        rhos: Sequence[float] | Callable[[int, float | None], float | None],
        max_iter: int | None = None,
        relax: float = 1.0,
        W: Callable | None = None,
    ) -> None:
        if not callable(rhos):
            given = [float(r) for r in rhos]
            if not given or not all(0 < r < math.inf for r in given):
                raise ValueError(
                    f"rhos must be numbers > 0, one per iteration, got {given}."
                )
            max_iter = max_iter or len(given)
            self._next = lambda k, change: given[k] if k < len(given) else None
        else:
            self._next = rhos
        if max_iter is None or max_iter < 1:
            raise ValueError(f"max_iter must be at least 1, got {max_iter}.")
        if not 1 <= relax < 2:
            raise ValueError(f"relax must be in [1, 2), got {relax}.")
        self.proxf, self.proxg, self.relax = proxf, proxg, relax
        self.x = x
        self._lift = W or (lambda x: x)
        self.z = self._lift(x).copy()
        self.u = self.z * 0
        self.rhos: list[float] = []
        self.resid = self.change = math.inf
        self._rho: float | None = self._next(0, None)
        super().__init__(max_iter)

    def _update(self) -> None:
        xp = sp.get_array_module(self.x)
        rho = self._rho
        assert rho is not None  # else it was done
        if self.rhos:
            # u is the multiplier divided by rho.
            self.u *= self.rhos[-1] / rho
        self.rhos.append(rho)
        lifted = self._lift(self.x)
        self.z = self.proxg(1 / rho, lifted + self.u)
        self.u += self.relax * (lifted - self.z)
        x = self.proxf(1 / rho, self.z - self.u, self.x)
        self.change = float(xp.linalg.norm(x - self.x))
        sp.copyto(self.x, x)
        self.resid = float(xp.linalg.norm(self._lift(self.x) - self.z))
        self._rho = self._next(len(self.rhos), self.change)

    def _done(self) -> bool:
        return self._rho is None or super()._done()


class BatchedSplitting(Alg):
    r""":class:`HalfQuadraticSplitting` of several images at once, each on its own.

    All that are not finished go through the functions together; how far each has moved
    is asked for once in an iteration.

    Args:
        proxf (function): maps (rho, z, x, members) to the images (n, ...) that minimise
            :math:`f_i(x) + \frac{\rho_i}{2} \| x - z_i \|^2`; rho is an array (n,) on
            the CPU, ``members`` are the numbers of these images.
        proxg (function): maps (rho, x, members) likewise.
        x (array): initial images (N, ...), overwritten.
        rhos (sequence of function): of each image, as of
            :class:`HalfQuadraticSplitting`.
        max_iter (int): most iterations.
        relax (float): :math:`\gamma`, in [1, 2).

    Attributes:
        x (array): solutions; of images that are not finished, the start.
        rhos (list of list of float): couplings of each so far.
    """

    def __init__(
        self,
        proxf: Callable,
        proxg: Callable,
        x: Array,
        rhos: Sequence[Callable[[int, float | None], float | None]],
        max_iter: int,
        relax: float = 1.0,
    ) -> None:
        self.proxf, self.proxg, self.relax = proxf, proxg, relax
        self.x, self._next = x, rhos
        self.members = list(range(len(x)))
        self.rhos: list[list[float]] = [[] for _ in rhos]
        self._x, self._u = x.copy(), x * 0
        self._rho = np.array([r(0, None) for r in rhos], float)
        self._last = self._rho
        super().__init__(max_iter)

    def _update(self) -> None:
        xp = sp.get_array_module(self.x)
        for i, rho in zip(self.members, self._rho.tolist()):
            self.rhos[i].append(rho)
        # u is the multiplier divided by rho.
        self._u *= column(self._last / self._rho, self._u)
        z = self.proxg(self._rho, self._x + self._u, self.members)
        self._u += self.relax * (self._x - z)
        x = self.proxf(self._rho, z - self._u, self._x, self.members)
        moved = (x - self._x).reshape(len(x), -1)
        changes = sp.to_device(xp.linalg.norm(moved, axis=1)).tolist()
        self._x, self._last = x, self._rho
        k = self.iter + 1
        self._go_on([self._next[i](k, c) for i, c in zip(self.members, changes)])

    def _go_on(self, rhos: list[float | None]) -> None:
        """With those that are not finished."""
        xp = sp.get_array_module(self.x)
        ended = self.iter + 1 >= self.max_iter
        done = [k for k, rho in enumerate(rhos) if ended or rho is None]
        left = [k for k, rho in enumerate(rhos) if not (ended or rho is None)]
        if done:
            where = xp.asarray(np.array([self.members[k] for k in done]))
            self.x[where] = self._x[xp.asarray(np.array(done))]
            kept = xp.asarray(np.array(left, int))
            self._x, self._u = self._x[kept], self._u[kept]
            self.members = [self.members[k] for k in left]
            self._last = self._last[left]
        self._rho = np.array([rhos[k] for k in left], float)

    def _done(self) -> bool:
        return not self.members or super()._done()


# Armijo's fraction of the expected decrease; halvings of a step before the
# iteration is at its limit of precision. The first step has no known length.
_DECREASE = 1e-4
_TRIALS = 6
_FIRST_TRIALS = 60


class LBFGS(Alg):
    r"""Limited-memory BFGS on a smooth function, which never rises.

    The direction is :math:`-H_k \nabla f(x_k)`, with :math:`H_k` from the last
    steps and changes of the gradient; a step is halved until f has fallen
    enough (Armijo). Where no step lets it fall any more, the iterations end.

    Args:
        f (function): maps x to the value and the gradient of f, the real
            gradient over (re, im) read as a complex number.
        x (array): initial image, overwritten.
        max_iter (int): maximum number of iterations.
        memory (int): steps that are remembered.
        tol (float): iterations end at a step of this norm relative to x.

    Attributes:
        x (array): solution.
        objective (float): f(x).
        resid (float): norm of the last step.

    References:
        Nocedal, J., & Wright, S. J. (2006). Numerical Optimization. Algorithms
        7.4, 7.5 and 3.1.
    """

    def __init__(
        self, f: Callable, x: Array, max_iter: int = 30, memory: int = 8, tol: float = 0
    ) -> None:
        self.f, self.x, self.tol = f, x, tol
        self.pairs = deque(maxlen=memory)
        self.stuck = False
        self.resid = math.inf
        self.objective, self.grad = f(x)
        super().__init__(max_iter)

    def _direction(self) -> Array:
        """Two loops over the remembered pairs (s, y), y = H^-1 s."""
        xp = sp.get_array_module(self.x)
        d = -self.grad
        alphas = []
        for s, y, sy in reversed(self.pairs):
            alphas.append(float(xp.vdot(s, d).real) / sy)
            d = d - alphas[-1] * y
        if self.pairs:
            s, y, sy = self.pairs[-1]
            d = d * (sy / float(xp.vdot(y, y).real))
        for (s, y, sy), alpha in zip(self.pairs, reversed(alphas)):
            d = d + (alpha - float(xp.vdot(y, d).real) / sy) * s
        return d

    def _update(self):
        xp = sp.get_array_module(self.x)
        d = self._direction()
        slope = float(xp.vdot(self.grad, d).real)
        step = 1.0
        for _ in range(_TRIALS if self.pairs else _FIRST_TRIALS):
            new = self.x + step * d
            value, grad = self.f(new)
            if value <= self.objective + _DECREASE * step * slope:
                break
            step /= 2
        else:
            self.stuck = True
            return
        s, y = new - self.x, grad - self.grad
        sy = float(xp.vdot(s, y).real)
        # A pair of negative curvature says nothing of a minimum.
        if sy > 1e-6 * float(xp.linalg.norm(s) * xp.linalg.norm(y)):
            self.pairs.append((s, y, sy))
        sp.copyto(self.x, new)
        self.objective, self.grad = value, grad
        self.resid = float(xp.linalg.norm(s))

    def _done(self):
        small = self.resid <= self.tol * float(
            sp.get_array_module(self.x).linalg.norm(self.x)
        )
        return self.stuck or small or super()._done()
