"""ATen operators as TensorFlow nodes: what makes fewer numbers of many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from bart_plugin.graph.aten import OPS, Handler, op, scaled
from bart_plugin.graph.aten_shape import viewed
from bart_plugin.graph.graphdef import (
    Graph,
    UntranslatedOperator,
    Value,
    dtype_of,
    layout,
)

__all__ = ["mean_in_stages"]

Dims: TypeAlias = int | Sequence[int] | None

_REDUCE = {
    "sum": "Sum",
    "mean": "Mean",
    "amax": "Max",
    "amin": "Min",
    "any": "Any",
    "all": "All",
}


def mean_in_stages(
    g: Graph, name: str, stages: Sequence[Sequence[int]], dtype: np.dtype
) -> str:
    """Mean over stored axes, which stay with length one.

    TensorFlow adds up the elements of a mean one by one, which loses digits
    over many; a mean of means of fewer does not.
    """
    for axes in stages:
        whole = dtype_of(np.int32)
        axes = g.ints(axes)
        name = g.add("Mean", name, axes, dtype=dtype, keep_dims=True, Tidx=whole)
    return name


def _axes(x: Value, dims: Dims) -> list[int]:
    """Torch axes, counted from the first; none given are all."""
    if dims is None or dims == []:
        return list(range(x.rank))
    return [d % x.rank for d in ([dims] if isinstance(dims, int) else dims)]


def _reduce(
    g: Graph, out: Value, x: Value, dims: Dims, keepdim: bool, node: str
) -> Value:
    axes = _axes(x, dims)
    logical = node in ("Any", "All")
    source = x.dtype if logical else out.dtype
    name = g.add(
        node,
        g.cast(g.use(x), x.dtype, source),
        g.ints([g.axis(x, d) for d in axes]),
        dtype=None if logical else source,
        keep_dims=bool(keepdim),
        Tidx=dtype_of(np.int32),
    )
    if keepdim:
        return Value(out.shape, out.dtype, name)
    # The remaining axes are in the order in which x was stored.
    kept = [a for a in layout(x.rank) if a not in axes]
    order = sorted(range(len(kept)), key=kept.__getitem__)
    name = g.transpose(name, order, out.dtype)
    return g.stored(name, out.shape, out.dtype)


def _reduction(node: str) -> Handler:
    def handler(
        g: Graph,
        out: Value,
        x: Value,
        dims: Dims = None,
        keepdim: bool = False,
        **kwargs: Any,
    ) -> Value:
        return _reduce(g, out, x, dims, keepdim, node)

    return handler


for _name, _node in _REDUCE.items():
    OPS[_name] = _reduction(_node)
    OPS[_name].__name__ = OPS[_name].__qualname__ = f"aten_{_name}"


def _variance(
    g: Graph,
    out: Value,
    x: Value,
    dims: Dims,
    correction: float | None,
    keepdim: bool,
) -> Value:
    axes = _axes(x, dims)
    if any(g.is_batch(x.shape[d]) for d in axes):
        raise UntranslatedOperator("variance over a batch of unknown size.")
    ones = Value([1 if i in axes else n for i, n in enumerate(x.shape)], x.dtype)
    mean = _reduce(g, ones, x, axes, True, "Mean")
    centred = g.add("Sub", g.use(x), g.use(mean), dtype=x.dtype)
    square = Value(x.shape, x.dtype, g.add("Square", centred, dtype=x.dtype))
    count = math.prod(x.shape[d] for d in axes)
    correction = 1 if correction is None else correction
    mean = _reduce(g, out, square, axes, keepdim, "Mean")
    return scaled(g, out, mean, count / max(count - correction, 1))


@op("var")
def aten_var(
    g: Graph,
    out: Value,
    x: Value,
    dims: Dims = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> Value:
    return _variance(g, out, x, dims, correction, keepdim)


@op("std")
def aten_std(
    g: Graph,
    out: Value,
    x: Value,
    dims: Dims = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> str:
    variance = _variance(g, out, x, dims, correction, keepdim)
    return g.add("Sqrt", g.use(variance), dtype=out.dtype)


@op("linalg_vector_norm")
def aten_linalg_vector_norm(
    g: Graph,
    out: Value,
    x: Value,
    order: float = 2,
    dims: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> str:
    if order != 2:
        raise UntranslatedOperator(f"vector norm of order {order}: only 2.")
    square = Value(x.shape, x.dtype, g.add("Square", g.use(x), dtype=x.dtype))
    energy = _reduce(g, out, square, dims, keepdim, "Sum")
    return g.add("Sqrt", g.use(energy), dtype=out.dtype)


def _along_last(g: Graph, x: Value, dim: int, node: str) -> str:
    """A node that works on the last stored axis, along any other."""
    at = g.axis(x, dim)
    order = [i for i in range(x.rank) if i != at] + [at]
    name = g.add(node, g.transpose(g.use(x), order, x.dtype), dtype=x.dtype)
    return g.transpose(name, [order.index(i) for i in range(x.rank)], x.dtype)


@op("_softmax", "softmax", "_safe_softmax")
def aten_softmax(
    g: Graph, out: Value, x: Value, dim: int, half_to_float: bool = False
) -> str:
    return _along_last(g, x, dim, "Softmax")


@op("_log_softmax")
def aten_log_softmax(
    g: Graph, out: Value, x: Value, dim: int, half_to_float: bool = False
) -> str:
    return _along_last(g, x, dim, "LogSoftmax")


@op("searchsorted")
def aten_searchsorted(
    g: Graph,
    out: Value,
    table: Value,
    values: Value,
    *,
    right: bool = False,
    **kwargs: Any,
) -> Value:
    # The index is the number of entries below the value.
    if table.rank != 1:
        raise UntranslatedOperator("searchsorted in a table of several axes.")
    column = viewed(g, Value(values.shape + (1,), values.dtype), values)
    wide = Value(values.shape + table.shape, np.bool_)
    below = OPS["le" if right else "lt"](g, wide, table, column)
    assert isinstance(below, str)
    wide.name = below
    return _reduce(g, out, wide, [-1], False, "Sum")
