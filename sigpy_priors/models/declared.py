"""Build a network that a file declares, no larger than the weights in that file.

A card says how a network is built, in numbers that nothing limits. It is therefore
built without memory first, on torch's device "meta", no more than as many weights as
the file has are let through, and shapes are compared; only then is memory taken.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import nn
from torch.nn.modules import module as hooks

__all__ = ["build_declared"]

# Containers and activations hold no weights: modules allowed for each tensor.
_MODULES = 20
_SPARE = 1000


def build_declared(
    build: Callable[[], nn.Module], tensors: Mapping[str, torch.Tensor]
) -> nn.Module:
    """Build a network and load weights, once both are known to fit.

    Args:
        build (callable): builds the network.
        tensors (mapping): name to weight.

    Returns:
        Module: the network with these weights.

    Raises:
        ValueError: if it cannot be built, or has other weights.
    """
    with _at_most(len(tensors)), torch.device("meta"):
        blank = _call(build)
    stated = {k: tuple(t.shape) for k, t in blank.state_dict().items()}
    stored = {k: tuple(t.shape) for k, t in tensors.items()}
    names = sorted(stated.keys() | stored.keys())
    wrong = [n for n in names if stated.get(n) != stored.get(n)]
    if wrong:
        n = wrong[0]
        raise ValueError(
            f"the card describes another network than the weights: {n!r} is "
            f"{stated.get(n, 'missing')} by the card, {stored.get(n, 'missing')} in the "
            f"file, and so are {len(wrong) - 1} more"
        )
    with _at_most(len(tensors)):
        model = _call(build)
    model.load_state_dict(tensors)
    return model


def _call(build: Callable[[], nn.Module]) -> nn.Module:
    try:
        return build()
    except ValueError:
        raise
    except Exception as e:  # whatever its builder makes of impossible numbers
        why = " ".join(str(e).split())[:200]
        raise ValueError(f"the card's network cannot be built: {why}") from e


@contextlib.contextmanager
def _at_most(tensors: int) -> Iterator[None]:
    """Stop a network from being built of more parts than there are weights."""
    thread, weights, modules = threading.get_ident(), 0, 0

    def refuse(what: str) -> None:
        raise ValueError(
            f"the card describes another network than the weights: more {what} than "
            f"the {tensors} tensors in the file allow"
        )

    def weight(module: nn.Module, name: str, value: nn.Parameter) -> None:
        nonlocal weights
        if threading.get_ident() == thread and value is not None:
            weights += 1
            # A parameter may be put in place of another: twice as many are let be.
            if weights > 2 * tensors + _SPARE:
                refuse("weights")

    def part(module: nn.Module, name: str, value: nn.Module) -> None:
        nonlocal modules
        if threading.get_ident() == thread:
            modules += 1
            if modules > _MODULES * tensors + _SPARE:
                refuse("parts")

    handles = [
        hooks.register_module_parameter_registration_hook(weight),
        hooks.register_module_module_registration_hook(part),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
