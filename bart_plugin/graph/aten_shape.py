"""ATen operators as TensorFlow nodes: shapes, indexing and reductions."""

import numpy as np

from bart_plugin.graph.graphdef import UnsupportedOperator, Value, dtype_of, layout
from bart_plugin.graph.aten import OPS, op


# Shapes


@op("clone", "detach", "alias", "contiguous", "lift_fresh_copy", "lift_fresh")
def _(g, out, x, **kwargs):
    return x


@op("_to_copy", "convert_element_type")
def _(g, out, x, *args, **kwargs):
    return g.cast(g.use(x), x.dtype, out.dtype)


@op("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "flatten")
def _(g, out, x, *args):
    name = g.reshape(g.logical(x), out.shape, out.dtype)
    return g.stored(name, out.shape, out.dtype)


@op("permute")
def _(g, out, x, order):
    order = [i % x.rank for i in order]
    # What torch calls axis order[k] of x becomes axis k; both sides as stored.
    perm = [layout(x.rank).index(order[k]) for k in layout(out.rank)]
    return g.transpose(g.use(x), perm, out.dtype)


@op("transpose", "t")
def _(g, out, x, a=0, b=1):
    order = list(range(x.rank))
    if x.rank > 1:
        order[a], order[b] = order[b], order[a]
    return OPS["permute"](g, out, x, order)


@op("expand", "expand_copy")
def _(g, out, x, size, implicit=False):
    name = g.operand(x, out.dtype, out.rank)
    if x.shape == out.shape:
        return name
    shape = g.dims([out.shape[i] for i in layout(out.rank)])
    return g.add("BroadcastTo", name, shape, dtype=out.dtype, Tidx=dtype_of(np.int32))


@op("repeat")
def _(g, out, x, repeats):
    name = g.operand(x, out.dtype, out.rank)
    repeats = g.dims([repeats[i] for i in layout(out.rank)])
    return g.add("Tile", name, repeats, dtype=out.dtype, Tmultiples=dtype_of(np.int32))


@op("cat")
def _(g, out, tensors, dim=0):
    names = [g.cast(g.use(t), t.dtype, out.dtype) for t in tensors if t.shape != (0,)]
    return g.add(
        "ConcatV2", *names, g.ints(g.axis(out, dim)), dtype=out.dtype, N=len(names),
        Tidx=dtype_of(np.int32),
    )  # fmt: skip


@op("stack")
def _(g, out, tensors, dim=0):
    ones = [
        Value(out.shape[: dim % out.rank] + (1,) + out.shape[dim % out.rank + 1 :],
              t.dtype)
        for t in tensors
    ]  # fmt: skip
    parts = [OPS["view"](g, one, t) for one, t in zip(ones, tensors)]
    return OPS["cat"](g, out, parts, dim)


def _slice(g, x, axis, start, length):
    """Cut ``length`` elements out of one (torch) axis."""
    at = g.axis(x, axis)
    begin, size = [0] * x.rank, [-1] * x.rank
    begin[at], size[at] = start, length
    return g.add(
        "Slice", g.use(x), g.ints(begin), g.ints(size), dtype=x.dtype,
        Index=dtype_of(np.int32),
    )  # fmt: skip


@op("slice")
def _(g, out, x, dim=0, start=None, end=None, step=1):
    n = x.shape[dim]
    start, end, step = slice(start, end, step).indices(n)
    if (start, end, step) == (0, n, 1):
        return x
    if step != 1:
        return _gather(g, out, x, g.ints(range(start, end, step)), dim)
    return _slice(g, x, dim, start, end - start)


@op("slice_scatter")
def _(g, out, x, part, dim=0, start=None, end=None, step=1):
    start, end, step = slice(start, end, step).indices(x.shape[dim])
    if step != 1:
        raise UnsupportedOperator("slice_scatter with a step other than 1.")
    parts = []
    for first, last in ((0, start), (end, x.shape[dim])):
        shape = list(x.shape)
        shape[dim] = last - first
        name = OPS["slice"](g, None, x, dim, first, last)
        parts.append(Value(shape, x.dtype, name.name if isinstance(name, Value) else name))
    parts = [parts[0], part, parts[1]]
    return OPS["cat"](g, out, [p for p in parts if p.shape[dim]], dim)


@op("select")
def _(g, out, x, dim, index):
    index = index % x.shape[dim]
    one = Value(
        tuple(1 if i == dim % x.rank else n for i, n in enumerate(x.shape)), x.dtype,
        _slice(g, x, dim, index, 1),
    )  # fmt: skip
    return OPS["view"](g, out, one)


@op("split", "split_with_sizes")
def _(g, out, x, size, dim=0):
    start, parts = 0, []
    for part in out:
        length = part.shape[dim]
        name = _slice(g, x, dim, start, length)
        parts.append(Value(part.shape, part.dtype, name))
        start += length
    return parts


@op("unbind")
def _(g, out, x, dim=0):
    return [OPS["select"](g, part, x, dim, i) for i, part in enumerate(out)]


def _gather(g, out, x, indices, dim, kind=np.int32):
    return g.add(
        "GatherV2", g.use(x), indices, g.ints(g.axis(x, dim)),
        Tparams=dtype_of(x.dtype), Tindices=dtype_of(kind), Taxis=dtype_of(np.int32),
    )  # fmt: skip


@op("index_select")
def _(g, out, x, dim, index):
    return _gather(g, out, x, g.use(index), dim, index.dtype)


@op("embedding")
def _(g, out, weight, index, *args, **kwargs):
    name = _gather(g, out, weight, g.use(index), 0, index.dtype)
    return g.stored(name, out.shape, out.dtype)


@op("index", "_unsafe_index")
def _(g, out, x, indices):
    used = [(d, i) for d, i in enumerate(indices) if i is not None]
    if any(i.dtype == np.bool_ for _, i in used):
        raise UnsupportedOperator("indexing with a mask of bools.")
    if len(used) == 1 and used[0][1].rank <= 1:
        (dim, index), *_ = used
        if index.rank == 0:
            raise UnsupportedOperator("indexing with a tensor of no axes.")
        return _gather(g, out, x, g.use(index), dim, index.dtype)
    if len(used) == 2 and used[0][1].rank == 2 and used[1][1].rank == 1:
        # x[..., rows[:, None], columns], what resampling decomposes into.
        (d0, rows), (d1, columns) = used
        if d1 == d0 + 1 and rows.shape[1] == 1:
            flat = Value((rows.shape[0],), rows.dtype, g.reshape(
                g.use(rows), (rows.shape[0],), rows.dtype))  # fmt: skip
            shape = x.shape[:d0] + flat.shape + x.shape[d1:]
            half = Value(
                shape, x.dtype, _gather(g, out, x, g.use(flat), d0, flat.dtype)
            )
            return _gather(g, out, half, g.use(columns), d1, columns.dtype)
    raise UnsupportedOperator("indexing with several tensors of several axes.")


@op("flip")
def _(g, out, x, dims):
    axes = g.ints([g.axis(x, d) for d in dims])
    return g.add("ReverseV2", g.use(x), axes, dtype=x.dtype, Tidx=dtype_of(np.int32))


@op("roll")
def _(g, out, x, shifts, dims):
    axes = g.ints([g.axis(x, d) for d in dims])
    return g.add(
        "Roll", g.use(x), g.ints(list(shifts)), axes, dtype=x.dtype,
        Tshift=dtype_of(np.int32), Taxis=dtype_of(np.int32),
    )  # fmt: skip


# Reductions


def _reduce(g, out, x, dims, keepdim, tf, **attrs):
    dims = range(x.rank) if dims is None or dims == [] else dims
    dims = [dims] if isinstance(dims, int) else [d % x.rank for d in dims]
    dims = [d % x.rank for d in dims]
    source = x.dtype if tf in ("Any", "All") else out.dtype
    name = g.cast(g.use(x), x.dtype, source)
    attrs = {"T": dtype_of(source)} if tf not in ("Any", "All") else {}
    name = g.add(
        tf, name, g.ints([g.axis(x, d) for d in dims]), keep_dims=bool(keepdim),
        Tidx=dtype_of(np.int32), attrs=attrs,
    )  # fmt: skip
    if keepdim:
        return name
    # The remaining axes are in the order in which x was stored.
    kept = [a for a in layout(x.rank) if a not in dims]
    order = sorted(range(len(kept)), key=kept.__getitem__)
    name = g.transpose(name, order, out.dtype)
    return g.stored(name, out.shape, out.dtype)


def _reduction(tf):
    def handler(g, out, x, dims=None, keepdim=False, **kwargs):
        return _reduce(g, out, x, dims, keepdim, tf)

    return handler


_REDUCE = {
    "sum": "Sum", "mean": "Mean", "amax": "Max", "amin": "Min", "any": "Any",
    "all": "All",
}  # fmt: skip
OPS.update({name: _reduction(tf) for name, tf in _REDUCE.items()})


def _variance(g, out, x, dims, correction, keepdim):
    dims = list(range(x.rank)) if not dims else [d % x.rank for d in dims]
    ones = Value([1 if i in dims else n for i, n in enumerate(x.shape)], x.dtype)
    mean = _reduce(g, ones, x, dims, True, "Mean")
    diff = g.add("Sub", g.use(x), mean, dtype=x.dtype)
    square = Value(x.shape, x.dtype, g.add("Square", diff, dtype=x.dtype))
    count = int(np.prod([x.shape[d] for d in dims]))
    if any(g.is_batch(x.shape[d]) for d in dims):
        raise UnsupportedOperator("variance over a batch of unknown size.")
    mean = _reduce(g, out, square, dims, keepdim, "Mean")
    mean = mean if isinstance(mean, Value) else Value(out.shape, out.dtype, mean)
    correction = 1 if correction is None else correction
    return OPS["mul"](g, out, mean, count / max(count - correction, 1))


@op("var")
def _(g, out, x, dims=None, *, correction=None, keepdim=False):
    return _variance(g, out, x, dims, correction, keepdim)


@op("std")
def _(g, out, x, dims=None, *, correction=None, keepdim=False):
    return g.add(
        "Sqrt", _variance(g, out, x, dims, correction, keepdim), dtype=out.dtype
    )


@op("linalg_vector_norm")
def _(g, out, x, order=2, dims=None, keepdim=False, *, dtype=None):
    if order != 2:
        raise UnsupportedOperator(f"vector norm of order {order}: only 2.")
    square = Value(x.shape, x.dtype, g.add("Square", g.use(x), dtype=x.dtype))
    total = _reduce(g, out, square, dims, keepdim, "Sum")
    total = total.name if isinstance(total, Value) else total
    return g.add("Sqrt", total, dtype=out.dtype)


@op("_softmax", "softmax", "_safe_softmax", "_log_softmax")
def _(g, out, x, dim, half_to_float=False, log=False):
    # TensorFlow's Softmax works on the last stored axis.
    last = g.axis(x, dim) == x.rank - 1
    order = [i for i in range(x.rank) if i != g.axis(x, dim)] + [g.axis(x, dim)]
    name = g.use(x) if last else g.transpose(g.use(x), order, x.dtype)
    name = g.add("LogSoftmax" if log else "Softmax", name, dtype=x.dtype)
    return name if last else g.transpose(name, np.argsort(order), x.dtype)


OPS["_log_softmax"] = lambda g, out, x, dim, half: OPS["_softmax"](
    g, out, x, dim, log=True
)


@op("searchsorted")
def _(g, out, table, values, *, out_int32=False, right=False, **kwargs):
    # The index is the number of entries below the value.
    if table.rank != 1:
        raise UnsupportedOperator("searchsorted in a table of several axes.")
    column = Value(values.shape + (1,), values.dtype)
    column = OPS["view"](g, column, values)
    wide = Value(values.shape + table.shape, np.bool_)
    wide.name = OPS["le" if right else "lt"](g, wide, table, column)
    return _reduce(g, out, wide, [-1], False, "Sum")
