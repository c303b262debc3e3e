"""Start a training run from the weights of another prior, to adapt it to own data."""

from __future__ import annotations

from torch import nn

from sigpy_priors.load import load_prior

__all__ = ["start_from"]


def start_from(net: nn.Module, name: str) -> None:
    """Copy a prior's weights into a network that is about to be trained.

    Args:
        net (Module): the network, changed in place.
        name (str): prior, a bundled name or a file.

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
