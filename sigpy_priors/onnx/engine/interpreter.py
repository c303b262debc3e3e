"""An ONNX graph as a torch module, computed node by node.

It serves where onnxruntime does not: derivatives, double precision, devices
without a provider, and traces into graphs for BART. Values are of two kinds:

- *tensors*, what depends on the inputs, and the weights;
- *host arrays* (numpy), what depends on shapes and small constants only, such
  as the target of a Reshape. A node whose inputs are all of this kind is
  evaluated by ONNX's own reference implementation, so that a trace sees plain
  numbers there, and no operator is written twice.

Every floating-point tensor has the precision of the module (``.float()``,
``.double()``), whatever the file says.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import nn

from sigpy_priors.onnx.engine import nodes_nn, nodes_shape  # noqa: F401  register theirs
from sigpy_priors.onnx.engine.nodes import OPS, UnsupportedOperator

__all__ = ["Interpreter", "Node"]

# Constants that shapes and sizes are computed from are no longer than this.
_HOST_SIZE = 8
_DOMAINS = ("", "ai.onnx")


class Node:
    """One node, decoded.

    Attributes:
        op (str): operator type.
        inputs, outputs (list of str): names of values; "" is an absent input.
        attrs (dict): attributes; strings decoded, tensors as arrays.
        opset (int): version of the operator set.
    """

    def __init__(self, proto: Any, opset: Any) -> None:
        import onnx

        self.op = proto.op_type
        self.domain = proto.domain
        self.name = proto.name
        self.inputs = list(proto.input)
        self.outputs = list(proto.output)
        self.opset = opset
        self.attrs = {}
        for a in proto.attribute:
            v = onnx.helper.get_attribute_value(a)
            if a.type == onnx.AttributeProto.TENSOR:
                v = onnx.numpy_helper.to_array(v)
            self.attrs[a.name] = v.decode() if isinstance(v, bytes) else v
        self._proto = proto
        self._reference = None

    def get(self, name: Any, default: Any = None) -> Any:
        """An attribute."""
        return self.attrs.get(name, default)

    def on_host(self, arrays: Any) -> Any:
        """Evaluate on numpy arrays by ONNX's reference implementation."""
        if self._reference is None:
            from onnx import helper
            from onnx.reference import ReferenceEvaluator

            names = [n for n in self.inputs if n]
            graph = helper.make_graph(
                [self._proto],
                "node",
                [helper.make_value_info(n, helper.make_tensor_type_proto(1, None))
                 for n in dict.fromkeys(names)],
                [helper.make_value_info(n, helper.make_tensor_type_proto(1, None))
                 for n in self.outputs if n],
            )  # fmt: skip
            model = helper.make_model(
                graph, opset_imports=[helper.make_opsetid("", self.opset)]
            )
            self._reference = ReferenceEvaluator(model)
        feeds = {n: a for n, a in zip(self.inputs, arrays) if n}
        return self._reference.run(None, feeds)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_reference": None}


def _constant(node):
    """Value of a Constant node."""
    for name, value in node.attrs.items():
        if name == "value":
            return value
        kind = np.float32 if "float" in name else np.int64
        return np.asarray(value, kind)


