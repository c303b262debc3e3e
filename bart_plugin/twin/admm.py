r"""BART's ADMM in SigPy.

With the scaled multiplier u and the prior's copy z of the image, starting from
zero,

.. math::
    x_k &\approx (A^H A + \rho)^{-1} (A^H y + \rho (z_{k-1} - u_{k-1})) \\
    h_k &= \alpha x_k + (1 - \alpha) z_{k-1} \\
    z_k &= \text{prox}_{g / \rho}(h_k + u_{k-1}) \\
    u_k &= u_{k-1} + h_k - z_k

where :math:`\alpha = 1.6` over-relaxes and conjugate gradients, started from
:math:`x_{k-1}`, stop after ``-C`` steps or at a residual of 1e-3 of the right
hand side. The ``-i`` of ``pics`` limits the sum of these steps, not the number
of iterations.

References:
    Boyd, S., et al. (2011). Distributed optimization and statistical
    learning via ADMM. Section 3.4.3 (over-relaxation).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import sigpy as sp

from sigpy_priors.backend.arrays import Array

__all__ = ["BartADMM"]

# Both are constants in BART's source.
_RELAX = 1.6
_CG_TOLERANCE = 1e-3


class BartADMM(sp.alg.Alg):
    """ADMM as ``pics -m -u rho -C cg_iter -i max_iter`` does it.

    Args:
        normal (function): maps x to A^H A x.
        adjoint (array): A^H y.
        proxg (function): maps (alpha, x) to the proximal step.
        x (array): zeros, overwritten.
        rho (float): coupling.
        cg_iter (int): greatest number of conjugate gradient steps each time.
        max_iter (int): of them in total.

    Attributes:
        x (array): solution, the side of the data.
        resid (float): norm of x - z.
    """

    def __init__(
        self,
        normal: Callable[[Array], Array],
        adjoint: Array,
        proxg: Callable[[float, Array], Array],
        x: Array,
        rho: float,
        cg_iter: int,
        max_iter: int,
    ) -> None:
        self.normal = normal
        self.adjoint = adjoint
        self.proxg = proxg
        self.x = x
        self.rho = rho
        self.cg_iter = cg_iter
        self.resid = math.inf
        self._z = 0 * x
        self._u = 0 * x
        self._steps = 0
        super().__init__(max_iter)

    def _update(self) -> None:
        xp = sp.get_array_module(self.x)
        self._solve(self.adjoint + self.rho * (self._z - self._u))
        h = _RELAX * self.x + (1 - _RELAX) * self._z + self._u
        self._z = self.proxg(1 / self.rho, h)
        self._u = h - self._z
        self.resid = float(xp.linalg.norm(self.x - self._z))

    def _solve(self, b: Array) -> None:
        """Conjugate gradients from x, with BART's rule when to stop."""
        xp = sp.get_array_module(b)

        def system(v: Array) -> Array:
            return self.normal(v) + self.rho * v

        r = b - system(self.x)
        p = r
        least = (_CG_TOLERANCE * float(xp.linalg.norm(b))) ** 2
        old = float(xp.linalg.norm(r)) ** 2
        for _ in range(self.cg_iter if old else 0):
            Ap = system(p)
            self._steps += 1
            step = old / float(xp.vdot(p, Ap).real)
            self.x += step * p
            r = r - step * Ap
            new = float(xp.linalg.norm(r)) ** 2
            if new <= least:
                break
            p = r + (new / old) * p
            old = new

    def _done(self) -> bool:
        return self._steps > self.max_iter or super()._done()
