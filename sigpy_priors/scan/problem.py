r"""The inverse problem that every app solves: operator, data, noise, units.

An app says what to do with a :class:`Problem`; how one comes from k-space is
written in :mod:`.sense`, once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_number
from sigpy_priors.linop.batch import many
from sigpy_priors.linop.frame import mean_square, pseudo_inverse
from sigpy_priors.scan.solve import conjugate_gradient

__all__ = ["FIRST_ITER", "Problem", "check_noise_std"]

_NORM_ITER = 10
# The first image: regularisation relative to the squared gain, and steps.
_FIRST_RHO = 1e-2
FIRST_ITER = 8
# A pixel that draws of A^H u reach with less than this, relative to their root
# mean square, is not seen: three draws are that small by chance once in 1e17.
_UNSEEN = 1e-3
_PROBES = 3


_MOST_NOISE = 1e150  # whose square is finite


def check_noise_std(noise_std: float) -> None:
    """Raise a ValueError for a noise level that is negative or not finite."""
    if check_number("noise_std", noise_std) > _MOST_NOISE:
        raise ValueError(
            f"noise_std must be at most {_MOST_NOISE:g}, got {noise_std:g}; it is in "
            f"the units of y."
        )


class Problem:
    r"""Find x in :math:`y = A x + n`, :math:`n \sim CN(0, \sigma_y^2 I)`.

    The methods take an image or a batch of them, ``(..., *A.ishape)``; the data
    are the same for all.

    Args:
        A (Linop): from images, of any number of axes.
        y (array): data, of the output shape of ``A`` and on its device.
        noise_std (float): :math:`\sigma_y`, in the units of ``y``.
        normal (Linop or None): a faster :math:`A^H A`; None is ``A.N``.
        gain (float or None): what the operator multiplies a typical image by,
            where it is known; None is :attr:`norm`.
        support (array or None): bool, where the data see the image, if known.
        comm (Communicator or None): each process has a part of the data.

    Attributes:
        shape (tuple of int): of an image.
        normals (float): applications of :math:`A^H A` to one image so far;
            those of A and of its adjoint count half.
        first_fit (tuple): regularisation of the first image, relative to the squared
            gain, and steps.
        linear (bool): True; see :mod:`.magnitude` for another likelihood.

    Raises:
        ValueError: if the shapes do not fit or the noise level is no number.
    """

    linear = True
    first_fit: tuple[float, int] = _FIRST_RHO, FIRST_ITER

    def __init__(
        self,
        A: sp.linop.Linop,
        y: Array,
        noise_std: float,
        normal: sp.linop.Linop | None = None,
        gain: float | None = None,
        support: Array | None = None,
        comm: Any = None,
    ) -> None:
        check_noise_std(noise_std)
        if tuple(y.shape) != tuple(A.oshape):
            raise ValueError(
                f"A: expected an operator to y's shape {tuple(y.shape)}, got one from "
                f"{tuple(A.ishape)} to {tuple(A.oshape)}."
            )
        # Real-valued data would make solutions real.
        y = y.astype(np.result_type(y.dtype, np.complex64), copy=False)
        self.A, self.y, self.noise_std = A, y, float(noise_std)
        self.shape = tuple(A.ishape)
        self.comm = comm
        self.normals = 0.0
        self._first: Any = None
        self._normal = normal or A.N
        self._gain, self._support = gain, support
        self.AHy = A.H(y)

    def _map(self, op: Any, x: Array, ndim: int, cost: float) -> Array:
        """Apply an operator to every member of a batch."""
        batch = x.shape[: x.ndim - ndim]
        count = math.prod(batch)
        self.normals += cost * count
        if not batch:
            return op(x).astype(x.dtype, copy=False)
        members = x.reshape((count,) + x.shape[len(batch) :])
        out = many(op, members).astype(x.dtype, copy=False)
        return out.reshape(batch + out.shape[1:])

    def forward(self, x: Array) -> Array:
        """A x of every image."""
        return self._map(self.A, x, len(self.shape), 0.5)

    def adjoint(self, u: Array) -> Array:
        """A^H u of data ``(..., *A.oshape)``."""
        return self._map(self.A.H, u, len(self.A.oshape), 0.5)

    def normal(self, x: Array) -> Array:
        """A^H A x of every image."""
        return self._map(self._normal, x, len(self.shape), 1)

    def value(self, x: Array) -> float:
        r"""The data term of one image, :math:`\frac{1}{2}\|A x - y\|^2`."""
        resid = self.forward(x) - self.y
        norm = float(sp.get_array_module(resid).linalg.norm(resid))
        value = np.array([0.5 * norm**2])
        if self.comm is not None:  # every process has some of the coils
            self.comm.allreduce(value)
        return float(value[0])

    def gradient(self, x: Array) -> Array:
        r"""Of the data term: :math:`A^H (A x - y)` of every image."""
        return self.normal(x) - self.AHy

    def solve(
        self,
        rho: float,
        b: Array,
        x: Array | None = None,
        max_iter: int = 50,
        tol: Any = 1e-5,
        G: sp.linop.Linop | None = None,
    ) -> Array:
        r"""Solve :math:`(A^H A + \rho\, G^H G) x = b` by conjugate gradients.

        Args:
            rho (float): > 0.
            b (array): right sides ``(N, *shape)``, or one ``(*shape)``.
            x (array or None): start, zero by default.
            max_iter (int): most steps.
            tol (float or array): residual, relative to ``b``.
            G (Linop or None): from images; None is the identity.

        Returns:
            array: like ``b``.
        """

        def apply(v: Array) -> Array:
            v2 = v if G is None else self._map(G.N, v, len(self.shape), 0)
            return self.normal(v) + rho * v2

        single = b.ndim == len(self.shape)
        if single:
            b, x = b[None], None if x is None else x[None]
        out = conjugate_gradient(apply, b, x, max_iter, tol)
        return out[0] if single else out

    def prox(
        self,
        alpha: float,
        z: Array,
        x: Array | None = None,
        max_iter: int = 50,
        tol: Any = 1e-5,
    ) -> Array:
        r"""Minimise :math:`\frac{1}{2}\|A x - y\|^2 + \frac{1}{2\alpha}\|x - z\|^2`.

        With :math:`\alpha = r^2 / \sigma_y^2` this is the mean of
        :math:`N(x; z, r^2)\, CN(y; A x, \sigma_y^2)` over x.

        Args:
            alpha (float): step size.
            z (array): images.
            x (array or None): where conjugate gradients start.
            max_iter (int): most steps.
            tol (float or array): residual, relative to the right side.

        Returns:
            array: like ``z``.
        """
        return self.solve(1 / alpha, self.AHy + z / alpha, x, max_iter, tol)

    @property
    def first_rho(self) -> float:
        """float: regularisation of the first image."""
        return self.first_fit[0] * self.gain**2 or 1.0

    def first_image(self) -> Array:
        """Mildly regularised least squares, for the start and the scale."""
        if self._first is None:
            steps = self.first_fit[1]
            self._first = self.solve(self.first_rho, self.AHy, None, steps, 0.0)
        return self._first.copy()

    def draw(self, z: Array, r: float, noise: Callable, max_iter: int = 50) -> Array:
        r"""Draw from :math:`N(x; z, r^2) CN(y; A x, \sigma_y^2)` exactly.

        Perturb data and z with their noise and solve: with
        :math:`n_1, n_2 \sim CN(0, I)`

        .. math::
            (A^H A + \rho) x = A^H (y + \sigma_y n_1) + \rho (z + r n_2),
            \quad \rho = \sigma_y^2 / r^2

        Args:
            z (array): images ``(N, *shape)``.
            r (float): their standard deviation.
            noise (callable): white noise CN(0, 1) of a shape, for N members.
            max_iter (int): most conjugate gradient steps.

        Returns:
            array: like ``z``.

        References:
            Papandreou, G., & Yuille, A. (2010). Gaussian sampling by local
            perturbations. NeurIPS.
        """
        rho = (self.noise_std / r) ** 2
        z = z + r * noise(self.shape)
        b = self.AHy + self.noise_std * self.adjoint(noise(self.A.oshape)) + rho * z
        return self.solve(rho, b, z, max_iter)

    @cached_property
    def norm(self) -> float:
        r""":math:`\|A\|`, by power iteration; 0 for A = 0."""
        return math.sqrt(self.largest(_NORM_ITER))

    def largest(self, max_iter: int) -> float:
        r"""Largest eigenvalue of :math:`A^H A`, by power iteration.

        (That of SigPy begins with numpy's global random numbers.)

        Args:
            max_iter (int): iterations.

        Returns:
            float: from below; 0 for A = 0.
        """
        xp = sp.get_array_module(self.AHy)
        x = xp.ones(self.shape, self.AHy.dtype)
        x += xp.asarray(np.random.default_rng(0).standard_normal(x.shape))
        size = 0.0
        for _ in range(max_iter):
            x = self.normal(x / xp.linalg.norm(x))
            size = float(xp.linalg.norm(x))
            if size == 0:
                break
        return size

    @property
    def gain(self) -> float:
        """What A multiplies a typical image by: a factor on A is one on this."""
        return self.norm if self._gain is None else self._gain

    @cached_property
    def support(self) -> Array:
        """Where the data see the image at all: bool, ``(*shape)``.

        Elsewhere the row of :math:`A^H A` is zero, and so is every draw of
        :math:`A^H u`.
        """
        if self._support is not None:
            return self._support
        xp = sp.get_array_module(self.AHy)
        rng = np.random.default_rng(0)
        seen = xp.zeros(self.shape)
        for _ in range(_PROBES):
            u = rng.standard_normal((2, *self.A.oshape))
            u = xp.asarray(u[0] + 1j * u[1]).astype(self.y.dtype)
            seen = xp.maximum(seen, xp.abs(self.adjoint(u)))
        return seen > _UNSEEN * xp.sqrt(xp.mean(seen**2))

    def in_units_of(self, scale: float, gain: float | None = None) -> Problem:
        """The same problem of x / scale, for an operator of unit gain.

        Args:
            scale (float): image magnitude that becomes 1.
            gain (float or None): what A is divided by; default :attr:`gain`.

        Returns:
            Problem: shares the arrays' memory where it can.
        """
        gain = self.gain if gain is None else gain
        made = Problem.__new__(Problem)
        made.__dict__.update(
            A=self.A * (1 / gain),
            y=self.y / (gain * scale),
            noise_std=self.noise_std / (gain * scale),
            shape=self.shape,
            comm=self.comm,
            normals=0.0,
            _first=None,
            first_fit=self.first_fit,
            _normal=self._normal * (1 / gain**2),
            _gain=self.gain / gain,
            _support=self._support,
            AHy=self.AHy / (gain**2 * scale),
        )
        return made

    def lift(self, W: sp.linop.Linop, pinv: sp.linop.Linop | None = None) -> Problem:
        r"""The same problem with z = W x as the unknown, for a prior of z.

        .. math::
            y = A W^+ z + n, \quad 0 = \mu (1 - W W^+) z + n'

        The second line is there where W has more rows than columns: it keeps z in
        the range of W, up to the noise of the data, :math:`\mu` being what
        :math:`A W^+` multiplies a typical z by. The result is
        :math:`x = W^+ z`, which what is left outside of the range does not touch.
        So every sampler samples with a prior that knows z beyond this range as if
        given that z is in it; exactly so for a Gaussian whose covariance commutes
        with :math:`W W^+`, for any :math:`\mu > 0`.

        The scale at which the prior of z is to be called is that of x: give
        :class:`sigpy_priors.app.sampling.PosteriorSampling` ``scale=``
        :func:`~sigpy_priors.scan.noise.estimate_scale` of :meth:`first_image`.

        Args:
            W (Linop): from images to z.
            pinv (Linop or None): its pseudo-inverse; None finds it
                (:func:`sigpy_priors.linop.frame.pseudo_inverse`).

        Returns:
            Problem: of z, ``W.oshape``.

        Raises:
            ValueError: if W does not fit, or loses what the data see.
        """
        return _lifted(self, W, pseudo_inverse(W) if pinv is None else pinv)


def _lifted(problem: Problem, W: sp.linop.Linop, inverse: sp.linop.Linop) -> Problem:
    if tuple(W.ishape) != problem.shape:
        raise ValueError(
            f"W: expected an operator from images {problem.shape}, got one from "
            f"{tuple(W.ishape)}."
        )
    xp = sp.get_array_module(problem.y)
    x = xp.asarray(np.random.default_rng(0).standard_normal(problem.shape))
    x = x.astype(problem.AHy.dtype)
    seen = float(xp.linalg.norm(problem.forward(x)))
    lost = float(xp.linalg.norm(problem.forward(x - inverse(W(x)))))
    if lost > 1e-3 * seen:
        raise ValueError(
            f"W: {W} loses {lost / seen:.2g} of what the data see, expected "
            f"W^+ W = 1: with several W that keep all together, take a Product."
        )
    gain = problem.gain / math.sqrt(mean_square(W))
    A, y = problem.A * inverse, problem.y
    normal = inverse.H * problem._normal * inverse
    if math.prod(W.oshape) > math.prod(W.ishape):
        if problem.comm is not None:
            raise ValueError("W: expected as many rows as columns with comm=.")
        beyond = sp.linop.Identity(W.oshape) - W * inverse  # a projection
        A = sp.linop.Vstack([A, gain * beyond])
        y = xp.concatenate([y.ravel(), xp.zeros(math.prod(W.oshape), y.dtype)])
        normal = normal + gain**2 * beyond
    everywhere = xp.ones(W.oshape, bool)
    return Problem(
        A, y, problem.noise_std, normal, gain or None, everywhere, problem.comm
    )
