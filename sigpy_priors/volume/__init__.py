"""Many slices: one after the other or over a cluster, resumable.

Names below are loaded when they are first used: a worker of a cluster imports
this package with its first slice, and only what that slice needs.
"""

from importlib import import_module
from typing import Any

_NAMES = {
    "Finished": "run",
    "Job": "run",
    "augment": "augmentation",
    "connect": "cluster",
    "recon": "tasks",
    "sample": "tasks",
}

__all__ = [*_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
