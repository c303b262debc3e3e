"""A TensorFlow GraphDef under construction, without TensorFlow.

What operators become stands in :mod:`~bart_plugin.graph.aten`, whole torch
functions in :mod:`~bart_plugin.graph.translate`; this file holds what they share.

Two rules keep that simple:

- *layout*: CPU TensorFlow convolves NHWC only, so every tensor of rank four
  is stored with its axes in the order (0, 2, 3, 1) and all others as torch has
  them. :meth:`Graph.logical` and :meth:`Graph.stored` go between the two.
- *batch*: a dynamic batch is traced with a large prime as its size; wherever a
  dimension is a multiple of that prime, it is the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from bart_plugin.graph import protobuf
from bart_plugin.graph.protobuf import Attribute, DType, Shape

__all__ = ["Graph", "Value", "UntranslatedOperator", "layout", "dtype_of", "BATCH"]

BATCH = 1009


class UntranslatedOperator(NotImplementedError):
    """The network uses an operator that has no TensorFlow translation here."""


def layout(rank: int) -> tuple[int, ...]:
    """Order in which the axes of a tensor are stored."""
    return (0, 2, 3, 1) if rank == 4 else tuple(range(rank))


class Value:
    """A tensor of the trace.

    Attributes:
        shape (tuple of int): as torch sees it.
        dtype (numpy.dtype): of its elements.
        name (str or None): TensorFlow tensor, stored in :func:`layout` order.
        array (array or None): what it holds if it is a constant, torch order.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: DTypeLike,
        name: str | None = None,
        array: np.ndarray | None = None,
    ) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.dtype = np.dtype(dtype)
        self.name = name
        self.array = array

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)


