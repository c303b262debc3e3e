"""Iterative algorithms of learned priors. They take plain callables."""

import math

import sigpy as sp
from sigpy.alg import Alg

__all__ = ["HalfQuadraticSplitting", "SpaRSA"]


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


# Backtracking: growth of rho, fraction of the decrease that a quadratic would
# give, and trials before the iteration is at its limit of precision.
_GROWTH = 3.0
_DECREASE = 1e-2
_TRIALS = 12


class SpaRSA(Alg):
    r"""Proximal gradient with Barzilai-Borwein steps, objective never rising.

    Minimises :math:`f(x) + g(x)` where f has a prox and g a gradient, and
    may be non-convex:

    .. math::
        x_{k+1} = \text{prox}_{f / \rho_k}(x_k - \nabla g(x_k) / \rho_k), \qquad
        \rho_{k+1} = \frac{\text{Re} \langle s_k, \nabla g(x_{k+1}) -
        \nabla g(x_k) \rangle}{\|s_k\|^2}, \quad s_k = x_{k+1} - x_k

    :math:`\rho_k` grows until the objective has fallen enough; where no
    :math:`\rho_k` lets it fall any more, the iterations end.

    Args:
        f (function): x to the value of f.
        proxf (function): maps (alpha, z, x) to prox of alpha f at z; x is a
            start for iterative ones.
        g (function): x to value and gradient of g.
        x (array): initial image, overwritten.
        rho (float): first :math:`\rho`, about the curvature of g.
        max_iter (int): maximum number of iterations.

    Attributes:
        x (array): solution.
        objective (float): :math:`f(x) + g(x)`.
        resid (float): norm of the last step.

    References:
        Wright, S. J., Nowak, R. D., & Figueiredo, M. A. T. (2009). Sparse
        reconstruction by separable approximation. IEEE TSP, 57(7), 2479-2493.
    """

    def __init__(self, f, proxf, g, x, rho=1.0, max_iter=30):
        self.f, self.proxf, self.g = f, proxf, g
        self.x = x
        self.rho = rho
        self.resid = math.inf
        self.stuck = False
        self.value, self.grad = g(x)
        self.objective = f(x) + self.value
        super().__init__(max_iter)

    def _update(self):
        xp = sp.get_array_module(self.x)
        for _ in range(_TRIALS):
            new = self.proxf(1 / self.rho, self.x - self.grad / self.rho, self.x)
            step = new - self.x
            size = float(xp.linalg.norm(step)) ** 2
            value, grad = self.g(new)
            objective = self.f(new) + value
            if objective <= self.objective - _DECREASE * self.rho / 2 * size:
                break
            self.rho *= _GROWTH
        else:
            self.stuck = True
            return
        curvature = float(xp.vdot(step, grad - self.grad).real) / max(size, 1e-30)
        # Where g is not convex, the last curvature still says more than none.
        if curvature > 0:
            self.rho = min(max(curvature, self.rho / 10), self.rho * 10)
        sp.copyto(self.x, new)
        self.value, self.grad, self.objective = value, grad, objective
        self.resid = size**0.5

    def _done(self):
        return self.stuck or super()._done()
