"""ATen operators as TensorFlow nodes: arithmetic, new tensors, matrix products.

A handler takes the graph, what torch says of the result (a Value without a
name), and the operator's own arguments, Values in place of tensors. It returns
the name of a tensor that is stored in layout order, or a Value. Adding an
operator is adding a handler. Shapes, indexing and reductions are in
:mod:`ops_shape`, convolutions, norms and resampling in :mod:`ops_nn`;
:mod:`translate` imports all three.
"""

import math

import numpy as np

from bart_plugin.graph.graphdef import UnsupportedOperator, Value, dtype_of, layout

__all__ = ["OPS", "op"]

OPS = {}


def op(*names):
    """Register a handler for ATen operators by name, all overloads."""

    def register(handler):
        OPS.update(dict.fromkeys(names, handler))
        return handler

    return register


# Elementwise

_UNARY = {
    "neg": "Neg", "abs": "Abs", "exp": "Exp", "expm1": "Expm1", "log": "Log",
    "log1p": "Log1p", "sqrt": "Sqrt", "rsqrt": "Rsqrt", "sin": "Sin",
    "cos": "Cos", "tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu",
    "erf": "Erf", "reciprocal": "Reciprocal", "sign": "Sign", "floor": "Floor",
    "ceil": "Ceil", "softplus": "Softplus", "isfinite": "IsFinite",
    "logical_not": "LogicalNot",
}  # fmt: skip
_BINARY = {
    "mul": "Mul", "div": "RealDiv", "pow": "Pow", "maximum": "Maximum",
    "minimum": "Minimum", "atan2": "Atan2",
}  # fmt: skip
_COMPARE = {
    "lt": "Less", "le": "LessEqual", "gt": "Greater", "ge": "GreaterEqual",
    "eq": "Equal", "ne": "NotEqual",
}  # fmt: skip
_LOGICAL = {
    "logical_and": "LogicalAnd", "logical_or": "LogicalOr",
    "bitwise_and": "LogicalAnd", "bitwise_or": "LogicalOr",
}  # fmt: skip


def _unary(tf):
    def handler(g, out, x, *args, **kwargs):
        if any(a not in (1, 20) for a in args):  # softplus(beta=1, threshold=20)
            raise UnsupportedOperator(f"{tf} with arguments {args}.")
        kind = None if tf.startswith(("IsF", "LogicalN")) else x.dtype
        attrs = {"T": dtype_of(x.dtype)} if tf == "IsFinite" else None
        return g.add(tf, g.use(x), dtype=kind, attrs=attrs)

    return handler


def _binary(tf):
    def handler(g, out, a, b, **kwargs):
        if kwargs.get("rounding_mode"):
            raise UnsupportedOperator(f"div with {kwargs}.")
        x, y = (g.operand(v, out.dtype, out.rank) for v in (a, b))
        return g.add(tf, x, y, dtype=out.dtype)

    return handler


def _compare(tf):
    def handler(g, out, a, b):
        both = [v.dtype for v in (a, b) if isinstance(v, Value)]
        kind = np.result_type(*both)
        x, y = (g.operand(v, kind, out.rank) for v in (a, b))
        return g.add(tf, x, y, dtype=kind)

    return handler


def _logical(tf):
    def handler(g, out, a, b):
        if out.dtype != np.bool_:
            raise UnsupportedOperator(f"{tf} of {out.dtype}: only of bools.")
        return g.add(tf, *(g.operand(v, np.bool_, out.rank) for v in (a, b)))

    return handler


for _table, _make in (
    (_UNARY, _unary), (_BINARY, _binary), (_COMPARE, _compare), (_LOGICAL, _logical)
):  # fmt: skip
    OPS.update({name: _make(tf) for name, tf in _table.items()})


def _add(g, out, a, b, alpha, tf):
    x, y = (g.operand(v, out.dtype, out.rank) for v in (a, b))
    if alpha != 1:
        y = g.add("Mul", y, g.const(np.asarray(alpha, out.dtype)), dtype=out.dtype)
    return g.add(tf, x, y, dtype=out.dtype)


@op("add")
def _(g, out, a, b, alpha=1):
    return _add(g, out, a, b, alpha, "AddV2")


@op("sub")
def _(g, out, a, b, alpha=1):
    return _add(g, out, a, b, alpha, "Sub")


@op("rsub")
def _(g, out, a, b, alpha=1):
    return _add(g, out, b, a, alpha, "Sub")


