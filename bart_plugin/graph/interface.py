"""The nodes around a gradient that ``pics`` and ``nlinv`` look up by name."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bart_plugin.graph import contract
from bart_plugin.graph.graphdef import Graph

__all__ = ["open_graph", "close_graph", "images_of"]


def images_of(shape: Sequence[int]) -> tuple[int, int, int]:
    """Images (B, H, W) that a tensor [..., H, W, 2] holds."""
    *batch, h, w, _ = shape
    return math.prod(batch), h, w


def open_graph(shape: Sequence[int]) -> tuple[Graph, str]:
    """A graph with its inputs.

    Args:
        shape (sequence of int): of ``contract.IMAGE``.

    Returns:
        tuple: the graph, and the name of the image.
    """
    graph = Graph()
    u = graph.placeholder(contract.IMAGE, shape)
    graph.placeholder(contract.WEIGHT, (2,))
    graph.const(np.bytes_(b"unused"), name=contract.SAVE)
    return graph, u


def close_graph(
    graph: Graph,
    loss: str | None,
    gradient: str,
    shape: Sequence[int],
    start: str | None = None,
) -> bytes:
    """Add the outputs.

    Args:
        graph (Graph): from :func:`open_graph`.
        loss (str or None): tensor (2,), a complex number; None for zero.
        gradient (str): tensor of as many elements as the image has.
        shape (sequence of int): of ``contract.IMAGE``.
        start (str or None): node that is to be run once after loading.

    Returns:
        bytes: the file.
    """
    if loss is None:
        graph.const(np.zeros(2, np.float32), name=contract.OUTPUT)
    else:
        graph.add("Identity", loss, dtype=np.float32, name=contract.OUTPUT)
    gradient = graph.reshape(gradient, shape, np.float32)
    for name in contract.GRADIENTS:
        graph.add("Identity", gradient, dtype=np.float32, name=name)
    graph.add("NoOp", *([f"^{start}"] if start else []), name=contract.RESTORE)
    return graph.serialize()
