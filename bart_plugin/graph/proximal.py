r"""A denoiser in BART's graph interface of ``pics`` and ``nlinv``.

The graph holds

.. math:: G(u) = \eta_k\,(u - D(c u, \sigma_k) / c)

with u = x / max|x| as BART feeds it, D the denoiser, c the greatest magnitude of an
image at the prior's scale (the peak), and :math:`\eta_k` the relaxation. BART returns
:math:`x - \tau \lambda\, s\, G(u)`, so with :math:`\tau \lambda = 1` every proximal
step is exactly x <- D(x): plug-and-play. That is lambda = rho in ADMM
(``-m -u rho``) and ``-s 1``, lambda 1 in FISTA.

A schedule of noise levels needs the iteration number, which BART does not pass on.
Here it is a TensorFlow variable inside the graph: the node that BART runs once
after loading sets it to zero, and each evaluation of the gradient adds one, unless
the image is still all zeros, as in the first step of a cold start. Beyond its end
the schedule stays at its last level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from bart_plugin.graph.graphdef import Graph, Value, dtype_of
from bart_plugin.graph.interface import close_graph, images_of, open_graph
from bart_plugin.graph.protobuf import Shape
from bart_plugin.graph.translate import translate

__all__ = ["prox_graph"]


def prox_graph(
    module: nn.Module,
    shape: Sequence[int],
    levels: np.ndarray,
    relaxation: np.ndarray,
    peak: float = 1.0,
) -> bytes:
    """GraphDef for ``pics -R TF:`` and ``nlinv -R TF:``.

    Args:
        module (torch.nn.Module): denoiser of channels (N, 2, H, W) at complex
            noise levels (N,), from ``prior.module()``.
        shape (sequence of int): of ``contract.IMAGE``.
        levels (array): complex noise levels at the prior's image scale, one for
            each call; the last stays.
        relaxation (array): factors of the gradient, of the same shape.
        peak (float): greatest magnitude of an image at the prior's scale.

    Returns:
        bytes: the file.

    Raises:
        UntranslatedOperator: naming operators without translation.
    """
    kind = np.float32
    graph, u = open_graph(shape)
    tables = np.asarray(levels, kind), np.asarray(relaxation, kind)
    sigma, eta, start = _this_call(graph, tables, u, len(shape))

    batch, h, w = images_of(shape)
    images = graph.reshape(u, (batch, h, w, 2), kind)
    scaled = graph.add("Mul", images, graph.const(kind(peak)), dtype=kind)
    denoised = translate(
        graph,
        lambda x, s: module(x, s.expand(x.shape[0])),
        [Value((batch, 2, h, w), kind, scaled), sigma],
    )
    denoised = graph.add(
        "Mul", graph.use(denoised), graph.const(kind(1 / peak)), dtype=kind
    )
    gradient = graph.add("Sub", images, denoised, dtype=kind)
    gradient = graph.add("Mul", gradient, graph.use(eta), dtype=kind)
    return close_graph(graph, None, gradient, shape, start)


def _this_call(
    graph: Graph, tables: tuple[np.ndarray, np.ndarray], u: str, rank: int
) -> tuple[Value, Value, str | None]:
    """This call's entry of each table, and the node that starts them again."""
    if len(tables[0]) == 1:
        first, second = (Value((), np.float32, array=t[0]) for t in tables)
        return first, second, None
    index, start = _count_calls(graph, u, rank, len(tables[0]) - 1)
    first, second = (graph.gather(graph.const(t), index, 0, np.float32) for t in tables)
    return Value((), np.float32, first), Value((), np.float32, second), start


def _count_calls(graph: Graph, u: str, rank: int, last: int) -> tuple[str, str]:
    """Number of this call, from 0 to ``last``, and the node that starts again."""
    number = np.int32
    whole = dtype_of(number)
    zero, one = graph.ints(0), graph.ints(1)
    variable = graph.add(
        "VarHandleOp", name="calls", attrs={"dtype": whole, "shape": Shape(())}
    )
    start = graph.add("AssignVariableOp", variable, zero, attrs={"dtype": whole})
    filled = graph.add("NotEqual", u, graph.const(np.float32(0)), dtype=np.float32)
    axes = graph.ints(range(rank))
    filled = graph.add("Any", filled, axes, keep_dims=False, Tidx=whole)
    filled = graph.cast(filled, np.bool_, number)
    count = graph.add("AssignAddVariableOp", variable, filled, attrs={"dtype": whole})
    calls = graph.add("ReadVariableOp", variable, f"^{count}", attrs={"dtype": whole})
    index = graph.add("Sub", calls, one, dtype=number)
    index = graph.add("Maximum", index, zero, dtype=number)
    return graph.add("Minimum", index, graph.ints(last), dtype=number), start
