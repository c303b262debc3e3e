"""Optional packages: imported when they are needed, their extra named if missing."""

from importlib import import_module
from types import ModuleType

__all__ = ["how_to_install", "require"]


def how_to_install(extra: str) -> str:
    """The command that installs an extra; the project is in no package index.

    Args:
        extra (str): the extra in ``pyproject.toml``.

    Returns:
        str: for a message.
    """
    return f"pip install -c constraints.txt '.[{extra}]' in the clone of sigpy-priors"


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
            f"{' and '.join(names)} cannot be imported ({e}): {how_to_install(extra)}.",
            name=e.name,
        ) from e