@op("silu")
def _(g, out, x):
    x = g.use(x)
    gate = g.add("Sigmoid", x, dtype=out.dtype)
    return g.add("Mul", x, gate, dtype=out.dtype)


@op("gelu")
def _(g, out, x, approximate="none"):
    name, kind = g.use(x), out.dtype

    def c(value):
        return g.const(np.asarray(value, kind))

    if approximate == "none":
        t = g.add("Mul", name, c(math.sqrt(0.5)), dtype=kind)
        t = g.add("Erf", t, dtype=kind)
    else:
        cube = g.add("Pow", name, c(3), dtype=kind)
        cube = g.add("Mul", cube, c(0.044715), dtype=kind)
        t = g.add("AddV2", name, cube, dtype=kind)
        t = g.add("Mul", t, c(math.sqrt(2 / math.pi)), dtype=kind)
        t = g.add("Tanh", t, dtype=kind)
    t = g.add("AddV2", t, c(1), dtype=kind)
    t = g.add("Mul", t, c(0.5), dtype=kind)
    return g.add("Mul", name, t, dtype=kind)


@op("leaky_relu")
def _(g, out, x, slope=0.01):
    return g.add("LeakyRelu", g.use(x), dtype=out.dtype, alpha=float(slope))


@op("elu")
def _(g, out, x, alpha=1, scale=1, input_scale=1):
    if (alpha, scale, input_scale) != (1, 1, 1):
        raise UnsupportedOperator("elu with alpha or scale other than 1.")
    return g.add("Elu", g.use(x), dtype=out.dtype)


@op("clamp", "hardtanh", "clamp_min", "clamp_max")
def _(g, out, x, low=None, high=None, min=None, max=None):
    low = low if min is None else min
    high = high if max is None else max
    name = g.cast(g.use(x), x.dtype, out.dtype)
    for tf, bound in (("Maximum", low), ("Minimum", high)):
        if bound is not None:
            bound = g.operand(bound, out.dtype, out.rank)
            name = g.add(tf, name, bound, dtype=out.dtype)
    return name


OPS["clamp_max"] = lambda g, out, x, high: OPS["clamp"](g, out, x, None, high)


@op("where")
def _(g, out, condition, a, b):
    condition = g.operand(condition, np.bool_, out.rank)
    a, b = (g.operand(v, out.dtype, out.rank) for v in (a, b))
    return g.add("SelectV2", condition, a, b, dtype=out.dtype)


# New tensors


def _filled(g, out, value):
    shape = g.dims([out.shape[i] for i in layout(out.rank)])
    value = g.const(np.asarray(value, out.dtype))
    return g.add("Fill", shape, value, dtype=out.dtype, index_type=dtype_of(np.int32))


@op("full", "full_like", "new_full")
def _(g, out, like, *args, **kwargs):
    return _filled(g, out, args[-1])


@op("zeros", "zeros_like", "new_zeros", "empty", "empty_like")
def _(g, out, *args, **kwargs):
    return _filled(g, out, 0)


@op("ones", "ones_like", "new_ones")
def _(g, out, *args, **kwargs):
    return _filled(g, out, 1)


@op("scalar_tensor")
def _(g, out, value, **kwargs):
    return Value(out.shape, out.dtype, array=np.asarray(value, out.dtype))


@op("arange")
def _(g, out, *args, **kwargs):
    return Value(out.shape, out.dtype, array=np.arange(*args[:3], dtype=out.dtype))


# Products


@op("mm")
def _(g, out, a, b):
    return g.add("MatMul", g.use(a), g.use(b), dtype=out.dtype)


@op("addmm")
def _(g, out, bias, a, b, beta=1, alpha=1):
    if (beta, alpha) != (1, 1):
        raise UnsupportedOperator("addmm with beta or alpha other than 1.")
    product = g.add("MatMul", g.use(a), g.use(b), dtype=out.dtype)
    return g.add("AddV2", product, g.operand(bias, out.dtype, 2), dtype=out.dtype)


@op("bmm")
def _(g, out, a, b):
    return g.add("BatchMatMulV2", g.use(a), g.use(b), dtype=out.dtype)


@op("baddbmm")
def _(g, out, bias, a, b, beta=1, alpha=1):
    product = Value(out.shape, out.dtype, OPS["bmm"](g, out, a, b))
    product = Value(out.shape, out.dtype, OPS["mul"](g, out, product, alpha))
    return OPS["add"](g, out, product, bias, alpha=beta)
