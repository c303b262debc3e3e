"""What an ONNX file may ask for: a valid graph, and no more memory than is sensible."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sigpy_priors.io.files import check_memory
from sigpy_priors.priors.file import LARGEST

if TYPE_CHECKING:
    import onnx

__all__ = ["check_graph", "check_weights"]

# Numbers that a node may make of constants alone, beyond what is in the file: masks
# and coordinates of a grid are smaller.
_MADE = 1 << 24
# Operators of a runtime's own, and tensors whose rank is not stated, are no mistakes.
_LEFT_TO_THE_RUNTIME = ("No opset import", "No Op registered", "Field 'shape'")


def check_graph(model: onnx.ModelProto) -> None:
    """Refuse a graph that is not valid, or that makes huge constants of small ones.

    Args:
        model (onnx.ModelProto): with its external data loaded.

    Raises:
        ValueError: naming what is wrong.
    """
    import onnx

    if not model.graph.output:
        raise ValueError("the graph has no output")
    if any(o.version < 1 for o in model.opset_import if o.domain in ("", "ai.onnx")):
        raise ValueError("the version of its operators is not positive")
    _check_order(model.graph)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as e:
        why = " ".join(str(e).split())[:300]
        if not any(words in why for words in _LEFT_TO_THE_RUNTIME):
            raise ValueError(f"the graph is not valid: {why}") from e
    for tensor in model.graph.initializer:
        onnx.numpy_helper.to_array(
            tensor
        )  # a type that is known, as many bytes as said
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type.elem_type
        if kind not in onnx.TensorProto.DataType.values() or kind == 0:
            raise ValueError(f"{value.name!r} has the unknown type {kind}")
    _check_constants(model.graph)


def _check_order(graph: onnx.GraphProto, around: frozenset[str] = frozenset()) -> None:
    """Every value is made once, and before it is used."""
    made = {"", *around, *(v.name for v in graph.input)}
    made |= {t.name for t in graph.initializer}
    made |= {t.values.name for t in graph.sparse_initializer}
    for node in graph.node:
        if missing := [n for n in node.input if n not in made]:
            raise ValueError(
                f"node {node.name or node.op_type!r} uses {missing[0]!r}, which nothing "
                f"before it makes"
            )
        for a in node.attribute:
            for sub in (a.g, *a.graphs) if a.type in (5, 10) else ():
                _check_order(sub, frozenset(made))
        made.update(node.output)
    if missing := [v.name for v in graph.output if v.name not in made]:
        raise ValueError(f"nothing makes the output {missing[0]!r}")


def _check_constants(graph: onnx.GraphProto) -> None:
    """Sizes that are constants, of what is made before any image is seen."""
    import onnx

    known = {}
    for tensor in graph.initializer:
        if math.prod(tensor.dims) <= 16:
            known[tensor.name] = onnx.numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant":
            for a in node.attribute:
                if a.name == "value" and math.prod(a.t.dims) <= 16:
                    known[node.output[0]] = onnx.numpy_helper.to_array(a.t)
                elif a.name == "value_ints":
                    known[node.output[0]] = np.asarray(a.ints)
                elif a.name == "value_int":
                    known[node.output[0]] = np.asarray(a.i)
        elif made := _made(node, known):
            if made > _MADE:
                raise ValueError(
                    f"node {node.name or node.op_type!r} makes {made:.3g} numbers of "
                    f"nothing, expected at most {_MADE}"
                )
        for a in node.attribute:
            for sub in (a.g, *a.graphs) if a.type in (5, 10) else ():
                _check_constants(sub)


def _made(node: onnx.NodeProto, known: dict[str, np.ndarray]) -> float:
    """How many numbers a node makes, where its sizes are constants."""
    names = {"ConstantOfShape": [0], "Expand": [1], "Tile": [1], "Range": [0, 1, 2]}
    at = names.get(node.op_type)
    if at is None or any(
        i >= len(node.input) or node.input[i] not in known for i in at
    ):
        return 0
    values = [known[node.input[i]].astype(float) for i in at]
    if node.op_type == "Range":
        start, stop, step = (float(v.reshape(-1)[0]) for v in values)
        return abs((stop - start) / step) if step else math.inf
    return float(np.prod(np.abs(values[0])))


def check_weights(model: onnx.ModelProto, path: object) -> None:
    """Refuse weights that nothing can be computed with.

    Args:
        model (onnx.ModelProto): with its external data loaded.
        path (str or Path): named in the error.

    Raises:
        ValueError: naming the weight.
    """
    import onnx

    for tensor in model.graph.initializer:
        a = onnx.numpy_helper.to_array(tensor)
        if a.dtype.kind == "f" and not (np.abs(a) < LARGEST).all():
            raise ValueError(
                f"{path}: weight {tensor.name!r} is NaN, infinite or beyond "
                f"{LARGEST:g}; train or convert the network again."
            )
    check_memory(str(path), 3 * model.ByteSize(), "the network")
