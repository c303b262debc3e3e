"""ONNX operators in torch: arithmetic, products and reductions.

A handler takes the node and its inputs, tensors or host arrays (see
:mod:`interpreter`), at least one of them a tensor, and returns the outputs.
Adding an operator is adding a handler. Shapes and indexing are in
:mod:`ops_shape`, convolutions, norms and resampling in :mod:`ops_nn`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

__all__ = ["OPS", "UnsupportedOperator", "op", "ints", "tensor"]

OPS = {}


class UnsupportedOperator(NotImplementedError):
    """An ONNX file uses an operator, or a form of one, that is not known here."""


def op(*names: Any) -> Any:
    """Register a handler by operator name."""

    def register(handler):
        OPS.update(dict.fromkeys(names, handler))
        return handler

    return register


def ints(node: Any, v: Any, what: Any) -> Any:
    """Numbers that must not depend on the image: a list of ints."""
    if isinstance(v, torch.Tensor):
        raise UnsupportedOperator(
            f"{node.op} {node.name!r}: its {what} depend on the values of the input."
        )
    return np.asarray(v).astype(np.int64).reshape(-1).tolist()


def floats(node: Any, v: Any, what: Any) -> Any:
    """As :func:`ints`, for floats."""
    if isinstance(v, torch.Tensor):
        v = v.detach().cpu().numpy()
    return np.asarray(v).astype(np.float64).reshape(-1).tolist()


def tensor(node: Any, v: Any) -> Any:
    """A host array as a tensor on the device, in the precision of the module."""
    if v is None or isinstance(v, torch.Tensor):
        return v
    array = np.ascontiguousarray(v)
    t = torch.from_numpy(array.copy()).to(node.like.device)
    return t.to(node.like.dtype) if t.is_floating_point() else t


def operand(node: Any, v: Any, other: Any) -> Any:
    """As :func:`tensor`, but a plain number where that broadcasts the same."""
    if not isinstance(v, torch.Tensor) and np.size(v) == 1:
        if np.ndim(v) <= getattr(other, "ndim", 0):
            return np.asarray(v).item()
    return tensor(node, v)


def axes_of(node: Any, given: Any, name: str = "axes") -> Any:
    """Axes as an attribute (older operator sets) or as an input."""
    if given is not None:
        return ints(node, given, name)
    return node.get(name)


# Elementwise

_UNARY = {
    "Neg": torch.neg, "Abs": torch.abs, "Exp": torch.exp, "Log": torch.log,
    "Sqrt": torch.sqrt, "Reciprocal": torch.reciprocal, "Sin": torch.sin,
    "Cos": torch.cos, "Tan": torch.tan, "Atan": torch.atan, "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid, "Relu": torch.relu, "Erf": torch.erf,
    "Softplus": F.softplus, "Softsign": F.softsign, "Mish": F.mish,
    "HardSwish": F.hardswish, "Floor": torch.floor, "Ceil": torch.ceil,
    "Round": torch.round, "Sign": torch.sign, "Not": torch.logical_not,
    "IsNaN": torch.isnan, "Identity": lambda x: x, "Selu": F.selu,
}  # fmt: skip
_BINARY = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Pow": torch.pow,
    "Equal": torch.eq, "Less": torch.lt, "LessOrEqual": torch.le,
    "Greater": torch.gt, "GreaterOrEqual": torch.ge, "And": torch.logical_and,
    "Or": torch.logical_or, "Xor": torch.logical_xor,
}  # fmt: skip


def _unary(f):
    return lambda node, x: f(x)


def _binary(f):
    def handler(node, a, b):
        if isinstance(a, torch.Tensor):
            return f(a, operand(node, b, a))
        a = operand(node, a, b)
        return f(a if isinstance(a, torch.Tensor) else torch.full_like(b, a), b)

    return handler


OPS.update({name: _unary(f) for name, f in _UNARY.items()})
OPS.update({name: _binary(f) for name, f in _BINARY.items()})


@op("Div")
def _onnx_div(node, a, b):
    def divide(a, b):
        whole = not a.is_floating_point()
        return torch.div(a, b, rounding_mode="trunc" if whole else None)

    return _binary(divide)(node, a, b)


@op("Mod")
def _onnx_mod(node, a, b):
    return _binary(torch.fmod if node.get("fmod") else torch.remainder)(node, a, b)


@op("Min", "Max", "Sum", "Mean")
def _onnx_min(node, *args):
    f = {"Min": torch.minimum, "Max": torch.maximum}.get(node.op, torch.add)
    total = tensor(node, args[0])
    for v in args[1:]:
        total = f(total, tensor(node, v))
    return total / len(args) if node.op == "Mean" else total


@op("LeakyRelu")
def _onnx_leaky_relu(node, x):
    return F.leaky_relu(x, node.get("alpha", 0.01))


@op("Elu")
def _onnx_elu(node, x):
    alpha = node.get("alpha", 1.0)
    if alpha == 1:
        return F.elu(x)
    return torch.where(x > 0, x, alpha * torch.expm1(x))


@op("Gelu")
def _onnx_gelu(node, x):
    return F.gelu(x, approximate=node.get("approximate", "none"))


@op("Swish")
def _onnx_swish(node, x):
    return x * torch.sigmoid(node.get("alpha", 1.0) * x)


@op("HardSigmoid")
def _onnx_hard_sigmoid(node, x):
    return (node.get("alpha", 0.2) * x + node.get("beta", 0.5)).clamp(0, 1)


@op("PRelu")
def _onnx_prelu(node, x, slope):
    return torch.where(x < 0, x * tensor(node, slope), x)


@op("Clip")
def _onnx_clip(node, x, low=None, high=None):
    for v, name, bound in ((low, "min", x.clamp_min), (high, "max", x.clamp_max)):
        v = node.get(name) if v is None else v
        if v is not None:
            x = getattr(x, bound.__name__)(operand(node, v, x))
    return x


@op("Where")
def _onnx_where(node, condition, a, b):
    condition, a, b = (tensor(node, v) for v in (condition, a, b))
    return torch.where(condition.bool(), a, b)


@op("Cast", "CastLike")
def _onnx_cast(node, x, like=None):
    """Only between kinds of numbers: floats keep the module's precision."""
    import onnx

    if like is not None:
        target = tensor(node, like).dtype
    else:
        kind = onnx.helper.tensor_dtype_to_np_dtype(node.get("to"))
        floating = np.issubdtype(kind, np.floating) or "float" in str(kind)
        if floating:
            target = torch.float64 if kind == np.float64 else node.like.dtype
        else:
            target = torch.from_numpy(np.zeros(0, kind)).dtype
    return x.to(target)


