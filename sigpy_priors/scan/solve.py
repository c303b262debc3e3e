r"""Conjugate gradients for many right sides at once, each on its own.

Inner products are those of :math:`R^{2n}`, :math:`\mathrm{Re}\, a^H b`,
because a network's Jacobian is linear over the reals only.
"""

from collections.abc import Callable
from typing import Any

import sigpy as sp

from sigpy_priors.backend.arrays import Array

__all__ = ["conjugate_gradient", "flat", "inner"]

# A GPU is asked once in so many steps whether all have stopped: to ask is to wait for
# it, and a step of members that have stopped changes nothing.
_ASK = 4


def flat(x: Array) -> Array:
    """Every member of a batch as one vector of real numbers, (N, 2 n)."""
    xp = sp.get_array_module(x)
    return xp.ascontiguousarray(x).view(x.real.dtype).reshape(len(x), -1)


def inner(a: Array, b: Array) -> Array:
    """Real inner product of every member, shaped to multiply the batch."""
    out = flat(a)[:, None] @ flat(b)[..., None]
    return out.reshape((-1,) + (1,) * (a.ndim - 1))


def conjugate_gradient(
    apply: Callable[[Array], Array],
    b: Array,
    x: Array | None,
    max_iter: int,
    tol: Any = 1e-5,
) -> Array:
    """Solve ``apply(x) = b`` for every member of a batch.

    A member stops where its residual is below ``tol`` times its right side,
    so that it does not depend on the members beside it.

    Args:
        apply (function): self-adjoint positive operator on (N, ...).
        b (array): right sides (N, ...).
        x (array or None): start; None is zero, which saves an application.
        max_iter (int): most steps.
        tol (float or array): relative residual, or one for each member.

    Returns:
        array: solutions (N, ...).
    """
    xp = sp.get_array_module(b)
    r = b.copy() if x is None else b - apply(x)
    x = xp.zeros_like(b) if x is None else x.copy()
    limit = tol**2 * inner(b, b)
    p, rr = r, inner(r, r)
    ask = 1 if sp.get_device(b) == sp.cpu_device else _ASK
    for k in range(max_iter):
        active = rr > limit
        if k % ask == 0 and not active.any():
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
