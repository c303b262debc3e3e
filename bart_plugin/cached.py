"""Exported graphs, kept so that the next call with the same prior has one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bart_plugin.exporters import GraphSpec, write_graph
from sigpy_priors.io.cache import cache
from sigpy_priors.priors.base import Prior
from sigpy_priors.priors.digest import module_digest

__all__ = ["cached_graph", "folder"]

# To be raised when the same prior and settings make another file than before.
FORMAT = 2

KEPT = 20  # about 20 MB each for the bundled prior


def folder() -> Path:
    """Where they are: ``graphs`` in the cache (:mod:`sigpy_priors.io.cache`)."""
    return cache() / "graphs"


def cached_graph(prior: Prior, spec: GraphSpec, ending: str = ".pb") -> Path:
    """Export a prior, or find the same export from before.

    Args:
        prior (Prior): what to export.
        spec (GraphSpec): as what.
        ending (str): ".pb", or for ``sample`` ".pt".

    Returns:
        Path: the file.
    """
    module = prior.module()
    key = repr((FORMAT, module_digest(module), ending, spec))
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    path = folder() / f"{name}{ending}"
    if path.exists():
        path.touch()  # used last
    else:
        write_graph(prior, module, path, spec)
        _prune()
    return path


def _prune() -> None:
    """Forget the graphs that were not used for longest."""
    graphs = [p for p in folder().iterdir() if p.suffix in (".pb", ".pt")]
    graphs.sort(key=lambda p: p.stat().st_mtime)
    for old in graphs[:-KEPT]:
        for file in (old, old.with_name(f"{old.name}.json")):
            file.unlink(missing_ok=True)
