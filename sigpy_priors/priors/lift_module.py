"""Lifted priors and products as torch modules, ready to be traced into one graph.

They compute what :mod:`sigpy_priors.priors.lifted` and
:mod:`sigpy_priors.priors.product` say, with the operator folded in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from sigpy_priors.priors.base import DenoiserPrior
from sigpy_priors.priors.linop_module import ChannelLinop, channel_linop
from sigpy_priors.priors.module import LogDensity, exportable

__all__ = ["lifted_module", "product_module"]


def lifted_module(prior: Any) -> nn.Module:
    """Of a :class:`sigpy_priors.priors.lifted.Lifted`, for images of its one size.

    Args:
        prior (Lifted): of images (H, W).

    Returns:
        Module: denoiser of channels at complex noise levels, or their log-density.

    Raises:
        TypeError: if there is none: why.
    """
    if len(prior.shape) != 2 or prior.prior.event_ndim != 2:
        raise TypeError(
            f"{prior!r}: a graph is of images (H, W) and draws (H, W), got images "
            f"{prior.shape} and draws of {prior.prior.event_ndim} axes."
        )
    inner, W = prior.prior.module(), channel_linop(prior.W)
    size = getattr(inner, "size", None)
    if size and tuple(size) != tuple(prior.W.oshape[-2:]):
        raise TypeError(f"{prior!r}: the graph is of {size}, W gives {prior.W.oshape}.")
    if not issubclass(type(prior), DenoiserPrior):
        return exportable(_LiftedDensity(inner, W, prior.shape))
    if prior.bound is None:
        raise TypeError(
            f"{prior!r} has no denoiser, expected a tight frame W, W^H W = c, or a "
            f"density: see sigpy_priors.priors.lifted."
        )
    return exportable(_LiftedDenoiser(inner, W, prior.shape, prior.bound))


def product_module(prior: Any) -> nn.Module:
    """Of a :class:`sigpy_priors.priors.product.Product`.

    Args:
        prior (Product): of denoisers or densities.

    Returns:
        Module: denoiser of channels at complex noise levels, or their log-density.

    Raises:
        TypeError: if a factor has no module, or none of this kind.
    """
    parts = [p.module() for p in prior.priors]
    if issubclass(type(prior), DenoiserPrior):
        return exportable(_ProductDenoiser(parts, prior.weights))
    for p in prior.priors:
        if isinstance(p, DenoiserPrior):
            raise TypeError(
                f"{p!r} is exported as a denoiser, expected densities alone in {prior!r}."
            )
    return exportable(_ProductDensity(parts, prior.weights))


class _Lifted(nn.Module):
    def __init__(self, inner: nn.Module, W: ChannelLinop, size: Any) -> None:
        super().__init__()
        self.inner, self.W, self.size = inner, W, tuple(size)


class _LiftedDensity(_Lifted, LogDensity):
    def forward(self, x: Any) -> Any:
        each = self.inner(self.W(x))
        return each.reshape(x.shape[0], -1).sum(dim=1)


class _LiftedDenoiser(_Lifted):
    def __init__(self, inner: Any, W: Any, size: Any, bound: float) -> None:
        super().__init__(inner, W, size)
        self.bound = float(bound)

    def forward(self, x: Any, sigma: Any) -> Any:
        z = self.W(x)
        draws = z.shape[0] // x.shape[0]
        level = math.sqrt(self.bound) * sigma
        level = level[:, None].expand(-1, draws).reshape(-1)
        step = self.W.adjoint(self.inner(z, level) - z)
        return x + step / self.bound


class _Product(nn.Module):
    def __init__(self, parts: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        self.parts, self.weights = nn.ModuleList(parts), tuple(map(float, weights))
        sizes = {tuple(s) for p in parts if (s := getattr(p, "size", None))}
        self.size = sizes.pop() if sizes else None


class _ProductDensity(_Product, LogDensity):
    def forward(self, x: Any) -> Any:
        terms = (w * part(x) for w, part in zip(self.weights, self.parts))
        return torch.stack(list(terms)).sum(dim=0)


class _ProductDenoiser(_Product):
    def forward(self, x: Any, sigma: Any) -> Any:
        out = x
        for w, part in zip(self.weights, self.parts):
            out = out + w * (part(x, sigma) - x)
        return out
