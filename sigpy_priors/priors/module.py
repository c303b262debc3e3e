r"""The edge of a network: between complex images and its real channels.

The only file with the factor sqrt(2) between the deviation of complex noise
and that of a channel, the only padding, and the only rule below the trained
noise levels. SigPy, ONNX, BART's graphs, training and validation all call a
network through :class:`ChannelDenoiser`.

Below the trained range the score is held at that of its lowest level l,

.. math:: D(x, \sigma) = x + (\sigma / l)^2 (D(x, l) - x)

so that D(x, 0) = x, as it must be.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

__all__ = [
    "ChannelDenoiser",
    "ChannelEnergy",
    "ChannelLogDensity",
    "GaussianDenoiser",
    "LogDensity",
    "add_noise",
    "channel_sigma",
    "complex_sigma",
    "density_channels",
    "exportable",
    "score_held",
]

# Modes beyond which a closed-form Gaussian is no sensible graph constant.
_MAX_MODES = 4096


def channel_sigma(sigma: Any) -> Any:
    """Standard deviation of each channel of complex noise of this one."""
    return sigma / 2**0.5


def complex_sigma(sigma: Any) -> Any:
    """Standard deviation of complex noise whose channels have this one."""
    return sigma * 2**0.5


def add_noise(
    x: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor | float
) -> torch.Tensor:
    """Add complex noise to channels.

    Args:
        x (Tensor): channels (N, 2, H, W).
        noise (Tensor): unit noise of every channel, same shape.
        sigma (Tensor or float): standard deviation of the complex noise, (N,), or of
            every pixel, (N, 1, H, W).

    Returns:
        Tensor: like ``x``.
    """
    level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    level = level if level.ndim == x.ndim else level.reshape((-1, 1, 1, 1))
    return x + channel_sigma(level) * noise


def density_channels(channels: torch.Tensor, count: int) -> torch.Tensor:
    """What a density of ``count`` real numbers a pixel sees of (N, 2, H, W).

    Args:
        channels (Tensor): real and imaginary part.
        count (int): 2 for these themselves, 1 for the magnitude.

    Returns:
        Tensor: (N, count, H, W). The gradient of the magnitude at zero is
        zero, where that of a plain square root is NaN.
    """
    if count == 2:
        return channels
    return channels.square().sum(dim=1, keepdim=True).clamp_min(1e-24).sqrt()


def _pad(x, stride):
    """Repeat the last row and column up to a multiple of the stride.

    By indices: a trace of it holds for every height and width.
    """
    for axis in (2, 3) if stride > 1 else ():
        n = x.shape[axis]
        whole = (n + stride - 1) // stride * stride
        index = torch.arange(whole, device=x.device).clamp(max=n - 1)
        x = x.index_select(axis, index)
    return x


def score_held(
    denoise: Callable, x: torch.Tensor, sigma: torch.Tensor, low: float
) -> torch.Tensor:
    """Denoise, with the rule below the trained range (see the module).

    Args:
        denoise (callable): of images and noise levels that are at least ``low``.
        x (Tensor): images or channels (N, ...).
        sigma (Tensor): noise levels (N,), >= 0.
        low (float): least level that the denoiser was made for.

    Returns:
        Tensor: like ``x``.
    """
    if not low:
        return denoise(x, sigma)
    known = sigma.clamp_min(low)
    share = ((sigma / known) ** 2).reshape((-1,) + (1,) * (x.ndim - 1))
    return x + share * (denoise(x, known) - x)


class ChannelDenoiser(nn.Module):
    """E[x0 | x0 + n = x] of real channels (N, 2, H, W), at the noise levels
    (N,) of complex noise.

    Attributes:
        size (tuple of int or None): the one image size that it is for, if any.

    Args:
        model (Module): denoiser of channels at their own noise level
            (:class:`sigpy_priors.models.precond.Precond`), with ``stride``.
        low (float): least complex noise level that it was trained on.
    """

    size = None

    def __init__(self, model: nn.Module, low: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.low = float(low)
        self.stride = getattr(model, "stride", 1)

    def forward(self, x: Any, sigma: Any) -> Any:
        return score_held(self._denoise, x, sigma, self.low)

    def _denoise(self, x, sigma):
        h, w = x.shape[-2:]
        return self.model(_pad(x, self.stride), channel_sigma(sigma))[..., :h, :w]


class LogDensity(nn.Module):
    """Abstract: log-density (N,) of real channels (N, 2, H, W)."""

    def with_gradient(self, x: Any) -> Any:
        """Log-density and its gradient over channels."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            each = self(x)
            (gradient,) = torch.autograd.grad(each.sum(), x)
        return each.detach(), gradient


