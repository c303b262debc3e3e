"""A SigPy operator on a batch of tensors, with its gradient.

(:mod:`sigpy.pytorch` knows neither batches nor complex tensors.)
"""

from __future__ import annotations

from typing import Any

import sigpy as sp
import torch

from sigpy_priors.backend import arrays

__all__ = ["apply_linop"]


def apply_linop(W: sp.linop.Linop, x: torch.Tensor) -> torch.Tensor:
    """W x of every member of a batch.

    Args:
        W (Linop): operator on complex arrays.
        x (Tensor): complex (N, *W.ishape), on any device.

    Returns:
        Tensor: (N, *W.oshape), differentiable: the gradient is multiplied by W^H.
    """
    return _Linear.apply(x, W)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, W: Any) -> Any:
        ctx.W = W
        if not len(x):
            return x.new_empty((0, *W.oshape))
        images = (arrays.to_sigpy(v) for v in x)
        # An operator may give its input's memory, which torch must not share.
        out = torch.stack([arrays.to_torch(W(v)) for v in images])
        return out.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _Linear.apply(grads[0], ctx.W.H), None
