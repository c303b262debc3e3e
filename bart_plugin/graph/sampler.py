"""A denoiser in BART's graph interface of ``sample``, in two formats.

As a GraphDef, ``--external-graph prior``, and as TorchScript,
``--external-graph prior.pt``: there BART feeds complex64 tensors ``x[B, Y, X]`` and
``sigma[B]`` and takes ``[B, Y, X]``. ``torch.jit`` is deprecated, so nothing else
here touches it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from bart_plugin.graph import contract
from bart_plugin.graph.graphdef import BATCH, Graph, Value
from bart_plugin.graph.translate import translate

__all__ = ["sample_graph", "sample_script"]


def sample_graph(module: nn.Module, shape: Sequence[int]) -> bytes:
    """GraphDef of a denoiser, for any number of images.

    Args:
        module (torch.nn.Module): denoiser of channels (N, 2, H, W) at complex
            noise levels (N,), from ``prior.module()``.
        shape (sequence of int): (H, W).

    Returns:
        bytes: the file.

    Raises:
        UntranslatedOperator: naming operators without translation.
    """
    kind = np.float32
    graph = Graph(dynamic=True)
    x = graph.placeholder(contract.IMAGE, (-1, *shape, 2))
    noise = graph.placeholder(contract.SIGMA, (-1, 2))
    graph.read_batch(x)
    inputs = [Value((BATCH, 2, *shape), kind, x), Value((BATCH, 2), kind, noise)]
    out = translate(graph, lambda x, s: module(x, s[:, 0]), inputs)
    # The reshape states what shape inference may have lost on the way.
    denoised = graph.reshape(graph.use(out), (BATCH, *shape, 2), kind)
    graph.add("Identity", denoised, dtype=kind, name=contract.OUTPUT)
    return graph.serialize()


def sample_script(module: nn.Module, shape: Sequence[int]) -> bytes:
    """TorchScript of a denoiser, for any number of images.

    Args:
        module (torch.nn.Module): as for :func:`sample_graph`.
        shape (sequence of int): (H, W).

    Returns:
        bytes: the file.
    """
    each = any(getattr(m, "shapes_are_numbers", False) for m in module.modules())
    batch = 1 if each else 2
    x = torch.zeros((batch, *shape), dtype=torch.complex64)
    sigma = torch.ones(batch, dtype=torch.complex64)
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        script: Any = torch.jit.trace(_Complex(module), (x, sigma), check_trace=False)
        torch.jit.save(torch.jit.script(_EachImage(script)) if each else script, file)
    return file.getvalue()


class _Complex(nn.Module):
    """A denoiser of channels as one of complex images."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        channels = torch.view_as_real(x).permute(0, 3, 1, 2)
        out = self.denoiser(channels, sigma.real)
        return torch.view_as_complex(out.permute(0, 2, 3, 1).contiguous())


class _EachImage(nn.Module):
    """Images one at a time, for networks whose trace holds for one batch only."""

    def __init__(self, one: nn.Module) -> None:
        super().__init__()
        self.one = one

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        parts: list[torch.Tensor] = []
        for i in range(x.shape[0]):
            parts.append(self.one(x[i : i + 1], sigma[i : i + 1]))
        return torch.cat(parts)
