"""A torch function as nodes of a TensorFlow graph.

``make_fx`` traces the function into ATen operators on fake tensors (shapes
only, so a trace costs seconds at any image size), and each operator is written
as a few TensorFlow nodes by its handler in :mod:`~bart_plugin.graph.aten`. What can
be computed from constants alone, such as the indices of a padding, is computed here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch._decomp import core_aten_decompositions
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.fx.node import map_aggregate, map_arg
from torch.nn.attention import SDPBackend, sdpa_kernel

from bart_plugin.graph import aten_nn, aten_resample, aten_shape  # with their handlers
from bart_plugin.graph.aten import OPS
from bart_plugin.graph.graphdef import Graph, UntranslatedOperator, Value

__all__ = ["translate", "trace"]

_FAMILIES = (aten_nn, aten_resample, aten_shape)
# Constants that are computed may have this many elements, or as many as the largest
# that they are computed from: an expanded one is better left to TensorFlow.
_FOLDED = 1 << 14


def trace(function: Callable, args: Sequence[torch.Tensor]) -> torch.fx.GraphModule:
    """Trace a torch function into ATen operators.

    Args:
        function (callable): takes and returns tensors.
        args (sequence of torch.Tensor): examples; only shapes and types count.

    Returns:
        torch.fx.GraphModule: operators that :func:`translate` knows, or that
        have no decomposition into such.

    Raises:
        UntranslatedOperator: if the function looks at values, for instance an
            ``if`` on a tensor.
    """
    table: Any = {
        k: v
        for k, v in core_aten_decompositions().items()
        if not isinstance(k, torch._ops.OpOverload)
        or k.overloadpacket.__name__ not in OPS
    }
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            # Functionalised, an in-place operator is its ordinary twin.
            module = make_fx(
                torch.func.functionalize(function),
                decomposition_table=table,
                tracing_mode="fake",
                _allow_non_fake_inputs=True,
            )(*args)
    except (DataDependentOutputException, GuardOnDataDependentSymNode) as e:
        raise UntranslatedOperator(
            f"the network looks at the values of a tensor ({str(e).splitlines()[0]}), "
            f"which a fixed graph cannot; replace .item(), if and float() by tensor "
            f"operations."
        ) from e
    module.graph.eliminate_dead_code()
    return module


def translate(graph: Graph, function: Callable, inputs: Sequence[Value]) -> Any:
    """Write a torch function into a graph.

    Args:
        graph (Graph): where the nodes go.
        function (callable): takes and returns one or several tensors.
        inputs (sequence of Value): what its arguments are in the graph.

    Returns:
        Value or list of Value: its results.

    Raises:
        UntranslatedOperator: naming the operators that have no translation
            and listing those that do.
    """
    kinds = [torch.from_numpy(np.zeros(0, v.dtype)).dtype for v in inputs]
    examples = [
        torch.zeros((), dtype=kind).expand(v.shape) for v, kind in zip(inputs, kinds)
    ]
    module = trace(function, examples)
    _refuse_unknown(module)

    values: dict[torch.fx.Node, Any] = {}
    arguments = iter(inputs)
    for node in module.graph.nodes:
        args, kwargs = map_arg((node.args, node.kwargs), lambda n: values[n])
        if node.op == "placeholder":
            values[node] = next(arguments)
        elif node.op == "get_attr":
            array = getattr(module, node.target).detach().cpu().numpy()
            values[node] = Value(array.shape, array.dtype, array=array)
        elif node.op == "output":
            return args[0]
        elif node.target is operator.getitem:
            values[node] = args[0][args[1]]
        else:
            values[node] = _call(graph, node, args, kwargs)


def _call(graph: Graph, node: torch.fx.Node, args: tuple, kwargs: dict) -> Any:
    """The result of one operator: a Value, or a list of them."""
    meta = node.meta["val"]
    if isinstance(meta, (tuple, list)):
        out = [None if m is None else _promised(m) for m in meta]
    else:
        out = _promised(meta)
        folded = _fold(graph, out, node.target, args, kwargs)
        if folded is not None:
            return folded
    handler = OPS[node.target.overloadpacket.__name__]  # pyright: ignore
    result = handler(graph, out, *args, **kwargs)
    if isinstance(result, str):
        assert isinstance(out, Value)
        return Value(out.shape, out.dtype, result)
    return result


def _promised(meta: torch.Tensor) -> Value:
    """What torch says of a result, without a name yet."""
    return Value(meta.shape, torch.empty(0, dtype=meta.dtype).numpy().dtype)


def _fold(
    graph: Graph, out: Value, target: Any, args: tuple, kwargs: dict
) -> Value | None:
    """The result as a constant, if it follows from constants alone."""
    sources: list[Value] = []
    _each_value((args, kwargs), lambda v: sources.append(v))
    if not sources or any(v.array is None for v in sources):
        return None
    most = max(_FOLDED, *(v.array.size for v in sources if v.array is not None))
    if math.prod(out.shape) > most or any(graph.is_batch(n) for n in out.shape):
        return None
    args, kwargs = _each_value((args, kwargs), lambda v: torch.tensor(v.array))
    array = target(*args, **kwargs).numpy()
    return Value(array.shape, array.dtype, array=array)


def _each_value(arguments: tuple, function: Callable[[Value], Any]) -> Any:
    """Arguments of an operator with something else in place of their Values."""
    return map_aggregate(
        arguments, lambda a: function(a) if isinstance(a, Value) else a
    )


def _refuse_unknown(module: torch.fx.GraphModule) -> None:
    unknown = sorted(
        {
            str(n.target)
            for n in module.graph.nodes
            if n.op == "call_function"
            and n.target is not operator.getitem
            and n.target.overloadpacket.__name__ not in OPS
        }
    )
    if unknown:
        raise UntranslatedOperator(
            f"no TensorFlow translation of {', '.join(unknown)}. Supported are: "
            f"{', '.join(sorted(OPS))}."
        )
