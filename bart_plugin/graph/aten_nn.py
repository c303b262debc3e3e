"""ATen operators as TensorFlow nodes: convolutions, norms and resampling."""

import numpy as np

from bart_plugin.graph.graphdef import UnsupportedOperator, Value, dtype_of
from bart_plugin.graph.aten import OPS, op


def _pad(g, name, pads, dtype, mode="CONSTANT"):
    """Pad height and width of an NHWC tensor: ((top, bottom), (left, right))."""
    if not np.any(pads):
        return name
    pads = g.ints([(0, 0), *pads, (0, 0)])
    more = dict(dtype=dtype, Tpaddings=dtype_of(np.int32))
    if mode == "CONSTANT":
        return g.add("Pad", name, pads, **more)
    return g.add("MirrorPad", name, pads, mode=mode, **more)


@op("convolution")
def _(g, out, x, w, bias, stride, padding, dilation, transposed, extra, groups):
    if x.rank != 4:
        raise UnsupportedOperator(f"convolution of rank {x.rank}: only 2-D images.")
    if w.array is None:
        raise UnsupportedOperator("convolution with a kernel that is computed.")
    one = _transposed if transposed else _convolution
    options = stride, padding, dilation, extra
    if groups == 1:
        name = one(g, out, x, w.array, *options)
    else:
        # TensorFlow's CPU kernels know no groups.
        names, count = [], x.shape[1] // groups
        part_shape = (out.shape[0], out.shape[1] // groups, *out.shape[2:])
        kernels = np.split(w.array, groups, axis=0)
        for i, kernel in enumerate(kernels):
            part = Value((x.shape[0], count, *x.shape[2:]), x.dtype)
            part.name = OPS["slice"](g, None, x, 1, i * count, (i + 1) * count)
            result = Value(part_shape, out.dtype)
            result.name = one(g, result, part, kernel, *options)
            names.append(result)
        name = OPS["cat"](g, out, names, 1)
    if bias is None:
        return name
    return g.add("BiasAdd", name, g.use(bias), dtype=out.dtype, data_format="NHWC")


@op("convolution_backward")
def _(g, out, grad, x, w, sizes, stride, padding, dilation, transposed, extra, groups,
      wanted):  # fmt: skip
    """The gradient by the input: the other kind of convolution, same kernel."""
    if list(wanted) != [True, False, False]:
        raise UnsupportedOperator("gradients by the weights of a convolution.")
    if not transposed:
        # The last rows and columns of the input that no output has seen.
        sizes = zip(out[0].shape[2:], grad.shape[2:], w.shape[2:], stride, padding,
                    dilation)  # fmt: skip
        extra = [
            n + 2 * p - (m - 1) * s - d * (k - 1) - 1 for n, m, k, s, p, d in sizes
        ]
    name = OPS["convolution"](
        g, out[0], grad, w, None, stride, padding, dilation, not transposed, extra,
        groups,
    )  # fmt: skip
    return [Value(out[0].shape, out[0].dtype, name), None, None]


def _convolution(g, out, x, kernel, stride, padding, dilation, extra):
    size = kernel.shape[2:]
    name, mode = g.use(x), "VALID"
    same = all(
        s == 1 and k % 2 == 1 and 2 * p == d * (k - 1)
        for s, k, p, d in zip(stride, size, padding, dilation)
    )
    if same and any(padding):
        mode = "SAME"
    else:
        name = _pad(g, name, [(p, p) for p in padding], x.dtype)
    return g.add(
        "Conv2D", name, g.const(kernel.transpose(2, 3, 1, 0)), dtype=x.dtype,
        strides=[1, *stride, 1], dilations=[1, *dilation, 1], padding=mode,
        data_format="NHWC",
    )  # fmt: skip


def _transposed(g, out, x, kernel, stride, padding, dilation, extra):
    """The gradient of a valid convolution, cut to the stated padding."""
    if any(d != 1 for d in dilation):
        # The CPU kernel knows no dilation; zeros between the taps are the same.
        size = [d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape[2:])]
        wide = np.zeros(kernel.shape[:2] + tuple(size), kernel.dtype)
        wide[:, :, :: dilation[0], :: dilation[1]] = kernel
        kernel = wide
    size = []
    for n, k, s, p, e in zip(x.shape[2:], kernel.shape[2:], stride, padding, extra):
        full = (n - 1) * s + k
        size.append(max(full, full - p + e))
    shape = g.dims([x.shape[0], *size, kernel.shape[1]])
    # Conv2D's kernel is (H, W, in, out) of the forward direction, whose input
    # is our output.
    name = g.add(
        "Conv2DBackpropInput", shape, g.const(kernel.transpose(2, 3, 1, 0)), g.use(x),
        dtype=x.dtype, strides=[1, *stride, 1], padding="VALID", data_format="NHWC",
    )  # fmt: skip
    wide = Value((x.shape[0], kernel.shape[1], *size), x.dtype, name)
    for axis, (p, n) in enumerate(zip(padding, out.shape[2:]), start=2):
        shape = list(wide.shape)
        shape[axis] = n
        cut = OPS["slice"](g, None, wide, axis, p, p + n)
        name = cut.name if isinstance(cut, Value) else cut
        wide = Value(shape, x.dtype, name)
    return wide.name


