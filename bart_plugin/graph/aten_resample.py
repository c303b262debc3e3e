"""ATen operators as TensorFlow nodes: padding, pooling and other grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bart_plugin.graph.aten import Outs, op
from bart_plugin.graph.aten_shape import cut, gather
from bart_plugin.graph.graphdef import Graph, UntranslatedOperator, Value, dtype_of

__all__ = ["padded"]


def padded(
    g: Graph,
    name: str,
    pads: Sequence[tuple[int, int]],
    dtype: np.dtype,
    mode: str = "CONSTANT",
) -> str:
    """Pad height and width of an NHWC tensor: ((top, bottom), (left, right))."""
    if not np.any(pads):
        return name
    widths = g.ints([(0, 0), *pads, (0, 0)])
    whole = dtype_of(np.int32)
    if mode == "CONSTANT":
        return g.add("Pad", name, widths, dtype=dtype, Tpaddings=whole)
    return g.add("MirrorPad", name, widths, mode=mode, dtype=dtype, Tpaddings=whole)


def _by_index(g: Graph, x: Value, axis: int, index: ArrayLike) -> Value:
    """Rows or columns by a list of numbers that is known now."""
    array = np.asarray(index, np.int32)
    return gather(g, x, Value(array.shape, array.dtype, array=array), axis)


# Other grids


@op("pixel_shuffle")
def aten_pixel_shuffle(g: Graph, out: Value, x: Value, r: int) -> str:
    b, c, h, w = x.shape
    name = g.reshape(g.use(x), (b, h, w, c // r**2, r, r), x.dtype)
    name = g.transpose(name, (0, 1, 4, 2, 5, 3), x.dtype)
    return g.reshape(name, (b, h * r, w * r, c // r**2), x.dtype)


@op("pixel_unshuffle")
def aten_pixel_unshuffle(g: Graph, out: Value, x: Value, r: int) -> str:
    b, c, h, w = x.shape
    name = g.reshape(g.use(x), (b, h // r, r, w // r, r, c), x.dtype)
    name = g.transpose(name, (0, 1, 3, 5, 2, 4), x.dtype)
    return g.reshape(name, (b, h // r, w // r, c * r**2), x.dtype)


@op("upsample_nearest2d")
def aten_upsample_nearest2d(
    g: Graph, out: Value, x: Value, size: Any = None, *args: Any, **kwargs: Any
) -> Value:
    for axis in (2, 3):
        n, m = x.shape[axis], out.shape[axis]
        x = _by_index(g, x, axis, np.arange(m) * n // m)
    return x


@op("upsample_bilinear2d")
def aten_upsample_bilinear2d(
    g: Graph,
    out: Value,
    x: Value,
    size: Any = None,
    align_corners: bool = False,
    *args: Any,
    **kwargs: Any,
) -> str:
    return g.add(
        "ResizeBilinear",
        g.use(x),
        g.ints(out.shape[2:]),
        dtype=x.dtype,
        align_corners=bool(align_corners),
        half_pixel_centers=not align_corners,
    )


# Padding


@op("replication_pad2d")
def aten_replication_pad2d(
    g: Graph, out: Value, x: Value, padding: Sequence[int]
) -> Value:
    left, right, top, bottom = padding
    for axis, before, after in ((2, top, bottom), (3, left, right)):
        n = x.shape[axis]
        x = _by_index(g, x, axis, np.clip(np.arange(-before, n + after), 0, n - 1))
    return x


@op("reflection_pad2d")
def aten_reflection_pad2d(
    g: Graph, out: Value, x: Value, padding: Sequence[int]
) -> str:
    left, right, top, bottom = padding
    return padded(g, g.use(x), [(top, bottom), (left, right)], x.dtype, "REFLECT")


@op("constant_pad_nd")
def aten_constant_pad_nd(
    g: Graph, out: Value, x: Value, pad: Sequence[int], value: float = 0
) -> str:
    for i, p in enumerate(pad):
        if p < 0:  # crops
            axis = x.rank - 1 - i // 2
            n = x.shape[axis]
            x = cut(g, x, axis, *((0, n + p) if i % 2 else (-p, n)))
    pads = np.zeros((x.rank, 2), np.int32)
    for i in range(len(pad) // 2):
        pads[g.axis(x, -1 - i)] = [max(p, 0) for p in pad[2 * i : 2 * i + 2]]
    return _padded_with(g, g.use(x), pads, value, x.dtype)


def _padded_with(
    g: Graph, name: str, pads: ArrayLike, value: float, dtype: np.dtype
) -> str:
    value_name = g.const(np.full((), value, dtype))
    whole = dtype_of(np.int32)
    return g.add("PadV2", name, g.ints(pads), value_name, dtype=dtype, Tpaddings=whole)


# Pooling


def _pair(v: int | Sequence[int]) -> list[int]:
    return [v] * 2 if isinstance(v, int) else list(v) * (2 // len(v))


def _pool(
    g: Graph,
    x: Value,
    node: str,
    size: int | Sequence[int],
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    outside: float,
) -> str:
    window = _pair(size)
    steps = _pair(stride) if stride else window
    pads = _pair(padding)
    name = g.use(x)
    if any(pads):
        widths = [(0, 0), *((p, p) for p in pads), (0, 0)]
        name = _padded_with(g, name, widths, outside, x.dtype)
    return g.add(
        node,
        name,
        dtype=x.dtype,
        ksize=[1, *window, 1],
        strides=[1, *steps, 1],
        padding="VALID",
        data_format="NHWC",
    )


@op("avg_pool2d")
def aten_avg_pool2d(
    g: Graph,
    out: Value,
    x: Value,
    size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil: bool = False,
    count_pad: bool = True,
    div: int | None = None,
) -> str:
    if ceil or div or (any(_pair(padding)) and not count_pad):
        raise UntranslatedOperator("avg_pool2d with ceil_mode or another divisor.")
    return _pool(g, x, "AvgPool", size, stride, padding, 0)


@op("max_pool2d_with_indices")
def aten_max_pool2d_with_indices(
    g: Graph,
    out: Outs,
    x: Value,
    size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil: bool = False,
) -> Outs:
    if ceil or any(d != 1 for d in dilation):
        raise UntranslatedOperator("max_pool2d with ceil_mode or dilation.")
    low = float(np.finfo(x.dtype.type).min)
    pooled = out[0]
    assert pooled is not None
    pooled.name = _pool(g, x, "MaxPool", size, stride, padding, low)
    return [pooled, None]
