"""ATen operators as TensorFlow nodes: convolutions and norms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bart_plugin.graph.aten import Outs, op
from bart_plugin.graph.aten_reduce import mean_in_stages
from bart_plugin.graph.aten_resample import padded
from bart_plugin.graph.aten_shape import cut, joined
from bart_plugin.graph.graphdef import Graph, UntranslatedOperator, Value

__all__: list[str] = []

# Convolutions


class _Geometry(NamedTuple):
    """Where a kernel goes, along height and width; ``extra`` of transposed ones."""

    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    extra: Sequence[int]


@op("convolution")
def aten_convolution(
    g: Graph,
    out: Value,
    x: Value,
    w: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    extra: Sequence[int],
    groups: int,
) -> str:
    geometry = _Geometry(stride, padding, dilation, extra)
    name = _convolve(g, out, x, w, geometry, transposed, groups)
    if bias is None:
        return name
    return g.add("BiasAdd", name, g.use(bias), dtype=out.dtype, data_format="NHWC")


@op("convolution_backward")
def aten_convolution_backward(
    g: Graph,
    out: Outs,
    grad: Value,
    x: Value,
    w: Value,
    sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    extra: Sequence[int],
    groups: int,
    wanted: Sequence[bool],
) -> Outs:
    """The gradient by the input: the other kind of convolution, same kernel."""
    if list(wanted) != [True, False, False]:
        raise UntranslatedOperator("gradients by the weights of a convolution.")
    slope = out[0]
    assert slope is not None
    if not transposed:
        # The last rows and columns of the input that no output has seen.
        axes = zip(
            slope.shape[2:], grad.shape[2:], w.shape[2:], stride, padding, dilation
        )
        extra = [n + 2 * p - (m - 1) * s - d * (k - 1) - 1 for n, m, k, s, p, d in axes]
    geometry = _Geometry(stride, padding, dilation, extra)
    slope.name = _convolve(g, slope, grad, w, geometry, not transposed, groups)
    return [slope, None, None]


def _convolve(
    g: Graph,
    out: Value,
    x: Value,
    w: Value,
    geometry: _Geometry,
    transposed: bool,
    groups: int,
) -> str:
    if x.rank != 4:
        raise UntranslatedOperator(f"convolution of rank {x.rank}: only 2-D images.")
    if w.array is None:
        raise UntranslatedOperator("convolution with a kernel that is computed.")
    one: Callable = _transposed if transposed else _forward
    if groups == 1:
        return one(g, out, x, w.array, geometry)
    # TensorFlow's CPU kernels know no groups.
    parts, count = [], x.shape[1] // groups
    for i, kernel in enumerate(np.split(w.array, groups, axis=0)):
        part = cut(g, x, 1, i * count, (i + 1) * count)
        shape = (out.shape[0], out.shape[1] // groups, *out.shape[2:])
        result = Value(shape, out.dtype)
        result.name = one(g, result, part, kernel, geometry)
        parts.append(result)
    return joined(g, out, parts, 1)


def _forward(
    g: Graph, out: Value, x: Value, kernel: np.ndarray, geometry: _Geometry
) -> str:
    stride, padding, dilation, _ = geometry
    name, mode = g.use(x), "VALID"
    same = all(
        s == 1 and k % 2 == 1 and 2 * p == d * (k - 1)
        for s, k, p, d in zip(stride, kernel.shape[2:], padding, dilation)
    )
    if same and any(padding):
        mode = "SAME"
    else:
        name = padded(g, name, [(p, p) for p in padding], x.dtype)
    return g.add(
        "Conv2D",
        name,
        g.const(kernel.transpose(2, 3, 1, 0)),
        dtype=x.dtype,
        strides=[1, *stride, 1],
        dilations=[1, *dilation, 1],
        padding=mode,
        data_format="NHWC",
    )


def _transposed(
    g: Graph, out: Value, x: Value, kernel: np.ndarray, geometry: _Geometry
) -> str:
    """The gradient of a valid convolution, cut to the stated padding."""
    stride, padding, dilation, extra = geometry
    kernel = _dilated(kernel, dilation)
    axes = zip(x.shape[2:], kernel.shape[2:], stride, padding, extra)
    size = []
    for n, k, s, p, e in axes:
        full = (n - 1) * s + k
        size.append(max(full, full - p + e))
    # Conv2D's kernel is (H, W, in, out) of the forward direction, whose input
    # is our output.
    name = g.add(
        "Conv2DBackpropInput",
        g.dims([x.shape[0], *size, kernel.shape[1]]),
        g.const(kernel.transpose(2, 3, 1, 0)),
        g.use(x),
        dtype=x.dtype,
        strides=[1, *stride, 1],
        padding="VALID",
        data_format="NHWC",
    )
    wide = Value((x.shape[0], kernel.shape[1], *size), x.dtype, name)
    for axis, (p, n) in enumerate(zip(padding, out.shape[2:]), start=2):
        wide = cut(g, wide, axis, p, p + n)
    return g.use(wide)


def _dilated(kernel: np.ndarray, dilation: Sequence[int]) -> np.ndarray:
    """Zeros between the taps: the CPU kernel knows no dilation."""
    if all(d == 1 for d in dilation):
        return kernel
    size = [d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape[2:])]
    wide = np.zeros((*kernel.shape[:2], *size), kernel.dtype)
    wide[:, :, :: dilation[0], :: dilation[1]] = kernel
    return wide


# Norms


def _normalised(
    g: Graph, name: str, stages: Sequence[Sequence[int]], eps: float, dtype: np.dtype
) -> str:
    """Zero mean and unit variance over stored axes, averaged in stages."""
    mean = mean_in_stages(g, name, stages, dtype)
    centred = g.add("Sub", name, mean, dtype=dtype)
    square = g.add("Square", centred, dtype=dtype)
    variance = mean_in_stages(g, square, stages, dtype)
    variance = g.add("AddV2", variance, g.const(np.asarray(eps, dtype)), dtype=dtype)
    scale = g.add("Rsqrt", variance, dtype=dtype)
    return g.add("Mul", centred, scale, dtype=dtype)


def _affine(
    g: Graph,
    name: str,
    weight: Value | None,
    bias: Value | None,
    rank: int,
    dtype: np.dtype,
) -> str:
    if weight is not None:
        name = g.add("Mul", name, g.operand(weight, dtype, rank), dtype=dtype)
    if bias is not None:
        name = g.add("AddV2", name, g.operand(bias, dtype, rank), dtype=dtype)
    return name


@op("native_group_norm")
def aten_native_group_norm(
    g: Graph,
    out: Outs,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    n: int,
    c: int,
    hw: int,
    groups: int,
    eps: float,
) -> Outs:
    if x.rank != 4:
        raise UntranslatedOperator(f"group norm of rank {x.rank}: only images.")
    b, _, h, w = x.shape
    name = g.reshape(g.use(x), (b, h, w, groups, c // groups), x.dtype)
    name = _normalised(g, name, ([2, 4], [1]), eps, x.dtype)
    name = g.reshape(name, (b, h, w, c), x.dtype)
    # The channels are the last axis as stored.
    name = _affine(g, name, weight, bias, 1, x.dtype)
    return [Value(x.shape, x.dtype, name)]


@op("native_layer_norm")
def aten_native_layer_norm(
    g: Graph,
    out: Outs,
    x: Value,
    shape: Sequence[int],
    weight: Value | None,
    bias: Value | None,
    eps: float,
) -> Outs:
    stages = [[g.axis(x, x.rank - 1 - i)] for i in range(len(shape))]
    name = _normalised(g, g.use(x), stages, eps, x.dtype)
    name = _affine(g, name, weight, bias, x.rank, x.dtype)
    return [Value(x.shape, x.dtype, name)]


@op("native_batch_norm", "_native_batch_norm_legit_no_training")
def aten_native_batch_norm(
    g: Graph,
    out: Outs,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value | None,
    var: Value | None,
    *args: float,
) -> Outs:
    eps = args[-1]
    if args[0] is True and mean is None:
        # Instance norm, which torch writes as batch norm of a batch of one.
        name = _normalised(g, g.use(x), ([0, 2], [1]), eps, x.dtype)
        return [Value(x.shape, x.dtype, _affine(g, name, weight, bias, 1, x.dtype))]
    if args[0] is True:
        raise UntranslatedOperator("batch norm in training mode: call .eval() first.")
    centre, spread = _numbers(mean), _numbers(var)
    scale = np.ones_like(centre) if weight is None else _numbers(weight)
    scale = scale / np.sqrt(spread + eps)
    shift = (np.zeros_like(centre) if bias is None else _numbers(bias)) - centre * scale
    name = g.add("Mul", g.use(x), g.const(scale), dtype=x.dtype)
    name = g.add("AddV2", name, g.const(shift), dtype=x.dtype)
    return [Value(x.shape, x.dtype, name)]


def _numbers(v: Value | None) -> np.ndarray:
    if v is None or v.array is None:
        raise UntranslatedOperator("batch norm with statistics that are computed.")
    return v.array
