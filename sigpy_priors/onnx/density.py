"""Densities for an export: value and gradient, and functions that ONNX lacks."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from sigpy_priors import arrays

__all__ = ["Density", "Plain"]


class Density(nn.Module):
    """Log-density (N,) of channels (N, 2, H, W).

    Args:
        model (Module): log-probability in nats of every pixel (N, H, W) of
            channels (N, C, H, W), with an attribute ``channels``.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        z = arrays.density_channels(x, self.model.channels)
        return self.model(z).sum(dim=(1, 2))

    def with_gradient(self, x):
        """Log-density and its gradient over channels."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            each = self(x)
            (gradient,) = torch.autograd.grad(each.sum(), x)
        return each.detach(), gradient


class Plain(TorchFunctionMode):
    """For the time of a ``with``, formulas that keep their digits in place of
    functions that ONNX has not, or that torch writes as others that do not."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.expm1:
            # exp(x) - 1 is rounded to nothing near 0.
            return torch.tanh(args[0] / 2) * (torch.exp(args[0]) + 1)
        if function is F.logsigmoid:
            # The logarithm of a sigmoid is that of zero far below.
            return -F.softplus(-args[0])
        return function(*args, **(kwargs or {}))
