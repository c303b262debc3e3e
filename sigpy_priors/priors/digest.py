"""What a prior is, in one short text: unfinished runs belong to one prior."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import sigpy as sp

if TYPE_CHECKING:
    from torch import nn

    from sigpy_priors.priors.base import Prior

__all__ = ["module_digest", "prior_digest"]

# Of a prior, also within another: what counts calls, and how the same is computed.
_NO_MATTER = ("evaluations", "accelerate", "compile")
# Of SigPy's operators: what they have made of themselves when it was first asked for.
_MADE = ("adj", "normal")
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_DEPTH = 8  # a product of lifts by products of operators has 7


def prior_digest(prior: Prior) -> str:
    """SHA-256 of what decides the values of a prior.

    Args:
        prior (Prior): with or without a card.

    Returns:
        str: of its class, its card, and the numbers, arrays, tensors and networks
        that it has as attributes, within lists and objects too. What it keeps under
        private names is left out if it is a dict or an object, such as a cache.
    """
    sha = hashlib.sha256()
    _update(sha, prior)
    return sha.hexdigest()


def module_digest(module: nn.Module) -> str:
    """SHA-256 of what decides the values of a torch module.

    Args:
        module (Module): on any device.

    Returns:
        str: of its structure, its plain attributes, weights and buffers.
    """
    sha = hashlib.sha256(repr(module).encode())
    for name, t in sorted(module.state_dict().items()):
        sha.update(name.encode())
        _update_array(sha, t)
    for name, part in module.named_modules():
        plain = {
            k: v
            for k, v in vars(part).items()
            if isinstance(v, (int, float, str, tuple))
        }
        what = (name, type(part).__qualname__, sorted(plain.items()))
        sha.update(repr(what).encode())
    return sha.hexdigest()


def _update(sha: Any, value: Any, depth: int = 0) -> None:
    kind = type(value)
    sha.update(f"{kind.__module__}.{kind.__qualname__};".encode())
    if isinstance(value, _PLAIN):
        sha.update(repr(value).encode())
    elif hasattr(value, "named_modules"):
        sha.update(module_digest(value).encode())
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        _update_array(sha, value)
    elif hasattr(value, "model_dump_json"):  # a card
        sha.update(value.model_dump_json().encode())
    elif depth < _DEPTH:
        for name, part in _parts(value):
            sha.update(name.encode())
            _update(sha, part, depth + 1)


def _parts(value: Any) -> list[tuple[str, Any]]:
    """What is in a container or an object, in an order that stays."""
    if isinstance(value, Mapping):
        return sorted((repr(k), v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return [(str(i), v) for i, v in enumerate(value)]
    without = _without(value)
    named = sorted(getattr(value, "__dict__", {}).items())
    return [
        (name, part)
        for name, part in named
        if name not in without and (not name.startswith("_") or _is_data(part))
    ]


def _without(value: Any) -> tuple[str, ...]:
    """Names of what does not decide the values of an object."""
    from sigpy_priors.priors.base import Prior

    if isinstance(value, Prior):
        return _NO_MATTER
    return _MADE if isinstance(value, sp.linop.Linop) else ()


def _is_data(value: Any) -> bool:
    return isinstance(value, _PLAIN) or hasattr(value, "dtype")


def _update_array(sha: Any, array: Any) -> None:
    if hasattr(array, "detach"):  # a tensor; as bytes: numpy knows no bfloat16
        import torch

        sha.update(f"{array.dtype}:{tuple(array.shape)};".encode())
        flat = array.detach().cpu().contiguous().reshape(-1)
        sha.update(flat.view(torch.uint8).numpy().tobytes())
        return
    array = np.ascontiguousarray(sp.to_device(array, sp.cpu_device))
    sha.update(f"{array.dtype}:{array.shape};".encode() + array.tobytes())
