r"""An autoregressive network as a density over images.

A network of two channels models the real and imaginary part; one of a single
channel the magnitude, :math:`\log p(|x|)`, which says nothing of the phase.

The density is that of images with complex noise of the level that its card
states: only with noise does its gradient lead from a bad image to a good one.
"""

from __future__ import annotations

import abc
import operator
from typing import TYPE_CHECKING, Any

from sigpy_priors.backend import arrays
from sigpy_priors.backend.arrays import Array
from sigpy_priors.priors.base import DensityPrior
from sigpy_priors.priors.card import PriorCard
from sigpy_priors.priors.hub import Shareable
from sigpy_priors.priors.module import ChannelLogDensity, density_channels, exportable
from sigpy_priors.priors.network import TorchModel

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ChannelDensity", "NetworkDensity"]


# On a CPU, pixels at a time: a gradient keeps about 20 kB for each.
_PIXELS = 1 << 17


class ChannelDensity(TorchModel, DensityPrior):
    """Abstract: a density computed by torch from real and imaginary part.

    Subclasses implement ``_nats`` and may implement ``_nats_and_grad``.

    Args:
        network (Module): what computes it.
        channels (int): real numbers of a pixel that it is a density of.
        card (PriorCard or None): what it was trained on.
    """

    def __init__(
        self, network: nn.Module, channels: int, card: PriorCard | None = None
    ) -> None:
        super().__init__(network)
        self.channels = channels
        self.card = card
        if card is not None:
            self.strength = card.strength
            self.normalised = self.normalised and card.kind != "energy"

    @abc.abstractmethod
    def _nats(self, channels):
        """Log-probability, float64, of tensors (N, 2, H, W)."""

    def _nats_and_grad(self, channels):
        """The same, and its gradient over the channels."""
        import torch

        with torch.enable_grad():
            channels = channels.requires_grad_(True)
            value: Any = self._nats(channels)
            (grad,) = torch.autograd.grad(value.sum(), channels)
        return value.detach(), grad

    def log_prob(self, x: Array) -> Array:
        """Log-probability of the image on the network's grid of values, in nats.

        Between the values of the grid it is a continuous function; what is
        beyond them, magnitudes above 2, counts as the outermost value.

        Args:
            x (array): images (..., H, W), complex, at the prior's scale.

        Returns:
            array: float64, shape (...).

        Raises:
            ValueError: if ``x`` is no complex image, not finite, or so large
                that the result is not.
        """
        import torch

        with arrays.on_stream_of(x):
            z = self._tensor(x)
            with torch.set_grad_enabled(z.requires_grad):
                channels = arrays.to_channels(self._flat(z))
                if z.requires_grad:  # which keeps all of the batch anyhow
                    value: Any = self._nats(channels)
                else:
                    value = torch.cat(self._chunks(self._nats, channels))
            self._check_result(z, value)
            return arrays.from_torch(value.reshape(z.shape[:-2]), x)

    def log_prob_and_grad(self, x: Array) -> tuple:
        """Log-probability, and its gradient from the same pass.

        Args:
            x (array): images (..., H, W), complex.

        Returns:
            tuple: arrays as of :meth:`log_prob` and :meth:`grad_log_prob`.
        """
        import torch

        with arrays.on_stream_of(x):
            z = self._tensor(x).detach()
            channels = arrays.to_channels(self._flat(z))
            parts = zip(*self._chunks(self._nats_and_grad, channels))
            value, grad = (torch.cat(p) for p in parts)
            self._check_result(z, value, grad)
            return (
                arrays.from_torch(value.reshape(z.shape[:-2]), x),
                arrays.from_torch(arrays.from_channels(grad).reshape(z.shape), x),
            )

    def grad_log_prob(self, x: Array) -> Array:
        r"""Gradient :math:`2 \partial \log p / \partial \bar x`; zero where a
        magnitude prior meets x = 0.

        Args:
            x (array): images (..., H, W), complex.

        Returns:
            array: like ``x``.
        """
        return self.log_prob_and_grad(x)[1]

    def _tensor(self, x):
        import torch

        self._check(x)
        z = arrays.to_torch(x)
        if not torch.isfinite(torch.view_as_real(z.resolve_conj())).all():
            raise ValueError(f"{self!r}: the image has NaN or infinite values.")
        return z

    def _check_result(self, z, *results):
        if not all(r.isfinite().all() for r in results):
            raise ValueError(
                f"{self!r}: not finite for an image of magnitudes up to "
                f"{float(z.detach().abs().max()):.3g}; the prior knows images of about 1: "
                f"divide by their scale (sigpy_priors.scan.noise.estimate_scale)."
            )

    def _chunks(self, function, channels):
        if channels.is_cuda:
            return self._in_chunks(function, channels)
        most = max(1, _PIXELS // (channels.shape[-2] * channels.shape[-1]))
        return self._in_chunks(function, channels, most=most)

    @staticmethod
    def _flat(z: Any) -> Any:
        return z.reshape((-1,) + z.shape[-2:])


class NetworkDensity(Shareable, ChannelDensity):
    """A torch network with an exact likelihood as a prior.

    Args:
        model (Module): log-probability in nats of every pixel (N, H, W) of
            channels (N, C, H, W), with an attribute ``channels``, as
            :class:`sigpy_priors.models.pixelcnn.PixelCNN`.
        card (PriorCard or None): what it was trained on.
    """

    def __init__(self, model: Any, card: PriorCard | None = None) -> None:
        super().__init__(model, model.channels, card)
        self.model = model

    def module(self) -> Any:
        return exportable(ChannelLogDensity(self.model))

    def sample(
        self, shape: tuple[int, ...], n: int = 1, seed: int = 0, show_pbar: bool = True
    ) -> Array:
        """Draw images from the prior, with its noise, pixel after pixel.

        Args:
            shape (tuple of int): image shape (H, W).
            n (int): number of images.
            seed (int): random seed.
            show_pbar (bool): progress bar over rows.

        Returns:
            array: numpy, (n, H, W), complex64; magnitudes of a magnitude prior.
        """
        import torch

        from sigpy_priors.models.ancestral import ancestral_sample

        try:
            height, width = (operator.index(v) for v in shape)
            n, seed = operator.index(n), operator.index(seed)
        except (TypeError, ValueError):
            height = 0
        if height < 1 or width < 1 or n < 1:
            raise ValueError(
                f"expected a shape (H, W), n >= 1 and a seed, all whole numbers, got "
                f"{shape}, {n} and {seed}."
            )
        mixture: Any = self.model.mixture
        generator = torch.Generator().manual_seed(seed)
        size = (n, height, width, mixture.components + mixture.channels)
        # The ends of (0, 1) would be drawn at infinity.
        noise = torch.rand(size, generator=generator).clamp(1e-6, 1 - 1e-6)
        model = self.to("cpu", torch.float32)
        channels = ancestral_sample(model, (height, width), noise, show_pbar)
        if self.model.channels == 1:
            channels = torch.cat([channels, torch.zeros_like(channels)], dim=1)
        return arrays.from_channels(channels).numpy()

    def _nats(self, channels):
        import torch

        model = self.to(channels.device, channels.dtype)
        channels = density_channels(channels, model.channels)
        self.evaluations += len(channels)
        channels = channels.contiguous(memory_format=torch.channels_last)
        return model(channels).double().sum(dim=(1, 2))