class Graph:
    """Nodes of a GraphDef under construction.

    Args:
        dynamic (bool): dimensions that are multiples of ``BATCH`` are only
            known at run time.
    """

    def __init__(self, dynamic: bool = False) -> None:
        self.dynamic = dynamic
        self._batch = ""
        self._nodes: list[bytes] = []
        self._names: set[str] = set()
        self._constants: dict[tuple, str] = {}

    def serialize(self) -> bytes:
        """The GraphDef as bytes."""
        return protobuf.graph(self._nodes)

    # Nodes

    def add(
        self,
        op: str,
        *inputs: str,
        dtype: DTypeLike | None = None,
        name: str | None = None,
        attrs: dict[str, Attribute] | None = None,
        **more: Attribute,
    ) -> str:
        """Add a node and return its name.

        Args:
            op (str): TensorFlow operator.
            *inputs (str): tensors, or "^node" for a control dependency.
            dtype (numpy dtype or None): sets the attribute T.
            name (str or None): name of the node, made up if not given.
            attrs (dict or None): further attributes.
            **more: further attributes.

        Returns:
            str: name of the node, which is that of its first output.
        """
        if name is None:
            name = f"{op}_{len(self._nodes)}"
        if name in self._names:
            raise ValueError(f"two nodes named {name!r}.")
        self._names.add(name)
        attrs = {**(attrs or {}), **more}
        if dtype is not None:
            attrs["T"] = dtype_of(dtype)
        self._nodes.append(protobuf.node(name, op, inputs, attrs))
        return name

    def placeholder(self, name: str, shape: Sequence[int]) -> str:
        """An input of real numbers; -1 is any size."""
        kind = dtype_of(np.float32)
        return self.add(
            "Placeholder", name=name, attrs={"dtype": kind, "shape": Shape(shape)}
        )

    def read_batch(self, name: str) -> None:
        """Take the size of the first axis of a tensor for the batch."""
        whole = dtype_of(np.int32)
        sizes = self.add("Shape", name, dtype=np.float32, out_type=whole)
        self._batch = self.gather(sizes, self.ints(0), 0, np.int32)

    def const(self, array: ArrayLike, name: str | None = None) -> str:
        """A constant; equal ones share a node unless it is named."""
        array = np.asarray(array)
        key = (array.dtype, array.shape, array.tobytes())
        if name is None and key in self._constants:
            return self._constants[key]
        kind = DType(protobuf.STRING) if array.dtype.kind == "S" else None
        kind = kind or dtype_of(array.dtype)
        made = self.add("Const", name=name, attrs={"dtype": kind, "value": array})
        return self._constants.setdefault(key, made)

    def ints(self, values: ArrayLike) -> str:
        """A constant of 32-bit integers, for shapes, axes and permutations."""
        return self.const(np.asarray(values, np.int32))

    def cast(self, name: str, source: DTypeLike, target: DTypeLike) -> str:
        """``name`` in another type."""
        source, target = np.dtype(source), np.dtype(target)
        if source == target:
            return name
        return self.add("Cast", name, SrcT=dtype_of(source), DstT=dtype_of(target))

    def gather(
        self,
        name: str,
        index: str,
        axis: int,
        dtype: DTypeLike,
        index_dtype: DTypeLike = np.int32,
    ) -> str:
        """Elements along one stored axis by their numbers."""
        return self.add(
            "GatherV2",
            name,
            index,
            self.ints(axis),
            Tparams=dtype_of(dtype),
            Tindices=dtype_of(index_dtype),
            Taxis=dtype_of(np.int32),
        )

    # Shapes

    def dims(self, shape: Sequence[int], infer: bool = False) -> str:
        """A shape as a tensor.

        Args:
            shape (sequence of int): may hold multiples of ``BATCH``.
            infer (bool): the user is Reshape, which finds one of them itself.

        Returns:
            str: name of a tensor of 32-bit integers.
        """
        open_axes = [i for i, n in enumerate(shape) if self.is_batch(n)]
        if not open_axes:
            return self.ints(shape)
        if infer and len(open_axes) == 1:
            return self.ints([-1 if self.is_batch(n) else n for n in shape])
        parts = []
        for n in shape:
            part = self.ints(n // BATCH if self.is_batch(n) else n)
            if self.is_batch(n):
                part = self.add("Mul", part, self._batch, dtype=np.int32)
            parts.append(part)
        return self.add("Pack", *parts, dtype=np.int32, N=len(parts), axis=0)

    def is_batch(self, n: int) -> bool:
        """Whether a dimension is only known at run time."""
        return self.dynamic and n > 0 and n % BATCH == 0

    def reshape(self, name: str, shape: Sequence[int], dtype: DTypeLike) -> str:
        """Reshape, the order of the elements kept."""
        dims = self.dims(shape, infer=True)
        return self.add("Reshape", name, dims, dtype=dtype, Tshape=dtype_of(np.int32))

    def transpose(self, name: str, perm: Sequence[int], dtype: DTypeLike) -> str:
        """Permute the stored axes."""
        if tuple(perm) == tuple(range(len(perm))):
            return name
        return self.add(
            "Transpose", name, self.ints(perm), dtype=dtype, Tperm=dtype_of(np.int32)
        )

    def _reorder(
        self, name: str, shape: Sequence[int], order: Sequence[int], dtype: DTypeLike
    ) -> str:
        # Moving axes of length one around is a reshape, which costs nothing.
        long_axes = [i for i in order if shape[i] != 1]
        if long_axes == sorted(long_axes):
            if tuple(order) == tuple(range(len(order))):
                return name
            return self.reshape(name, [shape[i] for i in order], dtype)
        return self.transpose(name, order, dtype)

    def logical(self, v: Value) -> str:
        """Name of ``v`` with its axes in torch's order."""
        if v.rank != 4:
            return self.use(v)
        n, c, h, w = v.shape
        return self._reorder(self.use(v), (n, h, w, c), (0, 3, 1, 2), v.dtype)

    def stored(self, name: str, shape: Sequence[int], dtype: DTypeLike) -> Value:
        """A tensor in torch's axis order as a Value."""
        if len(shape) == 4:
            name = self._reorder(name, shape, layout(4), dtype)
        return Value(shape, dtype, name)

    def axis(self, v: Value, axis: int) -> int:
        """Where ``axis`` of ``v`` is stored."""
        return layout(v.rank).index(axis % max(v.rank, 1))

    # Operands

    def use(self, v: Value) -> str:
        """Name of the tensor of ``v``; constants are written on first use."""
        if v.name is None:
            assert v.array is not None
            v.name = self.const(np.transpose(v.array, layout(v.rank)))
        return v.name

    def operand(self, v: Value | float, dtype: DTypeLike, rank: int) -> str:
        """A Value or Python number, ready to broadcast with rank ``rank``."""
        if not isinstance(v, Value):
            return self.const(np.asarray(v, dtype))
        if v.rank in (0, rank):
            name = self.use(v)
        else:
            shape = (1,) * (rank - v.rank) + v.shape
            name = self.logical(v)
            if rank == 4 or v.rank == 4:
                name = self.reshape(name, shape, v.dtype)
            name = self.use(self.stored(name, shape, v.dtype))
        return self.cast(name, v.dtype, dtype)


def dtype_of(dtype: DTypeLike) -> DType:
    """TensorFlow's number for a numpy type."""
    dtype = np.dtype(dtype)
    if dtype not in protobuf.DTYPES:
        raise UntranslatedOperator(f"no TensorFlow graph holds {dtype} here.")
    return DType(protobuf.DTYPES[dtype])
