"""Priors as safetensors files: the card inside, and the bundled ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigpy_priors.io.files import check_file, reading
from sigpy_priors.priors.card import (
    CARD,
    CARD_DIGEST,
    FORMAT,
    PriorCard,
    check_card,
)
from sigpy_priors.priors.saving import weights_digest

if TYPE_CHECKING:
    pass

__all__ = ["LARGEST", "open_file", "load_file", "bundled"]

# No trained network comes near it, and the square of a larger number overflows.
LARGEST = 1e18
_DATA = Path(__file__).parents[1] / "data"


def bundled() -> dict:
    """The priors that come with this package.

    Returns:
        dict: name to file.
    """
    return {p.stem: p for p in sorted(_DATA.glob("*.safetensors"))}


def open_file(path: str | Path) -> tuple:
    """A safetensors file and its card, without reading the weights.

    Args:
        path (str or Path): the file.

    Returns:
        tuple: the open file, and its PriorCard.

    Raises:
        ValueError: if there is no such file, it is damaged, or no prior.
    """
    from safetensors import safe_open

    path = Path(path)
    if not path.exists():
        raise ValueError(
            f"{path}: no such prior; bundled are {', '.join(bundled()) or 'none'}, "
            f"anything else is the path of a file."
        )
    with reading(check_file(path), "a safetensors file"):
        file = safe_open(path, "pt")
        meta = file.metadata() or {}
    if meta.get("format") != FORMAT or CARD not in meta:
        raise ValueError(
            f"{path}: a safetensors file, but no prior of this package: its "
            f"metadata have no card. Import other networks with their card."
        )
    check_card(meta[CARD], meta.get(CARD_DIGEST), path)
    return file, PriorCard.parse(meta[CARD], path)


def load_file(path: str | Path, accelerate: Callable | None = None) -> Any:
    """Load a prior from a safetensors file.

    Args:
        path (str or Path): the file.
        accelerate (callable or None): of a network denoiser
            (:class:`sigpy_priors.priors.network.NetworkPrior`).

    Returns:
        NetworkPrior, NetworkDensity or EnergyPrior: by the card's kind.

    Raises:
        ValueError: if there is no such file, it is damaged, of another format
            or version, its architecture is not installed, or card and weights
            do not belong together.
    """
    import torch

    from sigpy_priors.models import build_model
    from sigpy_priors.models.declared import build_declared
    from sigpy_priors.priors.density import NetworkDensity
    from sigpy_priors.priors.energy import EnergyPrior
    from sigpy_priors.priors.network import NetworkPrior

    file, card = open_file(path)
    with reading(path, "a file of weights that can be read"):
        tensors = {k: file.get_tensor(k) for k in file.keys()}
    if card.weights_sha256 != weights_digest(tensors):
        raise ValueError(
            f"{path}: the weights are not those that the card was written for "
            f"(SHA-256 differs): the file is damaged or was altered."
        )
    tensors = {
        k: t.float() if t.dtype in (torch.float16, torch.bfloat16) else t
        for k, t in tensors.items()
    }
    for name, t in tensors.items():
        # Squares of larger ones are beyond single precision.
        if t.is_floating_point() and not (t.abs() < LARGEST).all():
            raise ValueError(
                f"{path}: weight {name!r} is NaN, infinite or beyond {LARGEST:g}; "
                f"train or convert the network again."
            )
    spec = json.loads(card.model_dump_json())
    try:
        model = build_declared(lambda: build_model(spec, card.package), tensors)
    except (ValueError, RuntimeError) as e:
        why = " ".join(str(e).split()).rstrip(".")
        raise ValueError(f"{path}: {why}.") from e
    if card.kind == "density":
        return NetworkDensity(model, card)
    if card.kind == "energy":
        return EnergyPrior(model, card)
    return NetworkPrior(model, card, accelerate=accelerate)
