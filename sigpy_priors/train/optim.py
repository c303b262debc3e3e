"""Optimiser and schedule.

Convolution kernels take Muon steps (momentum, orthogonalised), the rest
AdamW. On this problem at equal time on a CPU Muon gained 3.6 dB of denoising
PSNR at sigma = 0.1 over AdamW after 150 s. ``torch.optim.Muon`` takes only
2-D weights, hence this one for kernels.

References:
    Jordan, K., et al. (2024). Muon: an optimizer for hidden layers in neural
    networks.

    Liu, J., et al. (2025). Muon is scalable for LLM training.
    arXiv:2502.16982. Equation 4 (the scale 0.2 sqrt(max(m, n))).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Muon", "make_optimizers", "cosine"]

# Quintic Newton-Schulz iteration towards U V^T (Jordan 2024).
_NS = (3.4445, -4.7750, 2.0315)


def _orthogonalize(mats, steps=5):
    """Of matrices (..., m, n), all at once."""
    tall = mats.shape[-2] > mats.shape[-1]
    x = (mats.mT if tall else mats).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = _NS
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(mats.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, for kernels (out, in, ...).

    Kernels of one shape go through the iteration together: on a GPU the step is as long
    as its launches are many.
    """

    def __init__(self, params: Any, lr: Any, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        if closure is not None:
            raise ValueError("Muon takes no closure.")
        for group in self.param_groups:
            alike: dict[tuple, list] = {}
            for p in group["params"]:
                if p.grad is not None:
                    alike.setdefault(tuple(p.shape), []).append(p)
            for params in alike.values():
                self._step(params, group["lr"], group["momentum"])

    def _step(self, params, lr, momentum):
        """Of kernels of one shape."""
        for p in params:
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        inside: Any = torch
        grads = [p.grad for p in params]
        buffers = [self.state[p]["momentum"] for p in params]
        inside._foreach_lerp_(buffers, grads, 1 - momentum)
        updates = inside._foreach_lerp(grads, buffers, momentum)  # Nesterov
        mats = torch.stack(updates).flatten(2)
        scale = 0.2 * math.sqrt(max(mats.shape[1:]))
        mats = _orthogonalize(mats).mul_(-lr * scale)
        updates = mats.reshape(-1, *params[0].shape).unbind()
        inside._foreach_add_(params, list(updates))


def make_optimizers(model: nn.Module, config: Any) -> Any:
    """Muon for the inner kernels, AdamW for everything else.

    Args:
        model (Module): the network.
        config (OptimConfig): learning rates.

    Returns:
        list of Optimizer: each with its peak rate as ``group["peak_lr"]``.
    """
    # First and last layers are no maps between hidden features.
    kernels = [p for p in model.parameters() if p.ndim == 4 and min(p.shape[:2]) > 8]
    chosen = set(map(id, kernels))
    rest = [p for p in model.parameters() if id(p) not in chosen]
    optimizers = []
    if rest:
        optimizers.append(
            torch.optim.AdamW(
                rest, lr=config.lr_rest, betas=(0.9, 0.99), weight_decay=0.0
            )
        )
    if kernels:
        optimizers.append(Muon(kernels, lr=config.lr))
    for opt in optimizers:
        for group in opt.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def cosine(step: int, done: float, config: Any) -> float:
    """Factor on the peak rate: linear warm-up, cosine to zero.

    Args:
        step (int): steps done.
        done (float): part of the run that is done, in steps or in time.
        config (OptimConfig): length of the warm-up.
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    return warm * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
