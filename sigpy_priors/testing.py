"""Checks that a prior, prox or linop of your own keeps its contract.

For your test suite: each raises :class:`ContractError` with what it found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, Prior

__all__ = ["ContractError", "check_linop", "check_prox", "check_prior"]


class ContractError(AssertionError):
    """A check found a broken promise; the message says which."""


def _require(condition, message):
    if not condition:
        raise ContractError(message)


def _random(rng, shape, dtype):
    z = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return (z / 2**0.5).astype(dtype)


def _close(a, b, tol, what):
    error = np.linalg.norm(a - b)
    limit = tol * max(np.linalg.norm(a), np.linalg.norm(b), 1e-30)
    _require(error <= limit, f"{what}: differ by {error:.3g}, allowed {limit:.3g}.")


def check_linop(
    A: sp.linop.Linop, tol: float = 1e-5, dtype: Any = np.complex64, seed: int = 0
) -> None:
    r"""Check :math:`\langle Ax, y\rangle = \langle x, A^H y\rangle`, linearity
    and :math:`A^H A` = ``A.N`` of a linear operator.

    Args:
        A (sigpy.linop.Linop): operator on numpy arrays.
        tol (float): relative tolerance.
        dtype (dtype): complex type of the inputs.
        seed (int): random seed.

    Raises:
        ContractError: naming the property that fails, by how much.
    """
    rng = np.random.default_rng(seed)
    x, x2 = _random(rng, A.ishape, dtype), _random(rng, A.ishape, dtype)
    y = _random(rng, A.oshape, dtype)
    Ax = A(x)
    size = np.linalg.norm(Ax) * np.linalg.norm(y)
    gap = abs(np.vdot(Ax, y) - np.vdot(x, A.H(y)))
    _require(gap <= tol * size, f"{A}: adjoint differs by {gap:.3g} of {size:.3g}.")
    _close(A(x + 2j * x2), Ax + 2j * A(x2), tol, f"{A}: A(x + 2i z) and A x + 2i A z")
    _close(A.N(x), A.H(Ax), tol, f"{A}: A.N and A.H A")


def check_prox(
    prox: sp.prox.Prox,
    g: Callable | None = None,
    alpha: float = 0.3,
    tol: float = 1e-3,
    dtype: Any = np.complex128,
    seed: int = 0,
) -> Any:
    """Check that a prox keeps shape and dtype, leaves its input alone, and
    minimises what it should.

    Args:
        prox (sigpy.prox.Prox): proximal operator on numpy arrays.
        g (function or None): the function whose prox it is; then no point
            around the result may have a lower objective.
        alpha (float): step at which it is called.
        tol (float): size of the steps around the result, relative.
        dtype (dtype): complex type of the input.
        seed (int): random seed.

    Raises:
        ContractError: naming the property that fails.
    """
    rng = np.random.default_rng(seed)
    z = _random(rng, prox.shape, dtype)
    kept = z.copy()
    x = prox(alpha, z)
    _require(np.array_equal(z, kept), f"{prox} changed its input in place.")
    _require(
        x.shape == z.shape and x.dtype == z.dtype,
        f"{prox}: expected {z.shape} {z.dtype}, got {x.shape} {x.dtype}.",
    )
    _require(np.isfinite(x).all(), f"{prox}: result is not finite.")
    if g is None:
        return

    def objective(v):
        return 0.5 * np.linalg.norm(v - z) ** 2 + alpha * g(v)

    best = objective(x)
    for _ in range(20):
        step = tol * np.linalg.norm(x) * _random(rng, z.shape, dtype) / z.size**0.5
        other = objective(x + step)
        _require(
            other >= best - 1e-9 * abs(best),
            f"{prox}: not the minimiser, objective {best:.6g}, nearby {other:.6g}.",
        )


def check_prior(
    prior: Prior,
    shape: tuple[int, ...],
    sigma: float = 0.1,
    scale: float = 0.5,
    tol: float = 1e-4,
    seed: int = 0,
) -> None:
    """Check the contract of a prior at one image shape.

    Shape, dtype and kind of array are kept, images of a batch do not see
    each other and may be none, noise 0 changes nothing, score and denoiser
    agree by Tweedie's formula, and a density's gradient is that of its
    log-density.

    Args:
        prior (Prior): denoiser or density prior, or both.
        shape (tuple of int): image shape (H, W).
        sigma (float): standard deviation of the complex noise.
        scale (float): size of the random test images.
        tol (float): relative tolerance in single precision.
        seed (int): random seed.

    Raises:
        ContractError: naming the property that fails.
    """
    rng = np.random.default_rng(seed)
    x = scale * _random(rng, (2, 3) + tuple(shape), np.complex128)
    if isinstance(prior, DenoiserPrior):
        _check_denoiser(prior, x, sigma, tol)
    if isinstance(prior, DensityPrior):
        _check_density(prior, x[0, 0], rng)


def _check_denoiser(prior, x, sigma, tol):
    import torch

    exact = prior.denoise(x, sigma)
    for dtype in (np.complex64, np.complex128):
        out = prior.denoise(x.astype(dtype), sigma)
        _require(
            isinstance(out, np.ndarray) and out.shape == x.shape and out.dtype == dtype,
            f"{prior}: {dtype.__name__} {x.shape} became {out.dtype} {out.shape}.",
        )
        _close(out, exact, tol, f"{prior}: {dtype.__name__} and complex128")
    _require(np.isfinite(exact).all(), f"{prior}: result is not finite.")
    tensor = prior.denoise(torch.from_numpy(x), sigma)
    _require(torch.is_tensor(tensor), f"{prior}: a tensor became {type(tensor)}.")
    _close(tensor.numpy(), exact, 1e-10, f"{prior}: torch and numpy")
    _close(
        prior.denoise(x[1, 2], sigma), exact[1, 2], tol, f"{prior}: batch and single"
    )
    levels = np.linspace(0.5, 1.5, 3) * sigma
    each = np.stack([prior.denoise(x[:, k], s) for k, s in enumerate(levels)], 1)
    _close(prior.denoise(x, levels), each, tol, f"{prior}: one sigma for each image")
    _close(prior.denoise(x, 0.0), x, 1e-6, f"{prior}: denoised at sigma = 0")
    none = prior.denoise(x[:0], sigma).shape
    _require(none == x[:0].shape, f"{prior}: no images became {none}.")
    _close(
        prior.score(x, sigma) * sigma**2 + x, exact, tol, f"{prior}: score and denoiser"
    )


def _check_density(prior, x, rng):
    step = 1e-4 * np.abs(x).max()
    direction = _random(rng, x.shape, x.dtype)
    up, down = (prior.log_prob(x + s * step * direction) for s in (1, -1))
    _require(np.ndim(up) == 0, f"{prior}: log_prob of one image is {np.shape(up)}.")
    none = prior.grad_log_prob(x[None][:0]).shape
    _require(none == (0,) + x.shape, f"{prior}: gradient of no images is {none}.")
    slope = (up - down) / (2 * step)
    expected = np.vdot(prior.grad_log_prob(x), direction).real
    _require(
        abs(slope - expected) <= 1e-3 * max(abs(slope), abs(expected), 1e-12),
        f"{prior}: log_prob rises by {slope:.6g}, its gradient says {expected:.6g}.",
    )
