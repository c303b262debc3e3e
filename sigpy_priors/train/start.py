"""Start a training run from another prior: its weights, and what its card passes on."""

from __future__ import annotations

from typing import Any

from torch import nn

from sigpy_priors.load import load_prior
from sigpy_priors.priors.card import PriorCard

__all__ = ["inherited", "start_from"]


def inherited(parent: PriorCard) -> dict[str, Any]:
    """What a prior has from the one that it was made from.

    The strength is that of the network's errors as a denoiser, which a few steps
    change little; data and licence bind whoever trains on.

    Args:
        parent (PriorCard): of the prior at the start.

    Returns:
        dict: fields of a :class:`sigpy_priors.priors.card.PriorCard`.
    """
    return {
        "parent": f"{parent.name}, weights {parent.weights_sha256}",
        "strength": parent.strength,
        "data": list(parent.data),
        "license": parent.license,
    }


def start_from(net: nn.Module, name: str) -> PriorCard:
    """Copy a prior's weights into a network that is about to be trained.

    Args:
        net (Module): the network, changed in place.
        name (str): prior, a bundled name or a file.

    Returns:
        PriorCard: that of the prior.

    Raises:
        ValueError: if the prior has no torch network, or another one.
    """
    prior = load_prior(name, runtime="torch")
    model = getattr(prior, "model", None)
    if model is None:
        raise ValueError(f"init: {name} has no network of torch: {prior!r}.")
    try:
        net.load_state_dict(model.state_dict())
    except RuntimeError as e:
        raise ValueError(
            f"init: {name} is another network than this config's: set model.architecture "
            f"and model.options to those of its card (sigpy-priors info {name}): {e}"
        ) from e
    card: Any = prior.card
    return card
