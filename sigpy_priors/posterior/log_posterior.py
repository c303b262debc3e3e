r"""The exact log-posterior of a density, and the Gaussian that chains move along.

.. math::
    \log \pi(x) = -\frac{\|A x - y\|^2}{\sigma_y^2} + c \log p(x) + \text{const}

with the prior's ``strength`` c. Real and imaginary parts count as :math:`R^{2n}`, in
which gradients are :math:`2 \partial / \partial \bar x`. Near the maximum
:math:`\bar x` the posterior is about :math:`N(\mu, M^{-1})` with

.. math::
    M = \frac{2}{\sigma_y^2} A^H A + K, \quad
    M \mu = \frac{2}{\sigma_y^2} A^H y + K \bar x, \quad K = F^H \text{diag}(m) F

and m(k) the curvature of :math:`-c \log p` at each spatial frequency: images are far less
certain in what is coarse than in what is fine. It is the diagonal of the Hessian in
k-space, by finite differences along white noise, averaged over rings. What is not in
it is :math:`U_1 = -c \log p - \frac{1}{2} (x - \bar x)^H K (x - \bar x)`.

Where the data do not see the image, x is held at zero: chains are those of the posterior
given that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.priors.base import DensityPrior
from sigpy_priors.scan.problem import Problem
from sigpy_priors.scan.solve import conjugate_gradient

__all__ = ["LogPosterior"]

# White noise of finite differences, relative to the prior's scale, and how much of it.
_STEP = 1e-3
_PROBES = 4
_RINGS = 12
# Of M^-1: a draw has to be right; of a force any function of x will do.
_TOL, _FORCE_TOL = 1e-5, 1e-2
_STEPS = 200


class LogPosterior:
    r"""Everything that a chain asks of the posterior.

    Args:
        problem (Problem): at the prior's scale, of images (H, W).
        prior (DensityPrior): the prior.
        support (array): bool, where the data see the image.

    Attributes:
        gradients (int): of the prior, so far, of one image each.
        curvature (array): m(k) in centred k-space, (H, W), after :meth:`around`.
        center (array): the maximum (H, W), likewise.
        mean (array): :math:`\mu`, (H, W).
    """

    def __init__(self, problem: Problem, prior: DensityPrior, support: Array) -> None:
        self.problem, self.prior, self.support = problem, prior, support
        self.gradients = 0
        self.curvature: Any = None
        self.center: Any = None
        self.mean: Any = None
        self._half = problem.noise_std**2 / 2  # of the data's noise: its variance

    def _in_kspace(self, weight: Array, x: Array) -> Array:
        """F^H diag(weight) F of images (N, H, W), on the support."""
        k = weight * sp.fft(x, axes=(-2, -1))
        return (sp.ifft(k, axes=(-2, -1)) * self.support).astype(x.dtype, copy=False)

    def _solve(self, b: Array, tol: float = _TOL) -> Array:
        """M^-1 of images (N, H, W) on the support."""

        def apply(v: Array) -> Array:
            return self.problem.normal(v) + self._half * self._in_kspace(
                self.curvature, v
            )

        return conjugate_gradient(apply, self._half * b, None, _STEPS, tol)

    def around(self, center: Array, curvature: Array) -> None:
        """Set the Gaussian.

        Args:
            center (array): the maximum (H, W).
            curvature (array): m(k), (H, W), > 0.
        """
        xp = sp.get_array_module(center)
        self.center, self.curvature = center, xp.asarray(curvature)
        b = self.problem.AHy / self._half * self.support
        self.mean = self._solve((b + self._in_kspace(curvature, center))[None])[0]

    def prior_value_and_grad(self, x: Array) -> tuple[Array, Array]:
        """c log p and its gradient on the support, of images (N, H, W)."""
        c = self.prior.strength
        value, grad = self.prior.log_prob_and_grad(x)
        self.gradients += len(x)
        return c * value, (c * grad * self.support).astype(x.dtype, copy=False)

    def force(self, x: Array, grad: Array) -> Array:
        """-M^-1 of the gradient of U_1, given that of c log p."""
        away = self._in_kspace(self.curvature, x - self.center)
        return self._solve(grad + away, _FORCE_TOL)

    def potential(self, x: Array, value: Array) -> Array:
        """-log posterior of every image, given c log p."""
        left = self.problem.forward(x) - self.problem.y
        return _product(left, left) / (2 * self._half) - value

    def kinetic(self, v: Array) -> Array:
        """v^T M v / 2 of every velocity."""
        moved = self.problem.forward(v)
        moved = _product(moved, moved) / (2 * self._half)
        return moved + _product(v, self._in_kspace(self.curvature, v)) / 2

    def velocity(self, noise: Callable) -> Array:
        """Draw from N(0, M^-1), by perturbation of the data and of the prior.

        Args:
            noise (callable): white noise CN(0, 1) of a shape, for N members.

        Returns:
            array: (N, H, W).
        """
        data = self.problem.adjoint(noise(self.problem.A.oshape)) * self.support
        root = sp.get_array_module(data).sqrt(2 * self.curvature)
        prior = self._in_kspace(root, noise(self.problem.shape))
        return self._solve(2 / self.problem.noise_std * data + prior)

    def find_curvature(self, x: Array, noise: Callable) -> Array:
        """m(k) around images.

        Args:
            x (array): images (N, H, W).
            noise (callable): white noise CN(0, 1) of a shape, for N members.

        Returns:
            array: (H, W), at least that of a prior of variance one.
        """
        xp = sp.get_array_module(x)
        v, u = (xp.linspace(-1, 1, n, endpoint=False) for n in x.shape[-2:])
        ring = xp.sqrt(xp.minimum((v[:, None] ** 2 + u**2) / 2, 1))
        ring = xp.minimum((_RINGS * ring).astype(int), _RINGS - 1).reshape(-1)
        along, power = xp.zeros(_RINGS), xp.zeros(_RINGS)
        for _ in range(_PROBES):
            z = _STEP * noise(x.shape[-2:]) * self.support
            change = [self.prior_value_and_grad(x + s * z)[1] for s in (1, -1)]
            z: Any = sp.fft(z, axes=(-2, -1))
            turned: Any = sp.fft((change[1] - change[0]) / 2, axes=(-2, -1))
            for total, part in ((along, turned), (power, z)):
                values = xp.real(z.conj() * part).sum(axis=0).reshape(-1)
                total += xp.bincount(ring, values.astype(float), _RINGS)
        least = 2 * self.prior.strength
        found = xp.maximum(along / xp.maximum(power, 1e-30), least)
        return found[ring].reshape(x.shape[-2:]).astype(x.real.dtype)


def _product(a: Array, b: Array) -> Array:
    """Re a^H b of every member, in double precision."""
    xp = sp.get_array_module(a)
    parts = (v.astype(xp.complex128).reshape(len(v), -1) for v in (a, b))
    first, second = parts
    return (first.conj() * second).real.sum(axis=1)