@op("Softmax", "LogSoftmax")
def _onnx_softmax(node, x):
    f = torch.softmax if node.op == "Softmax" else torch.log_softmax
    axis = node.get("axis", -1 if node.opset >= 13 else 1)
    if node.opset >= 13 or axis in (-1, x.ndim - 1):
        return f(x, axis)
    # Older sets: over all axes from ``axis`` on.
    return f(x.flatten(axis), -1).reshape(x.shape)


@op("Dropout")
def _onnx_dropout(node, x, *args):
    return x, torch.ones_like(x, dtype=torch.bool)


@op("DequantizeLinear")
def _onnx_dequantize_linear(node, x, scale, zero=None):
    x, scale = tensor(node, x).to(node.like.dtype), tensor(node, scale)
    column = [1] * x.ndim
    if scale.ndim:
        column[node.get("axis", 1)] = -1
    if zero is not None:
        x = x - tensor(node, zero).to(x.dtype).reshape(column)
    return x * scale.reshape(column)


@op("CumSum")
def _onnx_cum_sum(node, x, axis):
    if node.get("exclusive") or node.get("reverse"):
        raise UnsupportedOperator("CumSum that is exclusive or reversed.")
    return x.cumsum(ints(node, axis, "axis")[0])


# Products


@op("MatMul")
def _onnx_mat_mul(node, a, b):
    return torch.matmul(tensor(node, a), tensor(node, b))


@op("Gemm")
def _onnx_gemm(node, a, b, c=None):
    a, b, c = (tensor(node, v) for v in (a, b, c))
    a = a.T if node.get("transA") else a
    b = b.T if node.get("transB") else b
    out = a @ b
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    out = out if alpha == 1 else alpha * out
    return out if c is None else out + (c if beta == 1 else beta * c)


@op("Einsum")
def _onnx_einsum(node, *args):
    return torch.einsum(node.get("equation"), *(tensor(node, v) for v in args))


# Reductions

_REDUCE = {
    "ReduceSum": lambda x, d, k: x.sum(d, keepdim=k),
    "ReduceMean": lambda x, d, k: x.mean(d, keepdim=k),
    "ReduceMax": lambda x, d, k: x.amax(d, keepdim=k),
    "ReduceMin": lambda x, d, k: x.amin(d, keepdim=k),
    "ReduceSumSquare": lambda x, d, k: (x * x).sum(d, keepdim=k),
    "ReduceL1": lambda x, d, k: x.abs().sum(d, keepdim=k),
    "ReduceL2": lambda x, d, k: (x * x).sum(d, keepdim=k).sqrt(),
    "ReduceLogSumExp": lambda x, d, k: x.logsumexp(d, keepdim=k),
}


@op(*_REDUCE)
def _onnx__reduce(node, x, axes=None):
    axes = axes_of(node, axes)
    if not axes:
        if node.get("noop_with_empty_axes"):
            return x
        axes = list(range(x.ndim))
    return _REDUCE[node.op](x, axes, bool(node.get("keepdims", 1)))


@op("ArgMax", "ArgMin")
def _onnx_arg_max(node, x):
    f = torch.argmax if node.op == "ArgMax" else torch.argmin
    return f(x, node.get("axis", 0), keepdim=bool(node.get("keepdims", 1)))
