"""BART as the second home of the priors: graphs, and calls that use them.

    bart_plugin.export(prior, "graph/brain", shape=(256, 232))
    x = bart_plugin.pics(y, mps, prior)

``python -m bart_plugin`` finds, tries and builds a BART.
"""

from importlib import import_module

# Public names and the modules they are in; none is also the name of a module of this
# package, whose import would put it in the place of the function.
_LAZY = {
    "Admm": "algorithms",
    "Fista": "algorithms",
    "annealed": "algorithms",
    "export": "exporters",
    "pics": "calls",
    "nlinv": "calls",
    "sample": "calls",
    "run": "toolbox.runner",
    "BartError": "toolbox.runner",
    "BartNotFound": "toolbox.program",
    "GraphError": "graph.protobuf",
    "UntranslatedOperator": "graph.graphdef",
}

__all__ = sorted(_LAZY)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return __all__
