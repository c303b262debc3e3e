"""YAML files of people: plain values, not nested or repeated without end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sigpy_priors.io.files import FileError, read_text, reading

__all__ = ["read_yaml"]

_VALUES = 10_000
_DEPTH = 50


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file of plain values.

    Args:
        path (str or Path): the file.

    Returns:
        object: tables, lists, texts and numbers.

    Raises:
        FileError: if it is no YAML, larger than 1 MB, nested deeper than 50 levels, or
            has more than 10000 values once its aliases are written out.
    """
    text = read_text(path)
    with reading(path, "valid YAML", "mend the file"):
        try:
            node = yaml.compose(text, yaml.SafeLoader)
            _count(path, node)
        except RecursionError:
            raise _refused(path, f"nested deeper than {_DEPTH} levels") from None
        return yaml.safe_load(text)


def _refused(path: str | Path, what: str) -> FileError:
    return FileError(f"{path}: {what}, expected a short file of plain values.")


def _count(path: str | Path, root: yaml.Node | None) -> None:
    """Refuse what is too deep or, with its aliases written out, too large."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node | None, depth: int) -> int:
        if node is None or id(node) in sizes:
            return 1 if node is None else sizes[id(node)]
        if id(node) in open_nodes:
            raise _refused(path, "an alias of itself")
        if depth > _DEPTH:
            raise _refused(path, f"nested deeper than {_DEPTH} levels")
        open_nodes.add(id(node))
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            parts = node.value
        elif isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        total = 1
        for part in parts:
            total += size(part, depth + 1)
            if total > _VALUES:
                raise _refused(path, f"more than {_VALUES} values")
        open_nodes.remove(id(node))
        sizes[id(node)] = total
        return total

    size(root, 0)
