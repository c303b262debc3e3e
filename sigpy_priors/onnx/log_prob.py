"""Densities in ONNX: what is exported, and files as priors."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from sigpy_priors.priors.card import PriorCard
from sigpy_priors.priors.density import ChannelDensity

__all__ = ["OnnxDensity", "StableFormulas"]


class StableFormulas(TorchFunctionMode):
    """For the time of a ``with``, formulas that keep their digits in place of
    functions that ONNX has not, or that torch writes as others that do not."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
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

    def __init__(self, module: Any, card: PriorCard) -> None:
        if len(module.inputs) != 1 or module.outputs != ["log_prob", "grad_log_prob"]:
            raise ValueError(
                f"expected an image as input and the outputs log_prob and "
                f"grad_log_prob, got {', '.join(module.inputs)} and "
                f"{', '.join(module.outputs)}: take the .safetensors file of this prior."
            )
        super().__init__(module, card.options.get("channels", 2), card)

    def module(self) -> Any:
        raise TypeError(
            f"{self!r} is a density in an ONNX file, which has no torch graph that "
            f"could be exported: export the .safetensors file of that prior."
        )

    def _nats(self, channels):
        return self._nats_and_grad(channels)[0]

    def _nats_and_grad(self, channels):
        model = self.to(channels.device, channels.dtype)
        self.evaluations += len(channels)
        value, grad = model(channels)
        return value.double(), grad
