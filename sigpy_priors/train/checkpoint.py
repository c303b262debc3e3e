"""The state of a training run in one safetensors file, written atomically."""

import json
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

__all__ = ["save_checkpoint", "load_checkpoint", "write_atomic"]


def write_atomic(path, write):
    """Call ``write(temporary path)``, then put the result in place at once.

    A reader, or a run killed at any moment, sees the old file or the new one.
    """
    path = Path(path)
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(tmp)
        with open(tmp, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(tmp, path)
    finally:
        tmp.unlink(missing_ok=True)


def save_checkpoint(path, modules, optimizers, meta):
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
    write_atomic(path, lambda p: save_file(tensors, p, {"run": json.dumps(meta)}))


def load_checkpoint(path, modules, optimizers):
    """Restore what :func:`save_checkpoint` wrote, in place.

    Returns:
        dict: the ``meta`` of the checkpoint.

    Raises:
        ValueError: if the file is damaged or is of another network.
    """
    try:
        with safe_open(path, "pt") as f:
            meta = json.loads(f.metadata()["run"])
            tensors = {k: f.get_tensor(k) for k in f.keys()}
    except Exception as e:
        raise ValueError(
            f"{path}: not a readable checkpoint ({e}); delete it to start anew."
        ) from e

    def part(prefix):
        return {
            k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)
        }

    for name, module in modules.items():
        try:
            module.load_state_dict(part(f"{name}/"))
        except RuntimeError as e:
            raise ValueError(
                f"{path}: checkpoint of another network: {e}"
            ) from e
    for i, opt in enumerate(optimizers):
        state = {}
        for key, value in part(f"optimizer{i}/").items():
            index, field = key.split("/")
            state.setdefault(int(index), {})[field] = value
        groups = opt.state_dict()["param_groups"]
        opt.load_state_dict({"state": state, "param_groups": groups})
        for p in opt.state:  # back to each weight's own memory format
            for field, value in opt.state[p].items():
                if value.shape == p.shape:
                    opt.state[p][field] = torch.empty_like(p).copy_(value)
    return meta
