r"""What Jacobian products have found of a Gaussian's covariance, and its use.

For images :math:`x \sim CN(D, V)`, of which V is known by pairs
:math:`g_i = V v_i`, and data :math:`y = A x + n`: the most probable x in
:math:`D + \mathrm{span}(g_i)`, and the probability of the data.
"""

import numpy as np
import sigpy as sp

from sigpy_priors.samplers.core import inner

__all__ = ["Subspace"]

# Eigenvalues of the small systems below this, relative to the unit diagonal,
# are rounding errors, or directions in which a network's Jacobian is not
# that of a covariance.
_RANK_TOL = 1e-5
_SYMMETRY_TOL = 0.1


class Subspace:
    """Pairs :math:`g_i = V v_i` of every sample.

    Args:
        data (DataTerm): likelihood.
        capacity (int): pairs to keep, three images each.
    """

    def __init__(self, data, capacity=64):
        self.data = data
        self.capacity = capacity
        self.g, self.v, self.ng = [], [], []
        self.sigma = None

    def level(self, sigma):
        """Go on at another sigma: V'^-1 = V^-1 + sigma'^-2 - sigma^-2."""
        if self.sigma is not None:
            change = sigma**-2 - self.sigma**-2
            self.v = [v + change * g for v, g in zip(self.v, self.g)]
        self.sigma = sigma

    def add(self, v, g):
        """Add a pair of the current level, and drop old ones it contradicts.

        V is self-adjoint, so that v_i^H g = g_i^H v. Where the prior is far
        from Gaussian, pairs of earlier levels break this.
        """
        size = inner(v, g)
        for i in range(len(self.g)):
            gap = inner(self.v[i], g) - inner(self.g[i], v)
            bound = size * inner(self.v[i], self.g[i])
            good = gap**2 <= _SYMMETRY_TOL**2 * bound.clip(0, None)
            # Zeros take no part in the minimisation.
            self.v[i], self.g[i] = self.v[i] * good, self.g[i] * good
            self.ng[i] = self.ng[i] * good
        self.v.append(v)
        self.g.append(g)
        self.ng.append(self.data.normal(g) / self.data.sigma**2)
        if len(self.g) > self.capacity:
            del self.v[0], self.g[0], self.ng[0]

    def _small(self, parts):
        """Gram matrices g_i^H p_j of every sample.

        Real parts: a network's Jacobian is linear over the reals only.
        """
        xp = sp.get_array_module(self.g[0])
        n = len(self.g[0])
        g, p = (xp.stack(a, 1).reshape(n, len(a), -1) for a in (self.g, parts))
        return (g.conj() @ p.swapaxes(1, 2)).real.astype(np.float64)

    def minimise(self, mean, gradient):
        r"""The most probable image, and the gradient of log p(y | x) there.

        Args:
            mean (array): D (N, H, W).
            gradient (array): :math:`A^H (y - A D) / \sigma_y^2`.

        Returns:
            tuple of array: image and gradient (N, H, W).
        """
        if not self.g:
            return mean, gradient
        xp = sp.get_array_module(mean)
        w = [a + b for a, b in zip(self.ng, self.v)]
        small = self._small([*w, gradient])
        m, b = small[..., :-1], small[..., -1:]
        m = (m + m.swapaxes(1, 2)) / 2
        scale = xp.sqrt(xp.maximum(xp.einsum("nii->ni", m), 1e-30))[..., None]
        values, vectors = xp.linalg.eigh(m / scale / scale.swapaxes(1, 2))
        keep = values > _RANK_TOL
        inverse = xp.where(keep, 1 / xp.where(keep, values, 1), 0)[..., None]
        a = vectors @ (inverse * (vectors.swapaxes(1, 2) @ (b / scale))) / scale
        a = a.astype(mean.real.dtype)[..., None]
        for i in range(len(w)):
            mean = mean + a[:, i] * self.g[i]
            gradient = gradient - a[:, i] * w[i]
        return mean, gradient

    def log_evidence(self, mean, gradient):
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
        values, vectors = xp.linalg.eigh(self._small(self.v))
        keep = values > _RANK_TOL * values[:, -1:]
        root = xp.where(keep, 1 / xp.sqrt(xp.where(keep, values, 1)), 0)
        white = vectors * root[:, None, :]
        m = white.swapaxes(1, 2) @ self._small(self.ng) @ white
        values, vectors = xp.linalg.eigh((m + m.swapaxes(1, 2)) / 2)
        values = values.clip(0, None)
        c = ((white @ vectors).swapaxes(1, 2) @ self._small([gradient]))[..., 0]
        r = self.data.y - self.data.forward(mean)
        log_p = (c**2 / (1 + values) - xp.log1p(values) / 2).sum(axis=1)
        return log_p[:, None, None] - inner(r, r).reshape(-1, 1, 1) / self.data.sigma**2
