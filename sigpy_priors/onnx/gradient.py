"""The gradient of an ONNX graph, written into the same graph.

ONNX has no derivatives. This is reverse accumulation, node by node: a rule takes
the gradient over a node's output and returns that over one of its inputs. Sizes
stay free: what a rule needs of them, it asks for in the graph. Known are the
operators that densities of images are made of; adding one is adding a rule.
"""

from __future__ import annotations

from functools import partial, reduce
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, shape_inference

__all__ = ["add_gradient"]

_RULES = {}
# Through these nothing flows: their values are steps, sizes or truths.
_FLAT = {
    "Shape", "Size", "ConstantOfShape", "Less", "LessOrEqual", "Greater",
    "GreaterOrEqual", "Equal", "Not", "And", "Or", "Floor", "Ceil", "Round", "Sign",
}  # fmt: skip


def add_gradient(model: Any, x: str, y: str, name: str) -> None:
    """Add the gradient of the sum of an output over an input as an output.

    Args:
        model (onnx.ModelProto): opset 18 or later; changed in place.
        x (str): name of an input, float.
        y (str): name of an output, float.
        name (str): of the output to be made, of the shape of ``x``.

    Raises:
        NotImplementedError: naming an operator that has no rule here.
    """
    b = _Builder(model)
    nodes = list(model.graph.node)
    moving = {x}
    for node in nodes:
        if moving.intersection(node.input) and not _is_flat(node):
            moving.update(node.output)
    # Contributions to the gradient over each value.
    parts = {y: [b.op("ConstantOfShape", b.op("Shape", y), value=_ONE)]}
    for node in reversed(nodes):
        moved = [i for i, n in enumerate(node.input) if n in moving]
        if not moved or not parts.keys() & set(node.output):
            continue
        if node.op_type not in _RULES:
            raise NotImplementedError(
                f"no gradient of the ONNX operator {node.op_type}."
            )
        slopes = [b.total(parts.pop(o, [])) for o in node.output]
        for i in moved:
            g = _RULES[node.op_type](b, node, i, *slopes)
            if g is not None:
                parts.setdefault(node.input[i], []).append(g)
    b.node("Identity", [b.total(parts[x])], [name])
    kind = next(v.type for v in model.graph.input if v.name == x)
    model.graph.output.append(helper.make_value_info(name, kind))


_ONE = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])


def _is_flat(node):
    if node.op_type == "Cast":
        return _get(node, "to") not in (TensorProto.FLOAT, TensorProto.DOUBLE)
    return node.op_type in _FLAT


def _get(node, name, default=None):
    """An attribute."""
    found = [helper.get_attribute_value(a) for a in node.attribute if a.name == name]
    return found[0] if found else default


def _value(node: Any) -> Any:
    return _get(node, "value")


class _Builder:
    """A graph that grows, and what is known of its values."""

    def __init__(self, model: Any) -> None:
        self.graph = model.graph
        self.count = 0
        self.constants = {
            t.name: numpy_helper.to_array(t) for t in self.graph.initializer
        } | {
            n.output[0]: numpy_helper.to_array(_value(n))
            for n in self.graph.node
            if n.op_type == "Constant"
        }
        seen = shape_inference.infer_shapes(model, data_prop=True).graph
        self.shapes = {n: a.shape for n, a in self.constants.items()} | {
            v.name: tuple(d.dim_value or None for d in v.type.tensor_type.shape.dim)
            for v in (*seen.input, *seen.value_info, *seen.output)
            if v.type.tensor_type.HasField("shape")
        }

    def node(self, kind: Any, inputs: Any, outputs: Any, **attributes: Any) -> None:
        self.graph.node.append(helper.make_node(kind, inputs, outputs, **attributes))

    def op(self, kind: Any, *inputs: Any, **attributes: Any) -> Any:
        """Add a node of one output and return that; numbers become constants."""
        named = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        made = self.name(kind)
        self.node(kind, named, [made], **attributes)
        return made

    def constant(self, value: Any) -> Any:
        """Whole numbers as int64, others as float."""
        whole = np.asarray(value).dtype.kind == "i"
        array = np.asarray(value, np.int64 if whole else np.float32)
        made = self.name("constant")
        self.graph.initializer.append(numpy_helper.from_array(array, made))
        return made

    def name(self, kind: Any) -> Any:
        self.count += 1
        return f"gradient/{kind}_{self.count}"

    def total(self, parts: Any) -> Any:
        """Their sum; None for none."""
        return self.op("Sum", *parts) if len(parts) > 1 else (*parts, None)[0]

    def ints(self, node: Any, i: Any, default: Any = None) -> Any:
        """A constant input as a list."""
        if len(node.input) <= i or not node.input[i]:
            return default
        if node.input[i] not in self.constants:
            raise NotImplementedError(
                f"no gradient of {node.op_type} whose input {i} depends on the image."
            )
        return self.constants[node.input[i]].reshape(-1).tolist()

    def fit(self, g: Any, node: Any, i: Any) -> Any:
        """Sum a gradient over the axes along which input i was repeated."""
        whole, part = (self.shapes[n] for n in (node.output[0], node.input[i]))
        extra = len(whole) - len(part)
        axes = [
            k for k, n in enumerate(whole)
            if k < extra or (part[k - extra] == 1 and n != 1)
        ]  # fmt: skip
        if axes:
            g = self.op("ReduceSum", g, axes, keepdims=1)
        return self.op("Squeeze", g, list(range(extra))) if extra else g

    def sizes(self, name: Any, axes: Any = None) -> Any:
        """Sizes of a value, of some axes if named."""
        shape = self.op("Shape", name)
        return shape if axes is None else self.op("Gather", shape, axes)

    def pad(self, g: Any, name: Any, axes: Any, before: Any) -> Any:
        """Zeros around axes to the sizes of a value; what is negative is cut off."""
        missing = self.op("Sub", self.sizes(name, axes), self.sizes(g, axes))
        widths = self.op("Concat", before, self.op("Sub", missing, before), axis=0)
        return self.op("Pad", g, widths, 0.0, axes)


