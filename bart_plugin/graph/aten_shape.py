"""ATen operators as TensorFlow nodes: shapes and indexing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bart_plugin.graph.aten import Outs, op
from bart_plugin.graph.graphdef import (
    Graph,
    UntranslatedOperator,
    Value,
    dtype_of,
    layout,
)

__all__ = ["cut", "gather", "joined", "viewed", "with_size"]


def with_size(x: Value, axis: int, size: int) -> Value:
    """``x`` with another size of one axis, without a name yet."""
    axis %= x.rank
    return Value(x.shape[:axis] + (size,) + x.shape[axis + 1 :], x.dtype)


# Shapes


@op("clone", "detach", "alias", "contiguous", "lift_fresh_copy", "lift_fresh")
def aten_clone(g: Graph, out: Value, x: Value, **kwargs: Any) -> Value:
    return x


@op("_to_copy", "convert_element_type")
def aten_to_copy(g: Graph, out: Value, x: Value, *args: Any, **kwargs: Any) -> str:
    return g.cast(g.use(x), x.dtype, out.dtype)


def viewed(g: Graph, out: Value, x: Value) -> Value:
    """The elements of ``x``, in torch's order, in the shape of ``out``."""
    return g.stored(g.reshape(g.logical(x), out.shape, out.dtype), out.shape, out.dtype)


