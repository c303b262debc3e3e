"""Torch networks and the preconditionings that make them denoisers."""

from collections.abc import Mapping
from typing import Any

from sigpy_priors.models.precond import PRECONDS
from sigpy_priors.models.registry import build_network

__all__ = ["build_model", "build_precond"]


def build_model(spec: Mapping, source: str | None = None) -> Any:
    """Network and preconditioning from a specification.

    Args:
        spec (mapping): ``architecture``, ``options``, ``precond``,
            ``precond_options``, as in a card or a training config; without a
            preconditioning the network itself is meant.
        source (str or None): package with the architecture, for the message.

    Returns:
        Precond or Module: denoiser of channels (B, C, H, W), per-channel
        sigma (B,), or the log-probability of pixels.

    Raises:
        ValueError: for unknown names or options that do not fit.
    """
    net = build_network(spec["architecture"], spec["options"], source)
    if spec["precond"] is None:
        return net
    return build_precond(net, spec["precond"], spec["precond_options"])


def build_precond(net: Any, name: str, options: Mapping) -> Any:
    """Preconditioning of a network, by name.

    Args:
        net (Module): the network.
        name (str): one of :data:`sigpy_priors.models.precond.PRECONDS`.
        options (mapping): its options.

    Returns:
        Precond: denoiser.

    Raises:
        ValueError: for an unknown name or options that do not fit.
    """
    if name not in PRECONDS:
        raise ValueError(
            f"unknown preconditioning {name!r}, expected one of {', '.join(PRECONDS)}."
        )
    try:
        return PRECONDS[name](net, **options)
    except ValueError:
        raise
    except Exception as e:
        raise ValueError(f"preconditioning {name!r} rejects its options: {e}") from e
