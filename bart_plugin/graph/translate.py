"""A torch function as nodes of a TensorFlow graph.

``make_fx`` traces the function into ATen operators on fake tensors (shapes
only, so a trace costs seconds at any image size), and each operator is written
as a few TensorFlow nodes by its handler in :mod:`ops`, :mod:`ops_shape` or
:mod:`ops_nn`.
"""

import operator

import numpy as np

from bart_plugin.graph import aten_nn as ops_nn  # noqa: F401  register their handlers
from bart_plugin.graph import aten_shape as ops_shape  # noqa: F401  register their handlers
from bart_plugin.graph.graphdef import UnsupportedOperator, Value
from bart_plugin.graph.aten import OPS

__all__ = ["translate", "trace"]


def trace(function, args):
    """Trace a torch function into ATen operators.

    Args:
        function (callable): takes and returns tensors.
        args (sequence of torch.Tensor): examples; only shapes and types count.

    Returns:
        torch.fx.GraphModule: operators that :func:`translate` knows, or that
        have no decomposition into such.

    Raises:
        UnsupportedOperator: if the function looks at values, for instance an
            ``if`` on a tensor.
    """
    import torch
    from torch._decomp import core_aten_decompositions
    from torch._subclasses.fake_tensor import DataDependentOutputException
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
    from torch.nn.attention import SDPBackend, sdpa_kernel

    table = {
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
        raise UnsupportedOperator(
            f"the network looks at the values of a tensor ({str(e).splitlines()[0]}), "
            f"which a fixed graph cannot; replace .item(), if and float() by tensor "
            f"operations."
        ) from e
    module.graph.eliminate_dead_code()
    return module


def translate(graph, function, inputs):
    """Write a torch function into a graph.

    Args:
        graph (Graph): where the nodes go.
        function (callable): takes and returns one or several tensors.
        inputs (sequence of Value): what its arguments are in the graph.

    Returns:
        Value or list of Value: its results.

    Raises:
        UnsupportedOperator: naming the operators that have no translation
            and listing those that do.
    """
    import torch

    def of_torch(dtype):
        return torch.empty(0, dtype=dtype).numpy().dtype

    examples = [
        torch.zeros((), dtype=torch.from_numpy(np.zeros(0, v.dtype)).dtype).expand(
            v.shape
        )
        for v in inputs
    ]
    module = trace(function, examples)
    _refuse_unknown(module)

    values = {}
    arguments = iter(inputs)
    for node in module.graph.nodes:

        def load(arg):
            return torch.fx.node.map_arg(arg, lambda n: values[n])

        if node.op == "placeholder":
            values[node] = next(arguments)
        elif node.op == "get_attr":
            tensor = getattr(module, node.target).detach().cpu()
            array = tensor.numpy()
            values[node] = Value(array.shape, array.dtype, array=array)
        elif node.op == "output":
            return load(node.args[0])
        elif node.target is operator.getitem:
            values[node] = load(node.args[0])[node.args[1]]
        else:
            meta = node.meta["val"]
            if isinstance(meta, (tuple, list)):
                out = [
                    None if m is None else Value(m.shape, of_torch(m.dtype))
                    for m in meta
                ]
            else:
                out = Value(meta.shape, of_torch(meta.dtype))
            handler = OPS[node.target.overloadpacket.__name__]
            result = handler(graph, out, *load(node.args), **load(node.kwargs))
            if isinstance(result, str):
                result = Value(out.shape, out.dtype, result)
            values[node] = result


def _refuse_unknown(module):
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
        raise UnsupportedOperator(
            f"no TensorFlow translation of {', '.join(unknown)}. Supported are: "
            f"{', '.join(sorted(OPS))}."
        )
