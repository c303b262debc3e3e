"""ONNX operators in torch: convolutions, pooling, norms and resampling."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F

from sigpy_priors.onnx.engine.nodes import UnsupportedOperator, floats, ints, op, tensor

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _window(node, sizes, kernel):
    """Strides, dilations and (before, after) of each axis."""
    rank = len(kernel)
    strides = node.get("strides", [1] * rank)
    dilations = node.get("dilations", [1] * rank)
    auto = node.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = []
        for n, k, s, d in zip(sizes, kernel, strides, dilations):
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            few, many = total // 2, total - total // 2
            pads.append((few, many) if auto == "SAME_UPPER" else (many, few))
    else:
        flat = node.get("pads") if auto == "NOTSET" else None
        flat = flat or [0] * (2 * rank)
        pads = list(zip(flat[:rank], flat[rank:]))
    return strides, dilations, pads


def _pad(x, pads, value=0.0):
    """Pad the last axes by (before, after) each; nothing where all are zero."""
    if not any(a or b for a, b in pads):
        return x
    return F.pad(x, [n for pair in reversed(pads) for n in pair], value=value)


def _even(x, pads, value=0.0):
    """Padding that convolutions do themselves, and the rest done here."""
    if all(a == b for a, b in pads):
        return x, [a for a, _ in pads]
    return _pad(x, pads, value), [0] * len(pads)


@op("Conv")
def _onnx_conv(node, x, w, b=None):
    w, b = tensor(node, w), tensor(node, b)
    strides, dilations, pads = _window(node, x.shape[2:], w.shape[2:])
    x, padding = _even(x, pads)
    groups = node.get("group", 1)
    return _CONV[w.ndim - 2](x, w, b, strides, padding, dilations, groups)


@op("ConvTranspose")
def _onnx_conv_transpose(node, x, w, b=None):
    w, b = tensor(node, w), tensor(node, b)
    rank = w.ndim - 2
    strides, dilations, pads = _window(node, x.shape[2:], w.shape[2:])
    extra = node.get("output_padding", [0] * rank)
    groups = node.get("group", 1)
    auto = node.get("auto_pad", "NOTSET")
    target = node.get("output_shape")
    if target is None and auto.startswith("SAME"):
        target = [n * s for n, s in zip(x.shape[2:], strides)]
    if target is not None:
        pads = []
        for n, m, s, k, d, e in zip(
            x.shape[2:], target, strides, w.shape[2:], dilations, extra
        ):
            total = s * (n - 1) + e + (k - 1) * d + 1 - m
            few, many = total // 2, total - total // 2
            pads.append((few, many) if auto == "SAME_UPPER" else (many, few))
    even = all(a == b and a >= 0 for a, b in pads)
    padding = [a for a, _ in pads] if even else [0] * rank
    out = _TRANSPOSED[rank](x, w, b, strides, padding, extra, groups, dilations)
    if not even:
        for axis, (before, after) in enumerate(pads, start=2):
            out = out.narrow(axis, before, out.shape[axis] - before - after)
    return out


@op("AveragePool", "MaxPool")
def _onnx_average_pool(node, x):
    kernel = node.get("kernel_shape")
    if node.get("ceil_mode") or len(kernel) != 2:
        raise UnsupportedOperator(f"{node.op} with ceil_mode, or not of 2-D images.")
    strides, dilations, pads = _window(node, x.shape[2:], kernel)
    if node.op == "MaxPool":
        x = _pad(x, pads, torch.finfo(x.dtype).min)
        return F.max_pool2d(x, kernel, strides, 0, dilations)
    if any(d != 1 for d in dilations):
        raise UnsupportedOperator("AveragePool with dilation.")
    total = F.avg_pool2d(_pad(x, pads), kernel, strides)
    if node.get("count_include_pad") or not any(a or b for a, b in pads):
        return total
    inside = F.avg_pool2d(_pad(torch.ones_like(x[:1, :1]), pads), kernel, strides)
    return total / inside


@op("GlobalAveragePool")
def _onnx_global_average_pool(node, x):
    return x.mean(list(range(2, x.ndim)), keepdim=True)


# Norms


def _column(v, rank):
    return v.reshape([1, -1] + [1] * (rank - 2))


@op("BatchNormalization")
def _onnx_batch_normalization(node, x, scale, bias, mean, var):
    if node.get("training_mode"):
        raise UnsupportedOperator("BatchNormalization in training mode.")
    scale, bias, mean, var = (tensor(node, v) for v in (scale, bias, mean, var))
    factor = scale / torch.sqrt(var + node.get("epsilon", 1e-5))
    shift = bias - mean * factor
    return x * _column(factor, x.ndim) + _column(shift, x.ndim)


@op("InstanceNormalization")
def _onnx_instance_normalization(node, x, scale, bias):
    scale, bias = tensor(node, scale), tensor(node, bias)
    image = x
    if x.ndim == 3:
        # A group norm, flattened to (N, groups, rest). As an image again it has a
        # mean of means, which is exact, and goes to BART's graphs.
        rest = x.shape[2]
        rows = next(d for d in range(math.isqrt(rest), 0, -1) if rest % d == 0)
        image = x.reshape(*x.shape[:2], rows, rest // rows)
    out = F.group_norm(image, x.shape[1], scale, bias, node.get("epsilon", 1e-5))
    return out.reshape(x.shape)


@op("GroupNormalization")
def _onnx_group_normalization(node, x, scale, bias):
    scale, bias, groups = (
        tensor(node, scale),
        tensor(node, bias),
        node.get("num_groups"),
    )
    if node.opset < 21:  # one scale for each group
        repeat = x.shape[1] // groups
        scale, bias = scale.repeat_interleave(repeat), bias.repeat_interleave(repeat)
    return F.group_norm(x, groups, scale, bias, node.get("epsilon", 1e-5))


@op("LayerNormalization")
def _onnx_layer_normalization(node, x, scale, bias=None):
    scale, bias = tensor(node, scale), tensor(node, bias)
    axis = node.get("axis", -1) % x.ndim
    shape = x.shape[axis:]
    out = F.layer_norm(x, shape, None, None, node.get("epsilon", 1e-5)) * scale
    return out if bias is None else out + bias


@op("LpNormalization")
def _onnx_lp_normalization(node, x):
    return F.normalize(x, p=node.get("p", 2), dim=node.get("axis", -1))


# Resampling and rearrangement


@op("Pad")
def _onnx_pad(node, x, pads=None, value=None, axes=None):
    pads = node.get("pads") if pads is None else ints(node, pads, "widths")
    axes = range(x.ndim) if axes is None else ints(node, axes, "axes")
    half = len(pads) // 2
    mode = node.get("mode", "constant")
    if mode != "constant":
        for axis, before, after in zip(axes, pads[:half], pads[half:]):
            if before or after:
                index = np.arange(-before, x.shape[axis] + after)
                n = x.shape[axis]
                if mode == "edge":
                    index = index.clip(0, n - 1)
                elif mode == "wrap":
                    index %= n
                else:  # reflect
                    index = np.abs(index) % max(2 * n - 2, 1)
                    index = np.minimum(index, 2 * n - 2 - index)
                x = x.index_select(axis, tensor(node, index))
        return x
    value = node.get("value", 0.0) if value is None else floats(node, value, "value")[0]
    every = [(0, 0)] * x.ndim
    for axis, pair in zip(axes, zip(pads[:half], pads[half:])):
        every[axis] = pair
    return _pad(x, every, value)


@op("DepthToSpace")
def _onnx_depth_to_space(node, x):
    r = node.get("blocksize")
    if node.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, r)
    b, c, h, w = x.shape
    x = x.reshape(b, r, r, c // r**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(b, c // r**2, h * r, w * r)


@op("SpaceToDepth")
def _onnx_space_to_depth(node, x):
    r = node.get("blocksize")
    b, c, h, w = x.shape
    x = x.reshape(b, c, h // r, r, w // r, r).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(b, c * r**2, h // r, w // r)


@op("Resize", "Upsample")
def _onnx_resize(node, x, *args):
    if node.op == "Upsample" or node.opset < 11:
        roi, scales, sizes = None, args[0] if args else node.get("scales"), None
    else:
        roi, scales, sizes = (*args, None, None, None)[:3]
    if node.get("axes") is not None or x.ndim != 4:
        raise UnsupportedOperator("Resize of some axes, or not of images NCHW.")
    if sizes is not None and np.size(sizes):
        size = ints(node, sizes, "sizes")
        scale = [m / n for m, n in zip(size, x.shape)]
    else:
        scale = floats(node, scales, "scales")
        size = [int(np.floor(n * s)) for n, s in zip(x.shape, scale)]
    mode = node.get("mode", "nearest")
    for axis, (n, m, s) in enumerate(zip(x.shape, size, scale)):
        if n != m:
            x = _resample(node, x, axis, n, m, s, mode)
    return x


def _resample(node, x, axis, n, m, scale, mode):
    """One axis from n to m samples; scale is what the file states."""
    rule = node.get("coordinate_transformation_mode", "half_pixel")
    if node.op == "Upsample" or node.opset < 11:
        rule = "asymmetric"
    k = np.arange(m, dtype=np.float64)
    if rule == "align_corners":
        at = k * (n - 1) / max(m - 1, 1)
    elif rule == "asymmetric":
        at = k / scale
    elif rule == "half_pixel" or (rule == "pytorch_half_pixel" and m > 1):
        at = (k + 0.5) / scale - 0.5
    elif rule == "pytorch_half_pixel":
        at = 0 * k
    else:
        raise UnsupportedOperator(f"Resize with {rule}.")
    if mode == "nearest":
        how = node.get("nearest_mode", "round_prefer_floor")
        if node.op == "Upsample" or node.opset < 11:
            how = "floor"
        rounded = {
            "floor": np.floor, "ceil": np.ceil,
            "round_prefer_floor": lambda v: np.ceil(v - 0.5),
            "round_prefer_ceil": lambda v: np.floor(v + 0.5),
        }[how](at)  # fmt: skip
        index = rounded.clip(0, n - 1).astype(np.int64)
        return x.index_select(axis, tensor(node, index))
    if mode != "linear" or node.get("antialias"):
        raise UnsupportedOperator(f"Resize by {mode} interpolation, or antialiased.")
    at = at.clip(0, n - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, n - 1)
    weight = (at - low).reshape([-1] + [1] * (x.ndim - 1 - axis))
    a, b = (x.index_select(axis, tensor(node, i)) for i in (low, high))
    return a + (b - a) * tensor(node, weight)