# Norms


def _normalise(g, name, shape, stages, eps, dtype):
    """Zero mean and unit variance over axes, averaged in stages.

    TensorFlow adds up the elements of a mean one by one, which loses digits
    over many; a mean of means of fewer does not.
    """

    def mean(t):
        for axes in stages:
            t = g.add(
                "Mean", t, g.ints(axes), dtype=dtype, keep_dims=True,
                Tidx=dtype_of(np.int32),
            )  # fmt: skip
        return t

    centred = g.add("Sub", name, mean(name), dtype=dtype)
    variance = mean(g.add("Square", centred, dtype=dtype))
    variance = g.add("AddV2", variance, g.const(np.asarray(eps, dtype)), dtype=dtype)
    scale = g.add("Rsqrt", variance, dtype=dtype)
    return g.add("Mul", centred, scale, dtype=dtype)


def _affine(g, name, weight, bias, rank, dtype):
    if weight is not None:
        name = g.add("Mul", name, g.operand(weight, dtype, rank), dtype=dtype)
    if bias is not None:
        name = g.add("AddV2", name, g.operand(bias, dtype, rank), dtype=dtype)
    return name


@op("native_group_norm")
def _(g, out, x, weight, bias, n, c, hw, groups, eps):
    out = out[0]
    if x.rank != 4:
        raise UnsupportedOperator(f"group norm of rank {x.rank}: only images.")
    b, _, h, w = x.shape
    split = (b, h, w, groups, c // groups)
    name = g.reshape(g.use(x), split, x.dtype)
    name = _normalise(g, name, split, ([2, 4], [1]), eps, x.dtype)
    name = g.reshape(name, (b, h, w, c), x.dtype)
    if weight is not None:
        name = g.add("Mul", name, g.use(weight), dtype=x.dtype)
    if bias is not None:
        name = g.add("AddV2", name, g.use(bias), dtype=x.dtype)
    return [Value(out.shape, out.dtype, name)]


@op("native_layer_norm")
def _(g, out, x, shape, weight, bias, eps):
    out = out[0]
    axes = [[g.axis(x, x.rank - 1 - i)] for i in range(len(shape))]
    name = _normalise(g, g.use(x), x.shape, axes, eps, x.dtype)
    name = _affine(g, name, weight, bias, x.rank, x.dtype)
    return [Value(out.shape, out.dtype, name)]


@op("native_batch_norm", "_native_batch_norm_legit_no_training")
def _(g, out, x, weight, bias, mean, var, *args):
    out, eps = out[0], args[-1]
    if args[0] is True and mean is None:
        # Instance norm, which torch writes as batch norm of a batch of one.
        name = _normalise(g, g.use(x), x.shape, ([0, 2], [1]), eps, x.dtype)
        name = _affine(g, name, weight, bias, 1, x.dtype)
        return [Value(out.shape, out.dtype, name)]
    if args[0] is True:
        raise UnsupportedOperator("batch norm in training mode: call .eval() first.")
    if any(v is not None and v.array is None for v in (weight, bias, mean, var)):
        raise UnsupportedOperator("batch norm with statistics that are computed.")
    one, zero = np.ones_like(mean.array), np.zeros_like(mean.array)
    scale = (one if weight is None else weight.array) / np.sqrt(var.array + eps)
    shift = (zero if bias is None else bias.array) - mean.array * scale
    name = g.add("Mul", g.use(x), g.const(scale), dtype=x.dtype)
    return [Value(out.shape, out.dtype, g.add("AddV2", name, g.const(shift),
                                              dtype=x.dtype))]  # fmt: skip


# Resampling


@op("pixel_shuffle")
def _(g, out, x, r):
    b, c, h, w = x.shape
    name = g.reshape(g.use(x), (b, h, w, c // r**2, r, r), x.dtype)
    name = g.transpose(name, (0, 1, 4, 2, 5, 3), x.dtype)
    return g.reshape(name, (b, h * r, w * r, c // r**2), x.dtype)


@op("pixel_unshuffle")
def _(g, out, x, r):
    b, c, h, w = x.shape
    name = g.reshape(g.use(x), (b, h // r, r, w // r, r, c), x.dtype)
    name = g.transpose(name, (0, 1, 3, 5, 2, 4), x.dtype)
    return g.reshape(name, (b, h // r, w // r, c * r**2), x.dtype)


def _repeat_axis(g, name, x, axis, index, length):
    index = g.ints(index)
    return Value(
        x.shape[:axis] + (length,) + x.shape[axis + 1 :], x.dtype,
        g.add(
            "GatherV2", name, index, g.ints(g.axis(x, axis)),
            Tparams=dtype_of(x.dtype), Tindices=dtype_of(np.int32),
            Taxis=dtype_of(np.int32),
        ),
    )  # fmt: skip


@op("upsample_nearest2d")
def _(g, out, x, size=None, *args, **kwargs):
    for axis in (2, 3):
        n, m = x.shape[axis], out.shape[axis]
        index = np.arange(m) * n // m
        x = _repeat_axis(g, g.use(x), x, axis, index, m)
    return x


@op("upsample_bilinear2d")
def _(g, out, x, size=None, align_corners=False, *args, **kwargs):
    return g.add(
        "ResizeBilinear", g.use(x), g.ints(out.shape[2:]), dtype=x.dtype,
        align_corners=bool(align_corners), half_pixel_centers=not align_corners,
    )  # fmt: skip


@op("replication_pad2d")
def _(g, out, x, padding):
    left, right, top, bottom = padding
    for axis, before, after in ((2, top, bottom), (3, left, right)):
        n = x.shape[axis]
        if before or after:
            index = np.clip(np.arange(-before, n + after), 0, n - 1)
            x = _repeat_axis(g, g.use(x), x, axis, index, len(index))
    return x


@op("reflection_pad2d")
def _(g, out, x, padding):
    left, right, top, bottom = padding
    return _pad(g, g.use(x), [(top, bottom), (left, right)], x.dtype, "REFLECT")


@op("constant_pad_nd")
def _(g, out, x, pad, value=0):
    for i, p in enumerate(pad):
        if p < 0:  # crops
            axis, (first, last) = x.rank - 1 - i // 2, (0, p) if i % 2 else (-p, None)
            shape = list(x.shape)
            shape[axis] += p
            name = OPS["slice"](g, None, x, axis, first, last)
            x = Value(shape, x.dtype, name)
    pad = [max(p, 0) for p in pad]
    pads = np.zeros((x.rank, 2), np.int32)
    for i in range(len(pad) // 2):
        pads[g.axis(x, -1 - i)] = pad[2 * i : 2 * i + 2]
    return g.add(
        "PadV2", g.use(x), g.ints(pads), g.const(np.asarray(value, x.dtype)),
        dtype=x.dtype, Tpaddings=dtype_of(np.int32),
    )  # fmt: skip


def _windows(size, stride, padding):
    size = [size] * 2 if isinstance(size, int) else list(size) * (2 // len(size))
    stride = size if not stride else list(stride) * (2 // len(stride))
    return size, stride, list(padding) * (2 // len(padding))


def _pool(g, x, tf, size, stride, padding, low):
    pads = g.ints([(0, 0), *((p, p) for p in padding), (0, 0)])
    name = g.use(x)
    if any(padding):
        name = g.add(
            "PadV2", name, pads, g.const(np.asarray(low, x.dtype)), dtype=x.dtype,
            Tpaddings=dtype_of(np.int32),
        )  # fmt: skip
    return g.add(
        tf, name, dtype=x.dtype, ksize=[1, *size, 1], strides=[1, *stride, 1],
        padding="VALID", data_format="NHWC",
    )  # fmt: skip


@op("avg_pool2d")
def _(g, out, x, size, stride=(), padding=(0,), ceil=False, count_pad=True, div=None):
    size, stride, padding = _windows(size, stride, padding)
    if ceil or div or (any(padding) and not count_pad):
        raise UnsupportedOperator("avg_pool2d with ceil_mode or another divisor.")
    return _pool(g, x, "AvgPool", size, stride, padding, 0)


@op("max_pool2d_with_indices")
def _(g, out, x, size, stride=(), padding=(0,), dilation=(1,), ceil=False):
    size, stride, padding = _windows(size, stride, padding)
    if ceil or any(d != 1 for d in dilation):
        raise UnsupportedOperator("max_pool2d with ceil_mode or dilation.")
    low = np.finfo(x.dtype).min
    name = _pool(g, x, "MaxPool", size, stride, padding, low)
    return [Value(out[0].shape, out[0].dtype, name), None]
