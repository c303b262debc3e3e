"""ATen operators as TensorFlow nodes: arithmetic, new tensors, matrix products.

A handler is called ``aten_`` and the name of its operator. It takes the graph, what
torch says of the result (a Value without a name), and the operator's own arguments,
Values in place of tensors. It returns the name of a tensor that is stored in layout
order, or a Value; where an operator has several results, a list of Values. Adding
an operator is adding a handler. Shapes and indexing are in
:mod:`~bart_plugin.graph.aten_shape`, reductions in
:mod:`~bart_plugin.graph.aten_reduce`, convolutions and norms in
:mod:`~bart_plugin.graph.aten_nn`, resampling in
:mod:`~bart_plugin.graph.aten_resample`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np

from bart_plugin.graph.graphdef import (
    Graph,
    UntranslatedOperator,
    Value,
    dtype_of,
    layout,
)

__all__ = ["OPS", "Handler", "Operand", "Outs", "Result", "op", "scaled", "total"]

Operand: TypeAlias = Value | float
Outs: TypeAlias = list[Value | None]
Result: TypeAlias = str | Value | Outs
Handler: TypeAlias = Callable[..., Result]
_Handler = TypeVar("_Handler", bound=Handler)

OPS: dict[str, Handler] = {}


def op(*names: str) -> Callable[[_Handler], _Handler]:
    """Register a handler for ATen operators by name, all overloads."""

    def register(handler: _Handler) -> _Handler:
        OPS.update(dict.fromkeys(names, handler))
        return handler

    return register


# Elementwise

_UNARY = {
    "neg": "Neg",
    "abs": "Abs",
    "exp": "Exp",
    "expm1": "Expm1",
    "log": "Log",
    "log1p": "Log1p",
    "sqrt": "Sqrt",
    "rsqrt": "Rsqrt",
    "sin": "Sin",
    "cos": "Cos",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "erf": "Erf",
    "reciprocal": "Reciprocal",
    "sign": "Sign",
    "floor": "Floor",
    "ceil": "Ceil",
    "softplus": "Softplus",
}
_BINARY = {
    "mul": "Mul",
    "div": "RealDiv",
    "pow": "Pow",
    "maximum": "Maximum",
    "minimum": "Minimum",
    "atan2": "Atan2",
}
_COMPARE = {
    "lt": "Less",
    "le": "LessEqual",
    "gt": "Greater",
    "ge": "GreaterEqual",
    "eq": "Equal",
    "ne": "NotEqual",
}
_LOGICAL = {
    "logical_and": "LogicalAnd",
    "logical_or": "LogicalOr",
    "bitwise_and": "LogicalAnd",
    "bitwise_or": "LogicalOr",
}


def _unary(node: str) -> Handler:
    def handler(g: Graph, out: Value, x: Value, *args: float) -> str:
        if any(a not in (1, 20) for a in args):  # softplus(beta=1, threshold=20)
            raise UntranslatedOperator(f"{node} with arguments {args}.")
        return g.add(node, g.use(x), dtype=x.dtype)

    return handler


def _binary(node: str) -> Handler:
    def handler(g: Graph, out: Value, a: Operand, b: Operand, **kwargs: Any) -> str:
        if kwargs.get("rounding_mode"):
            raise UntranslatedOperator(f"{node} with {kwargs}.")
        x, y = (g.operand(v, out.dtype, out.rank) for v in (a, b))
        return g.add(node, x, y, dtype=out.dtype)

    return handler


def _compare(node: str) -> Handler:
    def handler(g: Graph, out: Value, a: Operand, b: Operand) -> str:
        kind = np.result_type(*[v.dtype for v in (a, b) if isinstance(v, Value)])
        x, y = (g.operand(v, kind, out.rank) for v in (a, b))
        return g.add(node, x, y, dtype=kind)

    return handler


def _logical(node: str) -> Handler:
    def handler(g: Graph, out: Value, a: Operand, b: Operand) -> str:
        if out.dtype != np.bool_:
            raise UntranslatedOperator(f"{node} of {out.dtype}: only of bools.")
        return g.add(node, *(g.operand(v, np.bool_, out.rank) for v in (a, b)))

    return handler


for _table, _make in (
    (_UNARY, _unary),
    (_BINARY, _binary),
    (_COMPARE, _compare),
    (_LOGICAL, _logical),
):
    for _name, _node in _table.items():
        OPS[_name] = _make(_node)
        OPS[_name].__name__ = OPS[_name].__qualname__ = f"aten_{_name}"


def total(g: Graph, out: Value, a: Operand, b: Operand, alpha: float = 1) -> Value:
    """a + alpha b, broadcast to the shape of ``out``."""
    return Value(out.shape, out.dtype, _sum(g, out, a, b, alpha, "AddV2"))


def scaled(g: Graph, out: Value, x: Value, factor: float) -> Value:
    """A multiple of ``x``, of the shape of ``out``."""
    name = g.operand(x, out.dtype, out.rank)
    if factor != 1:
        factor_name = g.const(np.asarray(factor, out.dtype))
        name = g.add("Mul", name, factor_name, dtype=out.dtype)
    return Value(out.shape, out.dtype, name)


def _sum(g: Graph, out: Value, a: Operand, b: Operand, alpha: float, node: str) -> str:
    x, y = (g.operand(v, out.dtype, out.rank) for v in (a, b))
    if alpha != 1:
        y = g.add("Mul", y, g.const(np.asarray(alpha, out.dtype)), dtype=out.dtype)
    return g.add(node, x, y, dtype=out.dtype)


@op("add")
def aten_add(g: Graph, out: Value, a: Operand, b: Operand, alpha: float = 1) -> str:
    return _sum(g, out, a, b, alpha, "AddV2")


@op("sub")
def aten_sub(g: Graph, out: Value, a: Operand, b: Operand, alpha: float = 1) -> str:
    return _sum(g, out, a, b, alpha, "Sub")


@op("rsub")
def aten_rsub(g: Graph, out: Value, a: Operand, b: Operand, alpha: float = 1) -> str:
    return _sum(g, out, b, a, alpha, "Sub")


@op("isfinite")
def aten_isfinite(g: Graph, out: Value, x: Value) -> str:
    return g.add("IsFinite", g.use(x), dtype=x.dtype)


@op("logical_not")
def aten_logical_not(g: Graph, out: Value, x: Value) -> str:
    return g.add("LogicalNot", g.use(x))


@op("silu")
def aten_silu(g: Graph, out: Value, x: Value) -> str:
    name = g.use(x)
    gate = g.add("Sigmoid", name, dtype=out.dtype)
    return g.add("Mul", name, gate, dtype=out.dtype)


@op("gelu")
def aten_gelu(g: Graph, out: Value, x: Value, approximate: str = "none") -> str:
    name, kind = g.use(x), out.dtype

    def c(value: float) -> str:
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
def aten_leaky_relu(g: Graph, out: Value, x: Value, slope: float = 0.01) -> str:
    return g.add("LeakyRelu", g.use(x), dtype=out.dtype, alpha=float(slope))


@op("elu")
def aten_elu(
    g: Graph,
    out: Value,
    x: Value,
    alpha: float = 1,
    scale: float = 1,
    input_scale: float = 1,
) -> str:
    if (alpha, scale, input_scale) != (1, 1, 1):
        raise UntranslatedOperator("elu with alpha or scale other than 1.")
    return g.add("Elu", g.use(x), dtype=out.dtype)


@op("clamp", "hardtanh", "clamp_min")
def aten_clamp(
    g: Graph,
    out: Value,
    x: Value,
    low: Operand | None = None,
    high: Operand | None = None,
    min: Operand | None = None,
    max: Operand | None = None,
) -> str:
    low = low if min is None else min
    high = high if max is None else max
    name = g.cast(g.use(x), x.dtype, out.dtype)
    for node, bound in (("Maximum", low), ("Minimum", high)):
        if bound is not None:
            name = g.add(
                node, name, g.operand(bound, out.dtype, out.rank), dtype=out.dtype
            )
    return name


@op("clamp_max")
def aten_clamp_max(g: Graph, out: Value, x: Value, high: Operand) -> str:
    return aten_clamp(g, out, x, None, high)


@op("where")
def aten_where(g: Graph, out: Value, condition: Value, a: Operand, b: Operand) -> str:
    which = g.operand(condition, np.bool_, out.rank)
    x, y = (g.operand(v, out.dtype, out.rank) for v in (a, b))
    return g.add("SelectV2", which, x, y, dtype=out.dtype)


# New tensors


def _filled(g: Graph, out: Value, value: float) -> str:
    shape = g.dims([out.shape[i] for i in layout(out.rank)])
    name = g.const(np.asarray(value, out.dtype))
    return g.add("Fill", shape, name, dtype=out.dtype, index_type=dtype_of(np.int32))


@op("full", "full_like", "new_full")
def aten_full(g: Graph, out: Value, like: Any, *args: Any, **kwargs: Any) -> str:
    return _filled(g, out, args[-1])


@op("zeros", "zeros_like", "new_zeros", "empty", "empty_like")
def aten_zeros(g: Graph, out: Value, *args: Any, **kwargs: Any) -> str:
    return _filled(g, out, 0)


@op("ones", "ones_like", "new_ones")
def aten_ones(g: Graph, out: Value, *args: Any, **kwargs: Any) -> str:
    return _filled(g, out, 1)


@op("scalar_tensor")
def aten_scalar_tensor(g: Graph, out: Value, value: float, **kwargs: Any) -> Value:
    return Value(out.shape, out.dtype, array=np.asarray(value, out.dtype))


@op("arange")
def aten_arange(g: Graph, out: Value, *args: float, **kwargs: Any) -> Value:
    return Value(out.shape, out.dtype, array=np.arange(*args[:3], dtype=out.dtype))


# Products


@op("mm")
def aten_mm(g: Graph, out: Value, a: Value, b: Value) -> str:
    return g.add("MatMul", g.use(a), g.use(b), dtype=out.dtype)


@op("addmm")
def aten_addmm(
    g: Graph,
    out: Value,
    bias: Value,
    a: Value,
    b: Value,
    beta: float = 1,
    alpha: float = 1,
) -> str:
    if (beta, alpha) != (1, 1):
        raise UntranslatedOperator("addmm with beta or alpha other than 1.")
    product = aten_mm(g, out, a, b)
    return g.add("AddV2", product, g.operand(bias, out.dtype, 2), dtype=out.dtype)


@op("bmm")
def aten_bmm(g: Graph, out: Value, a: Value, b: Value) -> str:
    return g.add("BatchMatMulV2", g.use(a), g.use(b), dtype=out.dtype)


@op("baddbmm")
def aten_baddbmm(
    g: Graph,
    out: Value,
    bias: Value,
    a: Value,
    b: Value,
    beta: float = 1,
    alpha: float = 1,
) -> Value:
    product = Value(out.shape, out.dtype, aten_bmm(g, out, a, b))
    return total(g, out, scaled(g, out, product, alpha), bias, beta)
