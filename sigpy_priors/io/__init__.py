"""Files: k-space and maps, images, BART's arrays, ISMRMRD; written whole or not.

Names below are loaded when they are first used: each format needs a library of
its own.
"""

from importlib import import_module
from typing import Any

_NAMES = {
    "open_kspace": "slices",
    "open_maps": "slices",
    "read_array": "slices",
    "read_coord": "slices",
    "read_cfl": "cfl",
    "write_cfl": "cfl",
    "read_ismrmrd": "ismrmrd",
    "read_slices": "images",
    "write_image": "output",
}

__all__ = [*_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