def _rule(*kinds):
    """Register a rule: (builder, node, number of the input, gradients)."""

    def register(function):
        _RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


# One input: the gradient times a function of input x and output y.


def _factor(function):
    def rule(b, node, i, g):
        return b.op("Mul", g, function(b, node.input[0], node.output[0], node))

    return rule


def _elu(b, x, y, node):
    # exp(x) alpha = y + alpha where x < 0
    alpha = _get(node, "alpha", 1.0)
    return b.op("Where", b.op("Greater", x, 0.0), 1.0, b.op("Add", y, alpha))


def _one_minus(b, v):
    return b.op("Sub", 1.0, v)


_RULES |= {
    "Neg": lambda b, node, i, g: b.op("Neg", g),
    "Identity": lambda b, node, i, g: g,
    "Cast": lambda b, node, i, g: g,
    "Exp": _factor(lambda b, x, y, _: y),
    "Log": _factor(lambda b, x, y, _: b.op("Reciprocal", x)),
    "Sqrt": _factor(lambda b, x, y, _: b.op("Div", 0.5, y)),
    "Sigmoid": _factor(lambda b, x, y, _: b.op("Mul", y, _one_minus(b, y))),
    "Tanh": _factor(lambda b, x, y, _: _one_minus(b, b.op("Mul", y, y))),
    "Softplus": _factor(lambda b, x, y, _: b.op("Sigmoid", x)),
    "Relu": _factor(lambda b, x, y, _: b.op(
        "Cast", b.op("Greater", x, 0.0), to=TensorProto.FLOAT)),
    "Clip": _factor(lambda b, x, y, _: b.op(
        "Cast", b.op("Equal", x, y), to=TensorProto.FLOAT)),
    "Elu": _factor(_elu),
}  # fmt: skip


# Two inputs, one of them repeated along some axes


@_rule("Add", "Sub", "Mul", "Div")
def _gradient_of_add(b, node, i, g):
    if node.op_type in ("Mul", "Div"):
        g = b.op(node.op_type, g, node.input[1 - i if node.op_type == "Mul" else 1])
    if i == 1 and node.op_type == "Div":
        g = b.op("Mul", g, node.output[0])
    if i == 1 and node.op_type in ("Sub", "Div"):
        g = b.op("Neg", g)
    return b.fit(g, node, i)


@_rule("Where")
def _gradient_of_where(b, node, i, g):
    chosen = (g, 0.0) if i == 1 else (0.0, g)
    return b.fit(b.op("Where", node.input[0], *chosen), node, i)


@_rule("MatMul")
def _gradient_of_mat_mul(b, node, i, g):
    if i or len(b.shapes[node.input[1]]) != 2:
        raise NotImplementedError(
            "no gradient of MatMul, unless over rows of the first."
        )
    return b.op("MatMul", g, b.op("Transpose", node.input[1], perm=[1, 0]))


# Convolutions are each other's transposed.


