"""Densities in ONNX: what is exported, and files as priors."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from sigpy_priors import arrays
from sigpy_priors.density import ChannelDensity

__all__ = ["Density", "OnnxDensity", "Plain"]


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


class OnnxDensity(ChannelDensity):
    """A density in an ONNX file as a prior; its gradient comes with its value.

    It runs through onnxruntime, and node by node in torch where that cannot:
    in double precision, or where torch is to differentiate.

    Args:
        module (OnnxModule): of channels (N, 2, H, W); its outputs are the
            log-density (N,) in nats and the gradient, like the channels.
        card (PriorCard): what the density is and was trained on.

    Raises:
        ValueError: if the file has other inputs or outputs.
    """

    def __init__(self, module, card):
        if len(module.inputs) != 1 or module.outputs != ["log_prob", "grad_log_prob"]:
            raise ValueError(
                f"expected an image as input and the outputs log_prob and "
                f"grad_log_prob, got {', '.join(module.inputs)} and "
                f"{', '.join(module.outputs)}: take the .safetensors file of this prior."
            )
        super().__init__(module, card.options.get("numbers", 2), card)

    def _nats(self, channels):
        return self._nats_and_grad(channels)[0]

    def _nats_and_grad(self, channels):
        model = self.to(channels.device, channels.dtype)
        self.evaluations += len(channels)
        value, grad = model(channels)
        return value.double(), grad
