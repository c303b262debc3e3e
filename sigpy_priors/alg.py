"""Iterative algorithms of learned priors. They take plain callables."""

import math

import sigpy as sp
from sigpy.alg import Alg

__all__ = ["HalfQuadraticSplitting"]


class HalfQuadraticSplitting(Alg):
    r"""Annealed half-quadratic splitting, with a multiplier.

    Minimises :math:`f(x) + g(x)` by splitting x from its copy z with a
    coupling :math:`\rho_k` that grows from weak to strong:

    .. math::
        z_k &= \text{prox}_{g / \rho_k}(x_{k-1} + u_{k-1}) \\
        u_k &= u_{k-1} + x_{k-1} - z_k \\
        x_k &= \text{prox}_{f / \rho_k}(z_k - u_k)

    A small :math:`\rho` lets the prior smooth coarsely, whatever has aliased;
    a large one leaves the details to it. Without the multiplier u, the plain
    method of the references, x and z agree only for :math:`\rho \to \infty`;
    with it, their common limit is the minimiser for any last :math:`\rho`
    (with a constant one this is ADMM).

    Args:
        proxf (function): maps (alpha, z, x) to prox of alpha f at z; x is a
            start for iterative ones.
        proxg (function): maps (alpha, x) to prox of alpha g at x.
        x (array): initial image, overwritten.
        rhos (sequence of float): coupling of each iteration.

    Attributes:
        x (array): solution, the side of the data.
        z (array): its copy, the side of the prior.
        resid (float): norm of x - z.

    References:
        Geman, D., & Yang, C. (1995). Nonlinear image recovery with
        half-quadratic regularization. IEEE TIP, 4(7), 932-946.

        Zhang, K., et al. (2021). Plug-and-play image restoration with deep
        denoiser prior. IEEE TPAMI, 44(10). Algorithm 1.

        Boyd, S., et al. (2011). Distributed optimization and statistical
        learning via ADMM. Section 3.4.1 (scaling u when rho changes).
    """

    def __init__(self, proxf, proxg, x, rhos):
        rhos = [float(r) for r in rhos]
        if not rhos or not all(0 < r < math.inf for r in rhos):
            raise ValueError(f"rhos must be numbers > 0, one per iteration, got {rhos}.")
        self.proxf = proxf
        self.proxg = proxg
        self.x = x
        self.z = x.copy()
        self.u = x * 0
        self.rhos = rhos
        self.resid = math.inf
        super().__init__(len(rhos))

    def _update(self):
        xp = sp.get_array_module(self.x)
        rho = self.rhos[self.iter]
        if self.iter:
            # u is the multiplier divided by rho.
            self.u *= self.rhos[self.iter - 1] / rho
        self.z = self.proxg(1 / rho, self.x + self.u)
        self.u += self.x - self.z
        sp.copyto(self.x, self.proxf(1 / rho, self.z - self.u, self.x))
        self.resid = float(xp.linalg.norm(self.x - self.z))
