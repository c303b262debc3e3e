"""Architecture names and the networks behind them.

A package adds its own network with an entry point, in its ``pyproject.toml``::

    [project.entry-points."sigpy_priors.architectures"]
    mynet = "mypackage.models:MyNet"

The named object is called with the options that the prior's card states and
returns a torch module.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["GROUP", "architectures", "build_network"]

GROUP = "sigpy_priors.architectures"

_BUILTIN = {
    "unet": "sigpy_priors.models.unet:UNet",
    "icnn": "sigpy_priors.models.icnn:ICNN",
    "pixelcnn": "sigpy_priors.models.pixelcnn:PixelCNN",
}


def architectures() -> dict:
    """Names of all architectures that can be built here.

    Returns:
        dict: name to the "module:attribute" that builds it.
    """
    found = {e.name: e.value for e in entry_points(group=GROUP)}
    return {**found, **_BUILTIN}


def build_network(name: str, options: dict, source: str | None = None) -> nn.Module:
    """Build a network by its registered name.

    Args:
        name (str): architecture name.
        options (dict): keyword arguments of its builder.
        source (str or None): what to install if the name is unknown, as the
            prior's card states.

    Returns:
        torch.nn.Module: the network, not trained.

    Raises:
        ValueError: if the name is unknown or the options do not fit.
    """
    known = architectures()
    if name not in known:
        hint = f"install {source!r}" if source else "install the package with it"
        raise ValueError(
            f"unknown architecture {name!r}, known are {', '.join(sorted(known))}: "
            f"{hint}, which must declare an entry point in the group {GROUP!r}."
        )
    module, _, attribute = known[name].partition(":")
    try:
        builder = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as e:
        raise ValueError(
            f"architecture {name!r} is registered as {known[name]!r}, which cannot "
            f"be imported ({e}): reinstall the package that registers it."
        ) from e
    try:
        return builder(**options)
    except ValueError:
        raise
    except Exception as e:  # negative or huge sizes, texts in place of numbers
        why = " ".join(str(e).split())[:200]
        raise ValueError(f"architecture {name!r} rejects its options: {why}") from e