@op("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "flatten")
def aten_view(g: Graph, out: Value, x: Value, *args: Any) -> Value:
    return viewed(g, out, x)


@op("permute")
def aten_permute(g: Graph, out: Value, x: Value, order: Sequence[int]) -> str:
    order = [i % x.rank for i in order]
    # What torch calls axis order[k] of x becomes axis k; both sides as stored.
    perm = [layout(x.rank).index(order[k]) for k in layout(out.rank)]
    return g.transpose(g.use(x), perm, out.dtype)


@op("transpose", "t")
def aten_transpose(g: Graph, out: Value, x: Value, a: int = 0, b: int = 1) -> str:
    order = list(range(x.rank))
    if x.rank > 1:
        order[a], order[b] = order[b], order[a]
    return aten_permute(g, out, x, order)


@op("expand", "expand_copy")
def aten_expand(
    g: Graph, out: Value, x: Value, size: Sequence[int], implicit: bool = False
) -> str:
    name = g.operand(x, out.dtype, out.rank)
    if x.shape == out.shape:
        return name
    shape = g.dims([out.shape[i] for i in layout(out.rank)])
    return g.add("BroadcastTo", name, shape, dtype=out.dtype, Tidx=dtype_of(np.int32))


@op("repeat")
def aten_repeat(g: Graph, out: Value, x: Value, repeats: Sequence[int]) -> str:
    name = g.operand(x, out.dtype, out.rank)
    times = g.dims([repeats[i] for i in layout(out.rank)])
    return g.add("Tile", name, times, dtype=out.dtype, Tmultiples=dtype_of(np.int32))


def joined(g: Graph, out: Value, parts: Sequence[Value], dim: int) -> str:
    """Parts one after the other along an axis."""
    names = [g.cast(g.use(t), t.dtype, out.dtype) for t in parts if t.shape != (0,)]
    axis = g.ints(g.axis(out, dim))
    whole = dtype_of(np.int32)
    return g.add("ConcatV2", *names, axis, dtype=out.dtype, N=len(names), Tidx=whole)


@op("cat")
def aten_cat(g: Graph, out: Value, tensors: Sequence[Value], dim: int = 0) -> str:
    return joined(g, out, tensors, dim)


@op("stack")
def aten_stack(g: Graph, out: Value, tensors: Sequence[Value], dim: int = 0) -> str:
    thin = with_size(out, dim, 1).shape
    parts = [viewed(g, Value(thin, t.dtype), t) for t in tensors]
    return joined(g, out, parts, dim)


# Indexing


def cut(g: Graph, x: Value, axis: int, start: int, end: int) -> Value:
    """The elements from ``start`` to ``end`` along one (torch) axis."""
    axis %= x.rank
    if (start, end) == (0, x.shape[axis]):
        return x
    at = g.axis(x, axis)
    begin, size = [0] * x.rank, [-1] * x.rank
    begin[at], size[at] = start, end - start
    out = with_size(x, axis, end - start)
    out.name = g.add(
        "Slice",
        g.use(x),
        g.ints(begin),
        g.ints(size),
        dtype=x.dtype,
        Index=dtype_of(np.int32),
    )
    return out


def gather(g: Graph, x: Value, index: Value, dim: int) -> Value:
    """Elements of one (torch) axis by a list of indices."""
    if index.rank != 1:
        raise UntranslatedOperator(f"indexing with a tensor of {index.rank} axes.")
    out = with_size(x, dim, index.shape[0])
    if index.array is not None and _all_in_order(index.array, x.shape[dim]):
        return x
    axis = g.axis(x, dim)
    out.name = g.gather(g.use(x), g.use(index), axis, x.dtype, index.dtype)
    return out


def _all_in_order(index: np.ndarray, count: int) -> bool:
    """Whether a padding by indices has nothing to pad."""
    return np.array_equal(index, np.arange(count))


def _whole(indices: Any) -> Value:
    """Indices as a constant."""
    array = np.asarray(indices, np.int32)
    return Value(array.shape, array.dtype, array=array)


@op("slice")
def aten_slice(
    g: Graph,
    out: Value,
    x: Value,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Value:
    first, last, step = slice(start, end, step).indices(x.shape[dim])
    if step != 1:
        return gather(g, x, _whole(range(first, last, step)), dim)
    return cut(g, x, dim, first, last)


@op("slice_scatter")
def aten_slice_scatter(
    g: Graph,
    out: Value,
    x: Value,
    part: Value,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> str:
    n = x.shape[dim]
    first, last, step = slice(start, end, step).indices(n)
    if step != 1:
        raise UntranslatedOperator("slice_scatter with a step other than 1.")
    ends = (0, first), (last, n)
    before, after = (cut(g, x, dim, *e) if e[1] > e[0] else None for e in ends)
    parts = [p for p in (before, part, after) if p is not None]
    return joined(g, out, parts, dim)


@op("select")
def aten_select(g: Graph, out: Value, x: Value, dim: int, index: int) -> Value:
    index %= x.shape[dim]
    return viewed(g, out, cut(g, x, dim, index, index + 1))


@op("split", "split_with_sizes")
def aten_split(g: Graph, out: Outs, x: Value, size: Any, dim: int = 0) -> Outs:
    start, parts = 0, []
    for part in out:
        assert part is not None
        parts.append(cut(g, x, dim, start, start + part.shape[dim]))
        start += part.shape[dim]
    return parts


@op("unbind")
def aten_unbind(g: Graph, out: Outs, x: Value, dim: int = 0) -> Outs:
    parts = []
    for i, part in enumerate(out):
        assert part is not None
        parts.append(viewed(g, part, cut(g, x, dim, i, i + 1)))
    return parts


@op("index_select")
def aten_index_select(g: Graph, out: Value, x: Value, dim: int, index: Value) -> Value:
    return gather(g, x, index, dim)


@op("embedding")
def aten_embedding(
    g: Graph, out: Value, weight: Value, index: Value, *args: Any, **kwargs: Any
) -> Value:
    name = g.gather(g.use(weight), g.use(index), 0, weight.dtype, index.dtype)
    return g.stored(name, out.shape, out.dtype)


@op("index", "_unsafe_index")
def aten_index(
    g: Graph, out: Value, x: Value, indices: Sequence[Value | None]
) -> Value:
    used = [(d, i) for d, i in enumerate(indices) if i is not None]
    if any(i.dtype == np.bool_ for _, i in used):
        raise UntranslatedOperator("indexing with a mask of bools.")
    if len(used) == 1 and used[0][1].rank <= 1:
        dim, index = used[0]
        return gather(g, x, index, dim)
    if len(used) == 2 and used[0][1].rank == 2 and used[1][1].rank == 1:
        # x[..., rows[:, None], columns], what resampling decomposes into.
        (first, rows), (second, columns) = used
        if second == first + 1 and rows.shape[1] == 1:
            flat = viewed(g, Value((rows.shape[0],), rows.dtype), rows)
            return gather(g, gather(g, x, flat, first), columns, second)
    raise UntranslatedOperator("indexing with several tensors of several axes.")


@op("flip")
def aten_flip(g: Graph, out: Value, x: Value, dims: Sequence[int]) -> str:
    axes = g.ints([g.axis(x, d) for d in dims])
    return g.add("ReverseV2", g.use(x), axes, dtype=x.dtype, Tidx=dtype_of(np.int32))


@op("roll")
def aten_roll(
    g: Graph, out: Value, x: Value, shifts: Sequence[int], dims: Sequence[int]
) -> str:
    axes = g.ints([g.axis(x, d) for d in dims])
    whole = dtype_of(np.int32)
    by = g.ints(list(shifts))
    return g.add("Roll", g.use(x), by, axes, dtype=x.dtype, Tshift=whole, Taxis=whole)