class ChannelLogDensity(LogDensity):
    """Log-density (N,) in nats of real channels (N, 2, H, W).

    Args:
        model (Module): log-probability in nats of every pixel (N, H, W) of
            channels (N, C, H, W), with an attribute ``channels``.
    """

    model: Any

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Any) -> Any:
        return self.model(density_channels(x, self.model.channels)).sum(dim=(1, 2))


class ChannelEnergy(ChannelLogDensity):
    """Log-density (N,) in nats, up to a constant: minus an energy.

    Args:
        energy (Module): of channels (N, C, H, W): (N,), or terms (N, ...) of it.
        channels (int): C, real numbers of a pixel.
    """

    def __init__(self, energy: nn.Module, channels: int) -> None:
        super().__init__(energy)
        self.channels = channels

    def terms(self, x: Any) -> Any:
        """Parts (N, M) of the energy of (N, 2, H, W)."""
        terms = self.model(density_channels(x, self.channels))
        if terms.shape[:1] != x.shape[:1]:
            raise ValueError(
                f"energy: expected one number, or several, for each of {x.shape[0]} "
                f"images, got shape {tuple(terms.shape)}."
            )
        return terms.flatten(1) if terms.ndim > 1 else terms[:, None]

    def forward(self, x: Any) -> Any:
        return -self.terms(x).sum(dim=1)


class GaussianDenoiser(nn.Module):
    r"""Closed form of :class:`sigpy_priors.priors.gaussian.GaussianPrior`.

    :math:`D = m + V \Lambda (\Lambda + \sigma^2)^{-1} V^H (x - m)`, with the
    complex V as a real matrix over stacked real and imaginary parts.

    Args:
        mean (Tensor): complex (H, W).
        values (Tensor): eigenvalues of the covariance (H W,).
        vectors (Tensor): its eigenvectors as columns, complex (H W, H W).

    Attributes:
        size (tuple of int): the one image size (H, W) that it is for.

    Raises:
        ValueError: if it is too large to be written as a matrix.
    """

    def __init__(
        self, mean: torch.Tensor, values: torch.Tensor, vectors: torch.Tensor
    ) -> None:
        super().__init__()
        top = torch.cat([vectors.real, -vectors.imag], dim=1)
        bottom = torch.cat([vectors.imag, vectors.real], dim=1)
        self.size = tuple(mean.shape)
        self.register_buffer("basis", torch.cat([top, bottom]).float())
        self.register_buffer("values", values.repeat(2).float())
        mean = torch.view_as_real(mean).permute(2, 0, 1)
        self.register_buffer("mean", mean.float().contiguous())

    @staticmethod
    def check_size(shape: Any) -> None:
        """Raise a ValueError if images (H, W) have too many modes."""
        if math.prod(shape) > _MAX_MODES:
            raise ValueError(
                f"a Gaussian of {math.prod(shape)} modes is too large for a graph, at "
                f"most {_MAX_MODES}."
            )

    def forward(self, x: Any, sigma: Any) -> Any:
        c = (x - self.mean).reshape(x.shape[0], -1) @ self.basis
        c = c * (self.values / (self.values + sigma[:, None] ** 2))
        return self.mean + (c @ self.basis.T).reshape(x.shape)


def exportable(module: Any) -> Any:
    """A module as a graph wants it: evaluating, on the CPU, in single precision."""
    tensors = (*module.parameters(), *module.buffers())
    if any(t.device.type != "cpu" or t.dtype == torch.float64 for t in tensors):
        module = copy.deepcopy(module).cpu().float()
    return module.eval().requires_grad_(False)
