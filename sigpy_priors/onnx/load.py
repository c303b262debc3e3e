"""Files that are ONNX, as priors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigpy_priors.backend.errors import describe
from sigpy_priors.io.files import check_file, reading
from sigpy_priors.onnx.limits import check_graph, check_weights
from sigpy_priors.priors.card import (
    CARD,
    CARD_DIGEST,
    FORMAT,
    card_digest,
    check_card,
)

if TYPE_CHECKING:
    from sigpy_priors.priors.card import PriorCard

# SHA-256 of the graph without its weights, which have a digest in the card.
GRAPH_DIGEST = "sigpy_priors.graph_sha256"

__all__ = ["load_onnx", "read_onnx", "card_of", "with_card"]


def read_onnx(path: str | Path) -> Any:
    """Read an ONNX file with its external data.

    Args:
        path (str or Path): the file.

    Returns:
        onnx.ModelProto: whole.

    Raises:
        ValueError: if there is none, it is damaged or not ONNX, or files with
            its weights are missing.
    """
    from sigpy_priors.onnx.optional import require

    (onnx,) = require("onnx")
    path = check_file(path)
    with reading(path, "an ONNX file"):
        model = onnx.load(path, load_external_data=False)
        if not model.graph.node:
            raise ValueError("it has no nodes")
    parts = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    missing = sorted(p for p in parts if not (path.parent / p).is_file())
    if missing:
        raise ValueError(
            f"{path}: its weights lie in {', '.join(missing)}, which should be beside "
            f"it but is not: copy both files together."
        )
    for part in parts:
        check_file(path.parent / part)
    with reading(path, "an ONNX file with its external data"):
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
        check_graph(model)
    return model


def _digest(model):
    """SHA-256 over names, types, shapes and bytes of the weights."""
    from onnx import numpy_helper

    sha = hashlib.sha256()
    for t in sorted(model.graph.initializer, key=lambda t: t.name):
        a = numpy_helper.to_array(t)
        sha.update(f"{t.name}:{a.dtype}:{a.shape};".encode() + a.tobytes())
    return sha.hexdigest()


def _graph_digest(model):
    """SHA-256 over nodes, attributes, inputs and outputs; not over the weights."""
    import onnx

    # Weights may move to a file of their own, and metadata be added.
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.initializer[:]
    del bare.metadata_props[:]
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def card_of(model: Any, source: str | Path) -> PriorCard:
    """The card in a file's metadata.

    Args:
        model (onnx.ModelProto): the file.
        source (str or Path): named in errors.

    Returns:
        PriorCard: validated.

    Raises:
        ValueError: if there is none, or it is not valid.
    """
    from sigpy_priors.priors.card import PriorCard

    meta = {p.key: p.value for p in model.metadata_props}
    if CARD not in meta:
        raise ValueError(
            f"{source}: an ONNX file without the card of a prior: say what it is with\n"
            f"  sigpy-priors import {source} -o prior.onnx"
        )
    check_card(meta[CARD], meta.get(CARD_DIGEST), source)
    if meta.get(GRAPH_DIGEST, _graph_digest(model)) != _graph_digest(model):
        raise ValueError(
            f"{source}: the graph is not the one that the card was written for "
            f"(SHA-256 differs): the file is damaged or was altered."
        )
    return PriorCard.parse(meta[CARD], source)


def with_card(model: Any, card: PriorCard) -> PriorCard:
    """Put a card into a model; its digest of the weights is filled in.

    Args:
        model (onnx.ModelProto): changed in place.
        card (PriorCard): what to write.

    Returns:
        PriorCard: as written.
    """
    card = card.model_copy(update={"weights_sha256": _digest(model)})
    text = card.model_dump_json()
    meta = {p.key: p.value for p in model.metadata_props} | {
        "format": FORMAT,
        CARD: text,
        CARD_DIGEST: card_digest(text),
        GRAPH_DIGEST: _graph_digest(model),
    }
    del model.metadata_props[:]
    for key, value in meta.items():
        model.metadata_props.add(key=key, value=value)
    return card


def load_onnx(path: str | Path) -> Any:
    """Load a prior from an ONNX file that has a card.

    Args:
        path (str or Path): written by ``export onnx`` or ``import``.

    Returns:
        NetworkPrior or OnnxDensity: which runs in onnxruntime where it can.

    Raises:
        ValueError: if the file is not whole, has no card, or its operators or
            inputs cannot be used.
    """
    from sigpy_priors.onnx.adapter import build_foreign
    from sigpy_priors.onnx.engine.runtime import OnnxModule
    from sigpy_priors.onnx.log_prob import OnnxDensity
    from sigpy_priors.priors.network import NetworkPrior

    model = read_onnx(path)
    card = card_of(model, path)
    if card.architecture != "onnx":
        raise ValueError(
            f"{path}: its card says architecture {card.architecture!r}, not 'onnx': "
            f"take the .safetensors file, or export that again."
        )
    if card.weights_sha256 != _digest(model):
        raise ValueError(
            f"{path}: the weights are not those that the card was written for "
            f"(SHA-256 differs): the file is damaged or was altered."
        )
    check_weights(model, path)
    spec = json.loads(card.model_dump_json())
    try:
        module = OnnxModule(model)
        if card.kind != "denoiser":
            return OnnxDensity(module, card)
        foreign = build_foreign(
            module, spec["options"], spec["precond"], spec["precond_options"]
        )
        _try(module, foreign)
    except Exception as e:  # runtimes raise many kinds
        raise ValueError(f"{path}: {describe(e)}") from e
    return NetworkPrior(foreign, card)


def _try(module, foreign):
    """Denoise one small image: what cannot be computed is known now."""
    import torch

    size = foreign.denoiser.net.size or (2 * foreign.stride,) * 2
    with torch.no_grad():
        out = foreign(torch.zeros(1, 2, *size), torch.ones(1))
    if out.shape != (1, 2, *size):
        raise ValueError(
            f"the network's output has shape {tuple(out.shape)} for an image of shape "
            f"{(1, 2, *size)}; channels, layout or output of its card are wrong."
        )