def _shape(value):
    """Sizes of an input, None for each that is free."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return [d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim]


class Interpreter(nn.Module):
    """An ONNX graph as a torch module.

    Args:
        model (onnx.ModelProto): with its external data loaded.

    Attributes:
        inputs, outputs (list of str): names of the graph's tensors.
        shapes (dict): of the inputs, lists with None where a size is free; None
            where not even the rank is stated.
        types (dict): numbers of ONNX for the types of the inputs.
        unknown (list of str): operators that have no translation.
        digest (str): SHA-256 of the file.
        shapes_are_numbers (bool): a trace holds for the traced shape alone.
    """

    shapes_are_numbers = True

    def __init__(self, model: Any) -> None:
        from onnx import inliner, numpy_helper

        super().__init__()
        if model.functions:
            model = inliner.inline_local_functions(model)
        self.digest = hashlib.sha256(model.SerializeToString()).hexdigest()
        opset = {o.domain: o.version for o in model.opset_import}
        opset = opset.get("", opset.get("ai.onnx", 1))
        graph = model.graph
        self.register_buffer("anchor", torch.zeros(()), persistent=False)
        self.host, self.weights = {}, {}
        for tensor in graph.initializer:
            self._keep(tensor.name, numpy_helper.to_array(tensor))
        self.nodes, unknown = [], set()
        for proto in graph.node:
            node = Node(proto, opset)
            if node.op == "Constant" and node.domain in _DOMAINS:
                self._keep(node.outputs[0], _constant(node))
                continue
            if node.domain not in _DOMAINS or node.op not in OPS:
                unknown.add(f"{node.domain}.{node.op}".lstrip("."))
            self.nodes.append(node)
        self.unknown = sorted(unknown)
        known = {**self.host, **self.weights}
        self.inputs = [v.name for v in graph.input if v.name not in known]
        self.outputs = [v.name for v in graph.output]
        self.types = {v.name: v.type.tensor_type.elem_type for v in graph.input}
        self.shapes = {v.name: _shape(v) for v in graph.input}
        # A value is dropped after its last use: images are large.
        self._last = {}
        for i, node in enumerate(self.nodes):
            self._last.update(dict.fromkeys(node.inputs, i))

    def _keep(self, name, array):
        floating = np.issubdtype(array.dtype, np.floating) or "float" in str(
            array.dtype
        )
        if floating and array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float32)
        if not floating or (array.size <= _HOST_SIZE and array.ndim <= 1):
            self.host[name] = array
            return
        attribute = f"w{len(self.weights)}"
        tensor = torch.from_numpy(np.ascontiguousarray(array).copy()).float()
        # Channels last, which priors ask for, is refused by tensors of rank five.
        flat = tensor.reshape(-1) if tensor.ndim > 4 else tensor
        self.register_buffer(attribute, flat)
        self.weights[name] = attribute, tuple(tensor.shape)

    def is_integer(self, name: Any) -> Any:
        """Tell an input of whole numbers."""
        import onnx

        return np.issubdtype(
            onnx.helper.tensor_dtype_to_np_dtype(self.types[name]), np.integer
        )

    def extra_repr(self) -> Any:
        return f"inputs={self.inputs}, outputs={self.outputs}, digest={self.digest}"

    def refuse_unknown(self) -> None:
        """Raise :class:`UnsupportedOperator` if an operator is not known."""
        if self.unknown:
            raise UnsupportedOperator(
                f"no translation of the ONNX operators {', '.join(self.unknown)} to "
                f"torch, which derivatives, double precision and BART graphs need. "
                f"Supported are: {', '.join(sorted(OPS))}."
            )

    def forward(self, *inputs: Any) -> Any:
        """Evaluate the graph.

        Args:
            inputs (torch.Tensor): in the order of ``self.inputs``.

        Returns:
            tuple of torch.Tensor: in the order of ``self.outputs``.

        Raises:
            UnsupportedOperator: naming operators that have no translation.
        """
        self.refuse_unknown()
        values = {**self.host, "": None}
        for name, (attribute, shape) in self.weights.items():
            weight = getattr(self, attribute)
            values[name] = weight.reshape(shape) if len(shape) > 4 else weight
        values |= dict(zip(self.inputs, map(self._own, inputs), strict=True))
        for i, node in enumerate(self.nodes):
            args = [values[name] for name in node.inputs]
            if all(
                isinstance(a, (np.ndarray, np.generic)) for a in args if a is not None
            ):
                out = self._on_host(node, args)
            else:
                node.like = self.anchor
                out = OPS[node.op](node, *args)
            out = out if isinstance(out, (tuple, list)) else (out,)
            values.update(zip(node.outputs, out))
            for name in node.inputs:
                if name and self._last[name] == i and name not in self.outputs:
                    values.pop(name, None)
        return tuple(self._tensor(values[name]) for name in self.outputs)

    def _own(self, x):
        return x.to(self.anchor.dtype) if x.is_floating_point() else x

    def _on_host(self, node, args):
        try:
            return node.on_host([None if a is None else np.asarray(a) for a in args])
        except Exception as e:
            raise UnsupportedOperator(
                f"{node.op} {node.name!r} of constants: {e}"
            ) from e

    def _tensor(self, v):
        if isinstance(v, torch.Tensor):
            return v
        anchor: Any = self.anchor
        return self._own(torch.as_tensor(np.asarray(v), device=anchor.device))
