"""Exported graphs, kept so that the next call with the same prior has one."""

import hashlib
from pathlib import Path

from bart_plugin import toolbox
from bart_plugin.exporters import export

__all__ = ["cached_graph", "folder"]

KEPT = 20  # about 20 MB each for the bundled prior


def folder():
    """Where they are: ``graphs`` in the cache of :mod:`bart_plugin.toolbox`."""
    return toolbox.cache() / "graphs"


def _fingerprint(prior):
    """Digest of everything in a prior that ends up in a graph."""
    from sigpy_priors.priors.module import as_module
    from bart_plugin.graph.loss import loss_module
    from sigpy_priors.priors.density import NetworkDensity

    density = isinstance(prior, NetworkDensity)
    module = loss_module(prior) if density else as_module(prior)
    sha = hashlib.sha256(repr(module).encode())
    for name, t in sorted(module.state_dict().items()):
        sha.update(name.encode() + str(tuple(t.shape)).encode())
        sha.update(t.detach().cpu().contiguous().numpy().tobytes())
    plain = {
        k: v
        for m in module.modules()
        for k, v in vars(m).items()
        if isinstance(v, (int, float, str, tuple))
    }
    sha.update(repr(sorted(plain.items())).encode())
    return sha.hexdigest()


def cached_graph(prior, ending=".pb", **options):
    """Export a prior, or find the same export from before.

    Args:
        prior (Prior): what to export.
        ending (str): ".pb" or ".pt".
        options: of :func:`bart_plugin.exporters`.

    Returns:
        Path: the file.
    """
    code = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        code.update(file.read_bytes())
    key = repr((_fingerprint(prior), ending, sorted(options.items()), code.hexdigest()))
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    path = folder() / f"{name}{ending}"
    if path.exists():
        path.touch()  # used last
    else:
        export(prior, path, **options)
        _prune()
    return path


def _prune():
    """Forget the graphs that were not used for longest."""
    graphs = [p for p in folder().iterdir() if p.suffix in (".pb", ".pt")]
    graphs.sort(key=lambda p: p.stat().st_mtime)
    for old in graphs[:-KEPT]:
        for file in (old, old.with_name(f"{old.name}.json")):
            file.unlink(missing_ok=True)
