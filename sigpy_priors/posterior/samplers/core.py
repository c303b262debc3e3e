r"""What every sampler speaks to: a counted denoiser, the data, and noise.

All arrays have a leading sample axis, (N, H, W) images and (N, ...) data.
Everything is in the prior's units: images divided by their scale, and so are
the data and their noise level.

Inner products are those of :math:`R^{2n}`, :math:`\mathrm{Re}\, a^H b`,
because a network's Jacobian is linear over the reals only.
"""

import math

import numpy as np
import sigpy as sp

from sigpy_priors.backend import arrays

__all__ = ["Denoiser", "DataTerm", "Noise", "conjugate_gradient", "flat", "inner"]


def flat(x):
    """Every sample as one vector of real numbers, (N, 2 n): a view if it can be."""
    xp = sp.get_array_module(x)
    return xp.ascontiguousarray(x).view(x.real.dtype).reshape(len(x), -1)


def inner(a, b):
    """Real inner product of every sample, shaped to multiply the samples."""
    out = flat(a)[:, None] @ flat(b)[..., None]
    return out.reshape((-1,) + (1,) * (a.ndim - 1))


def conjugate_gradient(apply, b, x, max_iter, tol=1e-5):
    """Solve ``apply(x) = b`` for every sample on its own.

    A sample stops where its residual is below ``tol`` times its right side,
    so that it does not depend on the samples beside it.

    Args:
        apply (function): self-adjoint positive operator on (N, ...).
        b (array): right sides (N, ...).
        x (array or None): start; None is zero, which saves an application.
        max_iter (int): most steps.
        tol (float): relative residual.

    Returns:
        array: solutions (N, ...).
    """
    xp = sp.get_array_module(b)
    r = b.copy() if x is None else b - apply(x)
    x = xp.zeros_like(b) if x is None else x.copy()
    limit = tol**2 * inner(b, b)
    p, rr = r, inner(r, r)
    for _ in range(max_iter):
        active = rr > limit
        if not active.any():
            break
        q = apply(p)
        pq = inner(p, q)
        step = xp.where(active & (pq > 0), rr / xp.where(pq > 0, pq, 1), 0)
        step = step.astype(rr.dtype)
        x += step * p
        r = r - step * q
        new = inner(r, r)
        p = r + xp.where(active, new / xp.where(rr > 0, rr, 1), 0).astype(rr.dtype) * p
        rr = new
    return x


class Noise:
    """Complex white noise, one random stream per sample.

    A sample's noise depends on the seed and its own number only, not on the
    chunk that it is drawn in.

    Args:
        seed (int): seed of all samples.
        numbers (sequence of int): the samples of this chunk.
        like (array): its dtype and device are used.
    """

    def __init__(self, seed, numbers, like):
        self.rngs = [
            np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(i),)))
            for i in numbers
        ]
        self.dtype = np.dtype(like.dtype)
        self.device = sp.get_device(like)

    def __len__(self):
        return len(self.rngs)

    def __call__(self, shape):
        """Draw n ~ CN(0, 1), E|n|^2 = 1, of shape (N, *shape)."""
        real = np.float32 if self.dtype == np.complex64 else np.float64
        out = np.empty((len(self),) + tuple(shape), self.dtype)
        for n, rng in zip(out, self.rngs):
            z = rng.standard_normal((2,) + tuple(shape), dtype=real)
            n.real, n.imag = z * math.sqrt(0.5)
        return sp.to_device(out, self.device)


