"""This process among those that torchrun started; alone without it."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import distributed as dist

__all__ = ["Processes"]


class Processes:
    """Rank, number and device of the processes of one training run.

    Args:
        device (str or None): torch device; default a GPU where there is one,
            the one of the process's local rank.

    Raises:
        ValueError: if there is no such device.
    """

    def __init__(self, device: str | None = None) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", 1))
        self.rank = int(os.environ.get("RANK", 0))
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda":
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        try:
            self.device = torch.device(device)
            torch.empty(0, device=self.device)
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
        except (RuntimeError, AssertionError, NotImplementedError) as e:
            why = str(e).splitlines()[0]
            raise ValueError(f"device {device!r} cannot be used: {why}") from e

    @property
    def lead(self) -> Any:
        """True in the one process that writes files and shows progress."""
        return self.rank == 0

    def __enter__(self) -> Any:
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        return self

    def __exit__(self, kind: Any, *exc: Any) -> None:
        # After an error others may be waiting for us: leave, don't say goodbye.
        if self.size > 1 and kind is None:
            dist.destroy_process_group()

    def wrap(self, model: Any) -> Any:
        """The model, with its gradients averaged over all processes."""
        if self.size == 1:
            return model
        return torch.nn.parallel.DistributedDataParallel(model)

    def mean(self, value: Any) -> Any:
        """Mean of a tensor over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(value)
            value /= self.size
        return value
