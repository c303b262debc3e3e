r"""What a lift z = W x is inverted by: tight frames, pseudo-inverses, typical size.

W is a tight frame where :math:`W^H W = c P` with a projection P, which is 1 unless W
loses something, as a band or coils with a support do. Then :math:`W^+ = W^H / c`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array

__all__ = ["frame_bound", "mean_square", "pseudo_inverse", "squared_norm"]

# W^H W of one random image in double precision tells: rounding is far below, and
# operators in single precision that are tight are within it.
_TOL = 1e-4


def _probe(W: sp.linop.Linop) -> Array:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2, *W.ishape))
    return z[0] + 1j * z[1]


def frame_bound(W: sp.linop.Linop) -> float | None:
    r"""The c of :math:`W^H W = c P`, P a projection, by one random image.

    Args:
        W (Linop): any.

    Returns:
        float or None: c > 0, or None where W is no such operator.
    """
    u = W.N(_probe(W))  # in the range of P, where W^H W is c
    v = W.N(u)
    size = float(np.linalg.norm(u))
    if not size > 0:
        return None
    c = float(np.vdot(u, v).real) / size**2
    return c if float(np.linalg.norm(v - c * u)) <= _TOL * c * size else None


def mean_square(W: sp.linop.Linop) -> float:
    r"""What W multiplies the energy of white noise by, :math:`tr(W^H W) / n`.

    Args:
        W (Linop): any.

    Returns:
        float: by one random image; that of a tight frame is its bound, whatever it
        loses. 1 for W = 0.
    """
    x = _probe(W)
    c = frame_bound(W)
    return c or float(np.linalg.norm(W(x)) / np.linalg.norm(x)) ** 2 or 1.0


def pseudo_inverse(W: sp.linop.Linop) -> sp.linop.Linop:
    r""":math:`W^+`, with :math:`W^+ W = 1` or, for a W that loses something, P.

    Args:
        W (Linop): a tight frame, which is noticed; one with an attribute ``pinv``, as
            all of :mod:`sigpy_priors.linop` have; or a product of such.

    Returns:
        Linop: from ``W.oshape`` to ``W.ishape``.

    Raises:
        ValueError: if it is none of them.
    """
    own: Any = getattr(W, "pinv", None)
    if own is not None:
        return own
    c = frame_bound(W)
    if c is not None:
        return W.H if abs(c - 1) <= _TOL else (1 / c) * W.H
    if isinstance(W, sp.linop.Compose):
        first, *rest = (pseudo_inverse(V) for V in reversed(W.linops))
        for V in rest:
            first = first * V
        return first
    raise ValueError(
        f"W: {W} is no tight frame (W^H W is no multiple of a projection), expected "
        f"one, or an operator with an attribute pinv: give its pseudo-inverse as pinv=."
    )


def squared_norm(W: sp.linop.Linop, max_iter: int = 30) -> float:
    r""":math:`\|W\|^2`, from above: power iteration, and what that may miss.

    Args:
        W (Linop): any.
        max_iter (int): steps of the power iteration.

    Returns:
        float: > 0.
    """
    c = frame_bound(W)
    if c is not None:
        return c
    x, size = _probe(W), 0.0
    for _ in range(max_iter):
        x = W.N(x / np.linalg.norm(x))
        size = float(np.linalg.norm(x))
    return 1.05 * size or 1.0
