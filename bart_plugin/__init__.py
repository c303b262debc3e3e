"""BART as the second home of the priors: graphs, and calls that use them.

    bart_plugin.exporters(prior, "graph/brain", shape=(256, 232))
    x = bart_plugin.pics(y, mps, prior)

``python -m bart_plugin`` finds, tries and builds a BART.
"""

from importlib import import_module

_LAZY = {
    "export": "export",
    "annealed": "export",
    "pics": "command",
    "nlinv": "command",
    "sample": "command",
    "run": "runner",
    "BartError": "runner",
    "BartNotFound": "toolbox",
    "GraphError": "protobuf",
    "UnsupportedOperator": "graphdef",
}

__all__ = sorted(_LAZY)


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__():
    return __all__