@_rule("Conv", "ConvTranspose")
def _gradient_of_conv(b, node, i, g):
    if i or _get(node, "auto_pad", b"NOTSET") != b"NOTSET":
        raise NotImplementedError(f"no gradient of {node.op_type} over its kernel.")
    kept = {
        a.name: helper.get_attribute_value(a)
        for a in node.attribute
        if a.name in ("dilations", "group", "kernel_shape", "pads", "strides")
    }
    if node.op_type == "ConvTranspose":
        return b.op("Conv", g, node.input[1], **kept)
    strides = kept.get("strides", [1])
    if max(strides) == 1:
        return b.op("ConvTranspose", g, node.input[1], **kept)
    # At the end there may be rows and columns that no window reached.
    before = kept.pop("pads", [0] * len(strides))[: len(strides)]
    g = b.op("ConvTranspose", g, node.input[1], **kept)
    axes = list(range(2, 2 + len(strides)))
    return b.pad(g, node.input[0], axes, b.constant([-n for n in before]))


# Shapes


@_rule("Pad")
def _gradient_of_pad(b, node, i, g):
    if _get(node, "mode", b"constant") != b"constant":
        raise NotImplementedError("no gradient of Pad, unless with constants.")
    axes = node.input[3:4] or [list(range(len(b.shapes[node.input[0]])))]
    return b.op("Pad", g, b.op("Neg", node.input[1]), 0.0, *axes)


@_rule("Slice")
def _gradient_of_slice(b, node, i, g):
    axes, steps = b.ints(node, 3), b.ints(node, 4, [1])
    if axes is None or set(steps) != {1}:
        raise NotImplementedError("no gradient of Slice with steps.")
    start, sizes = node.input[1], b.sizes(node.input[0], axes)
    start = b.op("Where", b.op("Less", start, 0), b.op("Add", start, sizes), start)
    return b.pad(g, node.input[0], axes, start)


@_rule("Gather")
def _gradient_of_gather(b, node, i, g):
    if i or b.shapes[node.input[1]]:
        raise NotImplementedError("no gradient of Gather, unless of one place.")
    axis, x = [_get(node, "axis", 0)], node.input[0]
    place = b.op("Unsqueeze", node.input[1], 0)
    place = b.op("Mod", place, b.sizes(x, axis))
    return b.pad(b.op("Unsqueeze", g, axis), x, axis, place)


@_rule("Split")
def _gradient_of_split(b, node, i, *slopes):
    slopes = [
        b.op("Mul", o, 0.0) if g is None else g for g, o in zip(slopes, node.output)
    ]
    return b.op("Concat", *slopes, axis=_get(node, "axis", 0))


@_rule("Concat")
def _gradient_of_concat(b, node, i, g):
    axis = _get(node, "axis")
    sizes = [b.sizes(n, [axis]) for n in node.input]
    start = reduce(partial(b.op, "Add"), sizes[:i], b.constant([0]))
    return b.op("Slice", g, start, b.op("Add", start, sizes[i]), [axis])


@_rule("Transpose")
def _gradient_of_transpose(b, node, i, g):
    perm = _get(node, "perm") or range(len(b.shapes[node.input[0]]))[::-1]
    return b.op("Transpose", g, perm=np.argsort(perm).tolist())


@_rule("Flatten", "Reshape", "Squeeze", "Unsqueeze")
def _gradient_of_flatten(b, node, i, g):
    return b.op("Reshape", g, b.sizes(node.input[0]))


# Reductions


def _kept(b, node, v, axes):
    """An output of a reduction with its axes, of length one."""
    return v if _get(node, "keepdims", 1) else b.op("Unsqueeze", v, axes)


@_rule("ReduceSum")
def _gradient_of_reduce_sum(b, node, i, g):
    axes = b.ints(node, 1) or list(range(len(b.shapes[node.input[0]])))
    return b.op("Expand", _kept(b, node, g, axes), b.sizes(node.input[0]))


@_rule("ReduceLogSumExp")
def _gradient_of_reduce_log_sum_exp(b, node, i, g):
    axes = b.ints(node, 1) or list(range(len(b.shapes[node.input[0]])))
    g, y = (_kept(b, node, v, axes) for v in (g, node.output[0]))
    return b.op("Mul", g, b.op("Exp", b.op("Sub", node.input[0], y)))


@_rule("LogSoftmax")
def _gradient_of_log_softmax(b, node, i, g):
    total = b.op("ReduceSum", g, [_get(node, "axis", -1)], keepdims=1)
    return b.op("Sub", g, b.op("Mul", b.op("Exp", node.output[0]), total))