class Denoiser:
    """A prior's denoiser on samples, with its Jacobian and its cost.

    Args:
        prior (DenoiserPrior): the prior.
        progress (function or None): told of every image that went through the
            network, or its Jacobian.

    Attributes:
        forwards (int): images denoised.
        vjps (int): images multiplied with the adjoint Jacobian, each of which
            costs about as much as denoising once more.
    """

    def __init__(self, prior, progress=None):
        self.prior = prior
        self.sigma_range = prior.sigma_range
        self.forwards = 0
        self.vjps = 0
        self._progress = progress or (lambda count: None)

    @property
    def evaluations(self):
        """Network evaluations: forward passes and Jacobian products."""
        return self.forwards + self.vjps

    def __call__(self, x, sigma):
        out = self.prior.denoise(x, float(sigma))
        self.forwards += len(x)
        self._progress(len(x))
        return out

    def linearize(self, x, sigma):
        """Denoise, and get the adjoint Jacobian at ``x``.

        Args:
            x (array): images (N, H, W).
            sigma (float): noise level.

        Returns:
            tuple: D(x, sigma), and a function that multiplies images with the
            adjoint of its Jacobian.
        """
        import torch

        z = arrays.to_torch(x).detach().clone().requires_grad_()
        out = self.prior.denoise(z, float(sigma))
        self.forwards += len(x)
        self._progress(len(x))

        def pullback(v):
            (g,) = torch.autograd.grad(out, z, arrays.to_torch(v), retain_graph=True)
            self.vjps += len(x)
            self._progress(len(x))
            return arrays.from_torch(g.detach().resolve_conj(), x)

        return arrays.from_torch(out.detach(), x), pullback


class DataTerm:
    r"""The likelihood :math:`CN(y; A x, \sigma_y^2 I)`.

    Args:
        A (Linop): any SigPy operator from (H, W).
        y (array): data, of A's output shape.
        sigma (float): noise level :math:`\sigma_y` > 0.
        normal (Linop or None): a faster :math:`A^H A`; default ``A.N``.

    Attributes:
        normals (int): applications of :math:`A^H A` to one image, where A and
            its adjoint count half each.
    """

    def __init__(self, A, y, sigma, normal=None):
        self.A, self.AH = A, A.H
        self._normal = normal or A.N
        self.y = y
        self.sigma = float(sigma)
        self.shape = tuple(A.ishape)
        self.normals = 0
        self.AHy = self.AH(y)

    def _map(self, op, x, cost):
        self.normals += cost * len(x)
        xp = sp.get_array_module(x)
        return xp.stack([op(v) for v in x]).astype(x.dtype, copy=False)

    def forward(self, x):
        """A x of every sample."""
        return self._map(self.A, x, 0.5)

    def adjoint(self, u):
        """A^H u of every sample."""
        return self._map(self.AH, u, 0.5)

    def normal(self, x):
        """A^H A x of every sample."""
        return self._map(self._normal, x, 1)

    def gradient(self, x):
        r"""Ascent direction :math:`A^H (y - A x)` of every sample."""
        return self.AHy - self.normal(x)

    def solve(self, rho, b, x=None, max_iter=50, tol=1e-5):
        r"""Solve :math:`(A^H A + \rho) x = b` by conjugate gradients."""
        return conjugate_gradient(
            lambda v: self.normal(v) + rho * v, b, x, max_iter, tol
        )

    def prox(self, z, r, max_iter=50):
        r"""Mean of :math:`N(x; z, r^2) CN(y; A x, \sigma_y^2)` over x."""
        rho = (self.sigma / r) ** 2
        return self.solve(rho, self.AHy + rho * z, z, max_iter)

    def draw(self, z, r, noise, max_iter=50):
        r"""Draw from :math:`N(x; z, r^2) CN(y; A x, \sigma_y^2)` exactly.

        Perturb data and z with their noise and solve: with
        :math:`n_1, n_2 \sim CN(0, I)`

        .. math::
            (A^H A + \rho) x = A^H (y + \sigma_y n_1) + \rho (z + r n_2),
            \quad \rho = \sigma_y^2 / r^2

        References:
            Papandreou, G., & Yuille, A. (2010). Gaussian sampling by local
            perturbations. NeurIPS.
        """
        rho = (self.sigma / r) ** 2
        z = z + r * noise(self.shape)
        b = self.AHy + self.sigma * self.adjoint(noise(self.A.oshape)) + rho * z
        return self.solve(rho, b, z, max_iter)
