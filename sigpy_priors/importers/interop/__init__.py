"""Priors in other packages, and what they have in SigPy: one file for each.

- :mod:`~sigpy_priors.importers.interop.deepinv`: denoisers and priors, both ways;
- :mod:`~sigpy_priors.importers.interop.mrpro`: a proximable functional;
- :mod:`~sigpy_priors.importers.interop.bartorch`: a prior for BART's solvers in torch;
- :mod:`~sigpy_priors.importers.interop.mrinufft`: its operators as SigPy's;
- :mod:`~sigpy_priors.importers.interop.pytorch`: beside :mod:`sigpy.pytorch`.

Each is loaded, and asks for its package, when it is first used.
"""

from importlib import import_module
from typing import Any

__all__ = ["bartorch", "deepinv", "mrinufft", "mrpro", "pytorch"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
