"""Networks as priors: devices, precision, and chunks that fit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sigpy_priors.backend import arrays, memory
from sigpy_priors.priors.base import DenoiserPrior
from sigpy_priors.priors.card import PriorCard
from sigpy_priors.priors.hub import Shareable
from sigpy_priors.priors.module import ChannelDenoiser, exportable

if TYPE_CHECKING:
    from torch import nn

__all__ = ["TorchModel", "NetworkPrior", "PRECISIONS"]

PRECISIONS = ("full", "double", "tf32", "bfloat16")
_ANY = 1 << 30  # images: as many as fit


class TorchModel:
    """A torch module in evaluation mode, on every device that asks for it.

    Args:
        network (Module): of real channels (N, 2, H, W).
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network.eval().requires_grad_(False)
        self._copies = {}
        self._chunk = {}  # images that fit together, by what is done with them

    def to(self, device: Any, dtype: Any) -> Any:
        """The network on a device, in a real precision; copies are kept."""
        import copy

        import torch

        key = (torch.device(device), dtype)
        if key not in self._copies:
            model: Any = copy.deepcopy(self._network).to(device=device, dtype=dtype)
            # Measured: convolutions run fastest with the channels last.
            last: Any = torch.channels_last
            self._copies[key] = model.to(memory_format=last)
        return self._copies[key]

    def _in_chunks(self, function, x, *others, most=_ANY):
        """Map over images (N, ...), and what goes with them; returns a list."""
        key = (function.__name__, x.device, x.dtype, x.shape[1:])
        if key not in self._chunk:
            one = partial(function, *(a[:1] for a in (x, *others)))
            self._chunk[key] = memory.fitting(one, x.get_device(), most)
        out, self._chunk[key] = memory.in_chunks(
            function, (x, *others), self._chunk[key]
        )
        return out


class NetworkPrior(Shareable, TorchModel, DenoiserPrior):
    """A torch network of two real channels as a prior over complex images.

    What lies between its channels and complex images is
    :class:`sigpy_priors.priors.module.ChannelDenoiser`. Batches that do not
    fit into memory go through the network in chunks.

    Args:
        model (Precond): denoiser of (N, 2, H, W) and per-channel sigma (N,).
        card (PriorCard or None): what it was trained on.
        sigma_range (tuple of float or None): trained complex noise levels;
            default from the card.
        accelerate (function or None): maps this prior and its
            ``ChannelDenoiser`` on the CPU in single precision to one that
            computes the same faster, such as
            :func:`sigpy_priors.onnx.accelerate.accelerate`.
        precision (str): "full" computes in single precision, in which networks
            are trained, whatever the image's: a double image costs no more and
            its digits beyond the network's error are none. "double" computes in
            double (to check derivatives; eight times slower on a CPU); "tf32"
            lets a GPU round the factors of its products to 10 bits; "bfloat16"
            computes in it wherever torch's autocast holds that safe. The
            image keeps its own precision.
        compile (bool): compile the network for each shape of a batch, on a
            GPU to a CUDA graph: worth its minutes for many calls of one shape.
            Like bfloat16, this is done by torch alone.

    Raises:
        ValueError: if the precision is unknown.
    """

    def __init__(
        self,
        model: Any,
        card: PriorCard | None = None,
        sigma_range: tuple[float, ...] | None = None,
        accelerate: Callable | None = None,
        precision: str = "full",
        compile: bool = False,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}."
            )
        self.accelerate = accelerate
        self.precision, self.compile = precision, compile
        self._compiled = {}
        self.card = card
        if card is not None:
            self.strength = card.strength
            sigma_range = sigma_range or card.sigma_range
        if sigma_range is not None:
            self.sigma_range = tuple(sigma_range)
        self.model = model
        super().__init__(ChannelDenoiser(model, self.sigma_range[0]))

    def module(self) -> Any:
        return exportable(ChannelDenoiser(self.model, self.sigma_range[0]))

    def to(self, device: Any, dtype: Any) -> Any:
        """The network on a device, in a real precision; copies are kept."""
        import torch

        key = (torch.device(device), dtype)
        new = key not in self._copies
        model = super().to(device, dtype)
        by_torch = self.compile or self.precision == "bfloat16"
        here = key == (torch.device("cpu"), torch.float32)
        if new and here and self.accelerate and not by_torch:
            self._copies[key] = self.accelerate(self, model)
        return self._copies[key]

    def with_options(self, precision: str = "full", compile: bool = False) -> Any:
        """The same network, computed in another way.

        Args:
            precision (str): as in the constructor.
            compile (bool): as in the constructor.

        Returns:
            NetworkPrior: shares the weights.
        """
        prior = NetworkPrior(
            self.model, self.card, self.sigma_range, self.accelerate, precision, compile
        )
        prior.strength = self.strength
        return prior

    def _runner(self, device, dtype):
        import torch

        model = self.to(device, dtype)
        if not self.compile:
            return model
        key = (device, dtype)
        if key not in self._compiled:
            mode = "reduce-overhead" if device.type == "cuda" else "default"
            self._compiled[key] = torch.compile(model, dynamic=False, mode=mode)
        return self._compiled[key]

    def _denoise(self, x, sigma):
        return self._denoise_held(x, sigma)

    def _denoise_held(self, x, sigma):
        import torch

        # With a gradient all of the batch is kept for it: chunks save nothing.
        if len(x) == 1 or torch.is_grad_enabled():
            return self._run(x, sigma)
        out = self._in_chunks(self._run, x, sigma)
        return out[0] if len(out) == 1 else torch.cat(out)

    def _run(self, x, sigma):
        import torch

        real = torch.float64 if self.precision == "double" else torch.float32
        model = self._runner(x.device, real)
        channels = arrays.to_channels(x).to(real)
        channels = channels.contiguous(memory_format=torch.channels_last)
        with _computing(self.precision, x.device):
            out = model(channels, sigma.to(real))
        if self.compile:
            out = out.clone()  # a CUDA graph writes its next result there
        return arrays.from_channels(out.to(x.real.dtype))


@contextlib.contextmanager
def _computing(precision, device):
    """Have torch compute in this way; a backward pass follows its own settings."""
    import torch

    with contextlib.ExitStack() as stack:
        if precision == "bfloat16":
            stack.enter_context(torch.autocast(device.type, torch.bfloat16))
        if device.type == "cuda":
            backends: tuple[Any, ...] = torch.backends.cudnn, torch.backends.cuda.matmul
            for backend in backends:
                before = backend.allow_tf32
                backend.allow_tf32 = precision == "tf32"
                stack.callback(setattr, backend, "allow_tf32", before)
        yield
