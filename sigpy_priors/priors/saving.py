"""A network prior to one safetensors file, its card inside."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigpy_priors.backend.validate import check_choice, check_path
from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.priors.card import CARD, CARD_DIGEST, FORMAT, PriorCard, card_digest

if TYPE_CHECKING:
    from torch import nn

__all__ = ["save_prior", "weights_digest"]


def weights_digest(tensors: Mapping[str, Any]) -> str:
    """SHA-256 over names, types, shapes and bytes, whatever their order.

    Args:
        tensors (dict): name to tensor.

    Returns:
        str: hexadecimal.
    """
    import torch

    sha = hashlib.sha256()
    for name in sorted(tensors):
        t = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name}:{t.dtype}:{tuple(t.shape)};".encode())
        # As bytes: numpy knows no bfloat16.
        sha.update(t.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def save_prior(
    path: str | Path, model: nn.Module, card: PriorCard, dtype: str = "float32"
) -> PriorCard:
    """Write a network prior to one file.

    Args:
        path (str or Path): file to write; replaced atomically.
        model (Module): the network that ``card`` describes.
        card (PriorCard): its digest of the weights is filled in.
        dtype (str): "float32" or "float16" storage; it is computed in the
            precision of the image either way.

    Returns:
        PriorCard: the card as written.

    Raises:
        ValueError: if a weight is not finite, in this precision.
    """
    import torch
    from safetensors.torch import save_file

    path = check_path("path", path)
    if not isinstance(model, torch.nn.Module):
        raise ValueError(
            f"model: expected a torch.nn.Module, got {type(model).__name__}."
        )
    if not isinstance(card, PriorCard):
        raise ValueError(f"card: expected a PriorCard, got {type(card).__name__}.")
    check_choice("dtype", dtype, ("float32", "float16", "bfloat16"))
    tensors = {}
    for name, t in model.state_dict().items():
        t = t.detach().cpu().contiguous()
        tensors[name] = t.to(getattr(torch, dtype)) if t.is_floating_point() else t
        if not torch.isfinite(tensors[name]).all():
            raise ValueError(f"{path}: weight {name!r} is not finite as {dtype}.")
    card = card.model_copy(update={"weights_sha256": weights_digest(tensors)})
    text = card.model_dump_json()
    meta = {"format": FORMAT, CARD: text, CARD_DIGEST: card_digest(text)}
    write_atomic(path, lambda p: save_file(tensors, p, meta))
    return card
