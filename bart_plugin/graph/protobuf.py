"""TensorFlow's GraphDef on the wire, written and read without TensorFlow.

Protocol buffers are a small format: a message is a row of (tag, value) where
the tag holds a field number and says whether a varint, four bytes or a length
follows. Only the messages that a frozen graph consists of are here. Field
numbers: tensorflow/core/framework/{graph,node_def,attr_value,tensor}.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

__all__ = [
    "Attribute",
    "DType",
    "DTYPES",
    "GraphError",
    "STRING",
    "Shape",
    "graph",
    "node",
    "read_graph",
]

STRING = 7
DTYPES = {
    np.dtype(np.float32): 1,
    np.dtype(np.float64): 2,
    np.dtype(np.int32): 3,
    np.dtype(np.complex64): 8,
    np.dtype(np.int64): 9,
    np.dtype(np.bool_): 10,
}
# Any producer from the TensorFlow 2 series on; older ones are refused by
# operators such as Conv2D with its present attributes.
_PRODUCER = 440
# Bytes of a varint at most: those of 64 bits.
_LONGEST = 10


class GraphError(ValueError):
    """A file is not a graph that BART can use."""


def _varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _field(number: int, value: int | float | str | bytes) -> bytes:
    """One field: int and bool as varint, float as four bytes, else bytes."""
    if isinstance(value, (bool, int, np.integer)):
        return _varint(number << 3) + _varint(int(value))
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, str):
        value = value.encode()
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _shape(dims: Iterable[int]) -> bytes:
    return b"".join(_field(2, _field(1, int(d))) for d in dims)


class DType(int):
    """A number of the DataType enumeration, told from an integer attribute."""


class Shape(tuple):
    """A shape attribute, told from a list of integers; -1 is unknown."""


Attribute: TypeAlias = bool | int | float | str | Sequence[int] | np.ndarray
"""Of a node; :class:`DType` and :class:`Shape` are told from numbers by their class."""


def _tensor(array: np.ndarray) -> bytes:
    array = np.asarray(array)
    if array.dtype.kind == "S":
        return _field(1, STRING) + _field(2, _shape(())) + _field(8, array.item())
    little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    return (
        _field(1, DTYPES[array.dtype])
        + _field(2, _shape(array.shape))
        + _field(4, little.tobytes())
    )


def _attr(value: Attribute) -> bytes:
    if isinstance(value, np.ndarray):
        return _field(8, _tensor(value))
    if isinstance(value, Shape):
        return _field(7, _shape(value))
    if isinstance(value, DType):
        return _field(6, int(value))
    if isinstance(value, bool):
        return _field(5, value)
    if isinstance(value, int):
        return _field(3, value)
    if isinstance(value, float):
        return _field(4, value)
    if isinstance(value, str):
        return _field(2, value)
    # A list of integers, packed.
    return _field(1, _field(3, b"".join(_varint(v) for v in value)))


def node(
    name: str,
    op: str,
    inputs: Sequence[str] = (),
    attrs: dict[str, Attribute] | None = None,
) -> bytes:
    """Serialise a NodeDef.

    Args:
        name (str): name of the node.
        op (str): TensorFlow operator.
        inputs (sequence of str): "node", "node:output" or "^control".
        attrs (dict): attribute name to bool, int, float, str, list of int,
            :class:`DType`, :class:`Shape` or numpy array (a tensor).

    Returns:
        bytes: one field of a GraphDef.
    """
    body = _field(1, name) + _field(2, op)
    body += b"".join(_field(3, i) for i in inputs)
    for key, value in (attrs or {}).items():
        body += _field(5, _field(1, key) + _field(2, _attr(value)))
    return _field(1, body)


def graph(nodes: Iterable[bytes]) -> bytes:
    """Serialise a GraphDef from what :func:`node` returned."""
    return b"".join(nodes) + _field(4, _field(1, _PRODUCER))


def _read(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value) of a message; raise IndexError if cut short."""

    def varint(pos: int) -> tuple[int, int]:
        value = 0
        for k in range(_LONGEST):
            byte = data[pos + k]
            value |= (byte & 0x7F) << 7 * k
            if byte < 0x80:
                return value, pos + k + 1
        raise IndexError("a number of more than 64 bits")

    pos = 0
    while pos < len(data):
        tag, pos = varint(pos)
        kind = tag & 7
        if kind == 0:
            value, pos = varint(pos)
        else:
            if kind == 2:
                size, pos = varint(pos)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise IndexError(f"wire type {kind}")
            if pos + size > len(data):
                raise IndexError("cut short")
            value, pos = data[pos : pos + size], pos + size
        yield tag >> 3, value


def _read_parts(data: memoryview) -> dict[int, memoryview]:
    """The fields of a message that have a length, the last of each number."""
    return {n: v for n, v in _read(data) if isinstance(v, memoryview)}


def _read_shape(attr: memoryview) -> tuple[int, ...]:
    """Dimensions from the TensorShapeProto of a shape or tensor attribute."""
    parts = _read_parts(attr)
    shape = parts.get(7, memoryview(b""))
    if 8 in parts:
        shape = _read_parts(parts[8]).get(2, memoryview(b""))
    sizes = []
    for number, dim in _read(shape):
        if number == 2 and isinstance(dim, memoryview):
            sizes.append(dict(_read(dim)).get(1, 0))
    # Negative numbers are written as large ones.
    return tuple(int(n) - (1 << 64) if int(n) >> 63 else int(n) for n in sizes)


def _read_node(body: memoryview) -> tuple[str, str, tuple[int, ...] | None]:
    """Name, operator and stated shape of a NodeDef."""
    parts = _read_parts(body)
    name, op = (bytes(parts[n]).decode() for n in (1, 2))
    shape = None
    for number, value in _read(body):
        if number == 5 and isinstance(value, memoryview):
            entry = _read_parts(value)
            if bytes(entry[1]) in (b"shape", b"value"):
                shape = _read_shape(entry[2])
    return name, op, shape


def read_graph(path: str | Path) -> dict[str, tuple[str, tuple[int, ...] | None]]:
    """Read names, operators and stated shapes of a frozen graph.

    Args:
        path (str or Path): a ``.pb`` file.

    Returns:
        dict: node name to (operator, shape or None); placeholders and
        constants have a shape.

    Raises:
        GraphError: if the file is missing, cut short or no GraphDef.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise GraphError(f"{path}: no file.")  # a pipe would be waited for
    try:
        data = memoryview(path.read_bytes())
    except OSError as e:
        raise GraphError(f"{path}: cannot be read: {e.strerror}.") from e
    nodes = {}
    versions = False
    try:
        for number, body in _read(data):
            versions |= number == 4
            if number == 1 and isinstance(body, memoryview):
                name, op, shape = _read_node(body)
                nodes[name] = (op, shape)
    except (IndexError, KeyError, UnicodeDecodeError, TypeError) as e:
        raise GraphError(
            f"{path}: not a complete TensorFlow graph ({e}): the file was cut "
            f"short or is something else. Export it again."
        ) from None
    # The version field is written last, so its absence is a cut at a node.
    if not nodes or not versions:
        raise GraphError(
            f"{path}: not a complete TensorFlow graph ({len(nodes)} nodes, no end "
            f"mark): the file was cut short. Export it again."
        )
    return nodes
