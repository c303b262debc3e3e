"""Torch networks and the preconditionings that make them denoisers."""

from sigpy_priors.models.precond import PRECONDS
from sigpy_priors.registry import build_network

__all__ = ["build_model"]


def build_model(spec, source=None):
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
    if spec["precond"] not in PRECONDS:
        raise ValueError(
            f"unknown preconditioning {spec['precond']!r}, expected one of "
            f"{', '.join(PRECONDS)}."
        )
    try:
        return PRECONDS[spec["precond"]](net, **spec["precond_options"])
    except TypeError as e:
        raise ValueError(
            f"preconditioning {spec['precond']!r} rejects its options: {e}"
        ) from e
