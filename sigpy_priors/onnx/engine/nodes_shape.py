"""ONNX operators in torch: shapes, joining and cutting, indexing."""

from __future__ import annotations

import numpy as np
import torch

from sigpy_priors.onnx.engine.nodes import (
    UnsupportedOperator,
    axes_of,
    ints,
    op,
    tensor,
)


@op("Shape")
def _onnx_shape(node, x):
    return np.array(x.shape[node.get("start", 0) : node.get("end")], np.int64)


@op("Size")
def _onnx_size(node, x):
    return np.array(x.numel(), np.int64)


@op("Reshape")
def _onnx_reshape(node, x, shape):
    shape = ints(node, shape, "sizes")
    if not node.get("allowzero"):
        shape = [x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return x.reshape(shape)


@op("Flatten")
def _onnx_flatten(node, x):
    axis = node.get("axis", 1) % (x.ndim + 1)
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


@op("Transpose")
def _onnx_transpose(node, x):
    return x.permute(node.get("perm", list(range(x.ndim))[::-1]))


@op("Squeeze")
def _onnx_squeeze(node, x, axes=None):
    axes = axes_of(node, axes)
    if axes is None:
        axes = [i for i, n in enumerate(x.shape) if n == 1]
    for axis in sorted((a % x.ndim for a in axes), reverse=True):
        x = x.squeeze(axis)
    return x


@op("Unsqueeze")
def _onnx_unsqueeze(node, x, axes=None):
    axes = axes_of(node, axes)
    rank = x.ndim + len(axes)
    for axis in sorted(a % rank for a in axes):
        x = x.unsqueeze(axis)
    return x


@op("Expand")
def _onnx_expand(node, x, shape):
    shape = ints(node, shape, "sizes")
    return x.expand(torch.broadcast_shapes(x.shape, shape))


@op("Tile")
def _onnx_tile(node, x, repeats):
    return x.repeat(ints(node, repeats, "repeats"))


@op("Concat")
def _onnx_concat(node, *args):
    return torch.cat([tensor(node, v) for v in args], node.get("axis"))


@op("Split")
def _onnx_split(node, x, sizes=None):
    axis = node.get("axis", 0)
    sizes = axes_of(node, sizes, "split")
    if sizes is None:
        count = node.get("num_outputs", len(node.outputs))
        sizes = -(-x.shape[axis] // count)
    return x.split(sizes, axis)


@op("Slice")
def _onnx_slice(node, x, starts=None, ends=None, axes=None, steps=None):
    starts, ends, axes, steps = (
        axes_of(node, v, name)
        for v, name in (
            (starts, "starts"), (ends, "ends"), (axes, "axes"), (steps, "steps")
        )
    )  # fmt: skip
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for axis, start, end, step in zip(axes, starts, ends, steps):
        if step < 0:
            if step != -1 or abs(start) < x.shape[axis] - 1 and start != -1:
                raise UnsupportedOperator("Slice backwards, unless of a whole axis.")
            x = x.flip(axis)
            continue
        start, end, step = slice(start, end, step).indices(x.shape[axis])
        x = x[(slice(None),) * (axis % x.ndim) + (slice(start, end, step),)]
    return x


@op("Gather")
def _onnx_gather(node, x, index):
    axis = node.get("axis", 0)
    x = tensor(node, x)
    axis %= x.ndim
    if not isinstance(index, torch.Tensor) and np.ndim(index) == 0:
        return x.select(axis, int(index))
    index = tensor(node, index)
    # Negative indices count from the end.
    index = torch.where(index < 0, index + x.shape[axis], index)
    out = x.index_select(axis, index.reshape(-1))
    return out.reshape(x.shape[:axis] + index.shape + x.shape[axis + 1 :])


@op("GatherElements")
def _onnx_gather_elements(node, x, index):
    return torch.gather(tensor(node, x), node.get("axis", 0), tensor(node, index))


@op("GatherND")
def _onnx_gather_nd(node, x, index):
    if node.get("batch_dims"):
        raise UnsupportedOperator("GatherND with batch_dims.")
    x, index = tensor(node, x), tensor(node, index)
    if index.shape[-1] == 1:  # whole entries of the first axis
        out = x.index_select(0, index.reshape(-1))
        return out.reshape(index.shape[:-1] + x.shape[1:])
    return x[tuple(index.unbind(-1))]


@op("Trilu")
def _onnx_trilu(node, x, k=None):
    k = 0 if k is None else ints(node, k, "diagonal")[0]
    return torch.triu(x, k) if node.get("upper", 1) else torch.tril(x, k)


@op("ConstantOfShape", "Range")
def _onnx_constant_of_shape(node, *args):
    raise UnsupportedOperator(f"{node.op} whose size depends on values of the input.")
