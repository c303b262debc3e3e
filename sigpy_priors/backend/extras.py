"""Optional packages: imported when they are needed, their extra named if missing."""

from importlib import import_module
from types import ModuleType

__all__ = ["require"]


def require(*names: str, extra: str) -> list[ModuleType]:
    """Import optional packages, or say which extra of ours brings them.

    Args:
        names (str): modules, such as "onnx" or "dask.config".
        extra (str): the extra in ``pyproject.toml`` that installs them.

    Returns:
        list of module: one for each name.

    Raises:
        ImportError: naming the extra; its ``name`` is the module that is missing.
    """
    try:
        return [import_module(name) for name in names]
    except ImportError as e:
        raise ImportError(
            f"{' and '.join(names)} cannot be imported ({e}): "
            f"pip install 'sigpy-priors[{extra}]'.",
            name=e.name,
        ) from e
