r"""What Jacobian products have found of a Gaussian's covariance, and its use.

For images :math:`x \sim CN(D, V)`, of which V is known by pairs
:math:`g_i = V v_i`, and data :math:`y = A x + n`: the most probable x in
:math:`D + \mathrm{span}(g_i)`, and the probability of the data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.scan.problem import Problem
from sigpy_priors.scan.solve import flat, inner

__all__ = ["Subspace"]

# Eigenvalues of the small systems below this, relative to the unit diagonal,
# are rounding errors, or directions in which a network's Jacobian is not
# that of a covariance.
_RANK_TOL = 1e-5
_SYMMETRY_TOL = 0.1


class Subspace:
    r"""Pairs :math:`g_i = V v_i` of every sample.

    At another level :math:`V'^{-1} = V^{-1} + \sigma'^{-2} - \sigma^{-2}`. So
    kept are :math:`g_i` and :math:`u_i = v_i - \sigma^{-2} g_i`, which belong
    to no level, and their real inner products, of which the small systems are
    made: a network's Jacobian is linear over the reals only.

    Args:
        data (Problem): likelihood, in the prior's units.
        capacity (int): pairs to keep, two images each.
    """

    def __init__(self, data: Problem, capacity: int = 64) -> None:
        self.data = data
        self.capacity = capacity
        self.count = 0
        self.precision = 0.0

    def level(self, sigma: Any) -> None:
        """Go on at another sigma."""
        self.precision = sigma**-2

    def add(self, v: Any, g: Any) -> None:
        """Add a pair of the current level, and drop old ones it contradicts.

        V is self-adjoint, so that v_i^H g = g_i^H v. Where the prior is far
        from Gaussian, pairs of earlier levels break this. When all places are
        taken, the oldest pair gives its own.
        """
        xp = sp.get_array_module(v)
        n = self.data.normal(g) / self.data.noise_std**2
        u = v - self.precision * g
        g, n, u = flat(g), flat(n), flat(u)
        if not self.count:
            self._allocate(xp, g)
        i = self.count % self.capacity
        self.count += 1
        self.g[:, i], self.h[:, i] = g, n + u
        k = self._size
        products = self.g[:, :k] @ xp.stack([g, n, u], -1)
        gg, gn, gu = xp.moveaxis(products.astype(np.float64), -1, 0)
        # u_j^H g, since A^H A is self-adjoint.
        ug = (self.h[:, :k] @ g[..., None])[..., 0] - gn
        for small, row in ((self.gg, gg), (self.gn, gn), (self.gu, (gu + ug) / 2)):
            small[:, :k, i] = small[:, i, :k] = row
        size = self._diagonal(self._vg)
        bound = _SYMMETRY_TOL**2 * size * size[:, i : i + 1]
        good = (ug - gu) ** 2 <= bound.clip(0, None)
        good[:, i] = True
        # Zeros take no part in anything.
        for small in (self.gg, self.gn, self.gu):
            small[:, :k, :k] *= good[:, :, None] & good[:, None, :]

    def _allocate(self, xp, g):
        """Images g_i and n_i + u_i with n_i = A^H A g_i / sigma_y^2, and products."""
        shape = (len(g), self.capacity, g.shape[1])
        self.g, self.h = xp.empty(shape, g.dtype), xp.empty(shape, g.dtype)
        square = (len(g), self.capacity, self.capacity)
        self.gg, self.gn, self.gu = (xp.zeros(square) for _ in range(3))

    @property
    def _size(self):
        return min(self.count, self.capacity)

    @property
    def _gn(self):
        """Gram matrices g_i^H A^H A g_j / sigma_y^2 of every sample."""
        return self.gn[:, : self._size, : self._size]

    @property
    def _vg(self):
        """Gram matrices v_i^H g_j of every sample."""
        return (self.gu + self.precision * self.gg)[:, : self._size, : self._size]

    @staticmethod
    def _diagonal(small: Array) -> Array:
        return small.diagonal(axis1=1, axis2=2)

    def _along(self, image):
        """g_i^H image of every sample, zero for pairs that were dropped."""
        alive = self._diagonal(self.gg)[:, : self._size, None] > 0
        return alive * (self.g[:, : self._size] @ flat(image)[..., None])

    def minimise(self, mean: Array, gradient: Array) -> tuple[Array, ...]:
        r"""The most probable image, and the gradient of log p(y | x) there.

        Args:
            mean (array): D (N, H, W).
            gradient (array): :math:`A^H (y - A D) / \sigma_y^2`.

        Returns:
            tuple of array: image and gradient (N, H, W).
        """
        if not self.count:
            return mean, gradient
        xp, k = sp.get_array_module(mean), self._size
        m = self._gn + self._vg
        scale = self._diagonal(m)
        scale = xp.sqrt(xp.where(scale > 0, scale, 1))[..., None]
        values, vectors = xp.linalg.eigh(m / scale / scale.swapaxes(1, 2))
        keep = values > _RANK_TOL
        inverse = xp.where(keep, 1 / xp.where(keep, values, 1), 0)[..., None]
        b = self._along(gradient) / scale
        a = vectors @ (inverse * (vectors.swapaxes(1, 2) @ b)) / scale
        a = a.swapaxes(1, 2).astype(self.g.dtype)
        step, change = (
            (a @ images[:, :k]).view(mean.dtype).reshape(mean.shape)
            for images in (self.g, self.h)
        )
        return mean + step, gradient - change - self.precision * step

    def log_evidence(self, mean: Array, gradient: Array) -> Array:
        r"""Logarithm of :math:`CN(y; A D, A V A^H + \sigma_y^2)`, up to a constant.

        Exact if the pairs span what the data see of V. In coordinates where V is
        the identity and :math:`A^H A / \sigma_y^2` is diagonal with
        :math:`\lambda_i`, and the gradient has the components :math:`c_i`:

        .. math::
            - \frac{\|y - A D\|^2}{\sigma_y^2} + \sum_i \frac{c_i^2}{1 + \lambda_i}
            - \frac{1}{2} \sum_i \log(1 + \lambda_i)

        Args:
            mean (array): D (N, H, W).
            gradient (array): :math:`A^H (y - A D) / \sigma_y^2`.

        Returns:
            array: shape (N, 1, 1).
        """
        xp = sp.get_array_module(mean)
        values, vectors = xp.linalg.eigh(self._vg)
        keep = values > _RANK_TOL * values[:, -1:]
        root = xp.where(keep, 1 / xp.sqrt(xp.where(keep, values, 1)), 0)
        white = vectors * root[:, None, :]
        m = white.swapaxes(1, 2) @ self._gn @ white
        values, vectors = xp.linalg.eigh((m + m.swapaxes(1, 2)) / 2)
        values = values.clip(0, None)
        c = ((white @ vectors).swapaxes(1, 2) @ self._along(gradient))[..., 0]
        r = self.data.y - self.data.forward(mean)
        log_p = (c**2 / (1 + values) - xp.log1p(values) / 2).sum(axis=1)
        return (
            log_p[:, None, None]
            - inner(r, r).reshape(-1, 1, 1) / self.data.noise_std**2
        )
