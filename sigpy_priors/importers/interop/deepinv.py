"""deepinv: our priors as its denoisers and priors, its denoisers as our priors.

deepinv's images are real channels (N, 2, H, W), its noise levels those of a channel.
"""

from __future__ import annotations

from typing import Any

import torch

from sigpy_priors.backend.arrays import from_channels, to_channels
from sigpy_priors.backend.extras import require
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, Prior, check_kind
from sigpy_priors.priors.module import complex_sigma
from sigpy_priors.priors.network import NetworkPrior

__all__ = ["denoiser", "from_denoiser", "regularizer"]


def denoiser(prior: DenoiserPrior) -> Any:
    """A prior as a denoiser of deepinv.

    >>> net = spp.interop.deepinv.denoiser(spp.load_prior("brain"))
    >>> deepinv.optim.optim_builder("HQS", prior=deepinv.optim.PnP(net), ...)

    Args:
        prior (DenoiserPrior): the prior; images are to be divided by their scale.

    Returns:
        deepinv.models.Denoiser: of (N, 2, H, W) at the noise level of a channel, a
        number or (N,); differentiable.
    """
    check_kind(prior, DenoiserPrior)
    [package] = require("deepinv", extra="interop")

    class PriorDenoiser(package.models.Denoiser):
        def __init__(self) -> None:
            super().__init__()
            self.prior = prior

        def forward(self, x: torch.Tensor, sigma: Any, **kwargs: Any) -> torch.Tensor:
            z = from_channels(x)
            level = torch.as_tensor(sigma, dtype=x.dtype).detach().reshape(-1)
            level = complex_sigma(level.expand(len(z)))
            return to_channels(prior.denoise(z, level)).to(x.dtype)

    return PriorDenoiser()


def regularizer(prior: Prior) -> Any:
    """A prior as a prior of deepinv.

    Args:
        prior (Prior): a density states -log p, its gradient, and by deepinv its prox; a
            denoiser stands for a prox (plug-and-play).

    Returns:
        deepinv.optim.Prior: on (N, 2, H, W).
    """
    check_kind(prior)
    [optim] = require("deepinv.optim", extra="interop")
    if not isinstance(prior, DensityPrior):
        return optim.PnP(denoiser(prior))  # type: ignore[arg-type]

    class NegativeLogPrior(optim.Prior):
        def __init__(self) -> None:
            super().__init__()
            self.explicit_prior = True

        def fn(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            return -prior.log_prob(from_channels(x))

        def grad(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            return -to_channels(prior.grad_log_prob(from_channels(x)))

    return NegativeLogPrior()


def from_denoiser(
    net: Any, sigma_range: tuple[float, float], channels: int = 2, stride: int = 1
) -> NetworkPrior:
    """A denoiser of deepinv as a prior of ours, ready for SigPy, ONNX and BART.

    Args:
        net (torch.nn.Module): ``net(x, sigma)`` of (N, channels, H, W), such as
            ``deepinv.models.DRUNet(in_channels=2, out_channels=2)``.
        sigma_range (tuple of float): trained noise levels, of a channel.
        channels (int): 2 if it denoises real and imaginary part together, 1 if each as
            an image of its own.
        stride (int): of which height and width must be a multiple.

    Returns:
        NetworkPrior: its levels are those of complex noise.

    Raises:
        ValueError: if there are neither one nor two channels.
    """
    if channels not in (1, 2):
        raise ValueError(f"channels: expected 1 or 2, got {channels}.")
    low, high = (complex_sigma(s) for s in sigma_range)
    return NetworkPrior(_Parts(net, channels, stride), sigma_range=(low, high))


class _Parts(torch.nn.Module):
    """Two channels, together or one by one."""

    def __init__(self, net: Any, channels: int, stride: int) -> None:
        super().__init__()
        self.net, self.channels, self.stride = net, channels, stride

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        if self.channels == 1:
            parts = x.reshape(-1, 1, *x.shape[2:])
            return self.net(parts, sigma.repeat_interleave(2)).reshape(x.shape)
        return self.net(x, sigma)
