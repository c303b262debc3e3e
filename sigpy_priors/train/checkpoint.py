"""The state of a training run in one safetensors file, written atomically."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.io.files import check_file, reading

__all__ = [
    "save_checkpoint",
    "read_checkpoint",
    "restore_checkpoint",
]


def _checksum(tensors):
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(name.encode(), crc)
        crc = zlib.crc32(tensors[name].flatten().view(torch.uint8).numpy(), crc)
    return f"{crc:08x}"


def _checksum_text(text):
    return f"{zlib.crc32(text.encode()):08x}"


def save_checkpoint(
    path: str | Path, modules: dict, optimizers: Any, meta: dict
) -> None:
    """Write modules, optimiser states and a small JSON-able dict.

    Args:
        path (str or Path): file to write.
        modules (dict): name to module.
        optimizers (list of Optimizer): their tensors are stored.
        meta (dict): step and whatever identifies the run.
    """
    tensors = {}
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            tensors[f"{name}/{key}"] = value.detach().cpu().clone()
    for i, opt in enumerate(optimizers):
        for index, state in opt.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimizer{i}/{index}/{key}"] = value.detach().cpu().clone()
    # safetensors stores rows in order, whatever the memory format.
    tensors = {k: v.contiguous() for k, v in tensors.items()}
    run = json.dumps(meta)
    text = {"run": run, "crc32": _checksum(tensors), "run_crc32": _checksum_text(run)}
    write_atomic(path, lambda p: save_file(tensors, p, text))


def read_checkpoint(path: str | Path) -> tuple:
    """Read what :func:`save_checkpoint` wrote.

    Args:
        path (str or Path): file to read.

    Returns:
        tuple: the ``meta`` of the checkpoint, and its tensors by name.

    Raises:
        ValueError: if the file is damaged or no checkpoint.
    """
    advice = "delete it to start anew"
    with (
        reading(check_file(path), "a readable checkpoint", advice),
        safe_open(path, "pt") as f,
    ):
        text = f.metadata() or {}
        if "run" not in text:
            raise ValueError("it holds no training state")
        meta = json.loads(text["run"])
        if not isinstance(meta, dict):
            raise ValueError("its training state is no table")
        tensors = {k: f.get_tensor(k) for k in f.keys()}
        # Older checkpoints have no sum of their state.
        intact = text.get("crc32") in (None, _checksum(tensors))
        intact &= text.get("run_crc32") in (None, _checksum_text(text["run"]))
    if not intact:
        raise ValueError(
            f"{path}: the checkpoint is damaged (checksum differs); delete it to "
            f"start anew."
        )
    return meta, tensors


def restore_checkpoint(
    path: str | Path, tensors: dict, modules: dict, optimizers: Any
) -> Any:
    """Put tensors of a checkpoint back in place.

    Args:
        path (str or Path): named in errors.
        tensors (dict): from :func:`read_checkpoint`.
        modules (dict): name to module.
        optimizers (list of Optimizer): for these modules.

    Raises:
        ValueError: if they are of another network.
    """

    def part(prefix):
        return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

    for name, module in modules.items():
        try:
            module.load_state_dict(part(f"{name}/"))
        except RuntimeError as e:
            raise ValueError(f"{path}: checkpoint of another network: {e}") from e
    for i, opt in enumerate(optimizers):
        with reading(path, "a checkpoint of this run", "delete it to start anew"):
            _restore(opt, part(f"optimizer{i}/"))


def _restore(opt, tensors):
    """Put the state of an optimiser back."""
    state = {}
    for key, value in tensors.items():
        index, field = key.split("/")
        state.setdefault(int(index), {})[field] = value
    groups = opt.state_dict()["param_groups"]
    opt.load_state_dict({"state": state, "param_groups": groups})
    for p in opt.state:  # back to each weight's own memory format
        for field, value in opt.state[p].items():
            if value.shape == p.shape:
                opt.state[p][field] = torch.empty_like(p).copy_(value)
