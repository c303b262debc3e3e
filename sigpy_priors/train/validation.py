"""How good a network is on fixed images: denoising PSNR, or bits per dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sigpy_priors.priors.module import ChannelDenoiser, add_noise
from sigpy_priors.show.metrics import psnr_of_mse
from sigpy_priors.train.augment import complex_crop
from sigpy_priors.train.datasets import open_validation

__all__ = [
    "SIGMAS",
    "validation_set",
    "denoising_psnr",
    "bits_per_dim",
    "trivial_bits",
]

SIGMAS = (0.01, 0.03, 0.1, 0.3)


def validation_set(config: Any, data: str | Path, stride: int = 1) -> tuple:
    """Whole slices with random smooth phase, the same in every run.

    Args:
        config (TrainConfig): names the validation files.
        data (str or Path): data folder.
        stride (int): what the network needs height and width to be multiples of.

    Returns:
        tuple: images and unit per-channel noise, each a tensor (N, 2, S, S).
    """
    images, peaks = open_validation(config.data, data)
    chosen = np.linspace(0, len(images) - 1, config.val_images).round().astype(int)
    # One common size, so that one batch holds them.
    unit = math.lcm(32, stride)
    size = max(unit, min(min(images[k].shape) for k in chosen) // unit * unit)
    clean, noise = [], []
    for k in chosen:
        rng = np.random.default_rng((0, int(k)))
        img = images[k] / np.float32(peaks[k])
        clean.append(complex_crop(img, size, rng, affine=0))
        noise.append(torch.from_numpy(rng.standard_normal(clean[-1].shape, np.float32)))
    return torch.stack(clean), torch.stack(noise)


def denoising_psnr(
    net: Any, clean: torch.Tensor, noise: torch.Tensor, sigmas: Sequence[float] = SIGMAS
) -> dict:
    """Mean PSNR of the denoised images, peak 1 (their 99.8th percentile).

    Args:
        net (Precond): denoiser of channels.
        clean (Tensor): images (N, 2, S, S).
        noise (Tensor): unit noise per channel, same shape.
        sigmas (sequence of float): complex noise levels.

    Returns:
        dict: sigma to PSNR in dB.
    """
    device = next(net.parameters()).device
    table = {}
    with torch.no_grad():
        for sigma in sigmas:
            psnr = []
            for x, n in zip(clean, noise):
                x, n = x[None].to(device), n[None].to(device)
                s = torch.full((1,), sigma, device=device)
                out = ChannelDenoiser(net)(add_noise(x, n, s), s)
                mse = (out - x).square().sum(dim=1).mean()
                psnr.append(psnr_of_mse(mse.item()))
            table[sigma] = float(np.mean(psnr))
    return table


def bits_per_dim(net: nn.Module, images: torch.Tensor) -> float:
    """Mean negative log-likelihood in bits per real number.

    Args:
        net (Module): log-probability of pixels, as
            :class:`sigpy_priors.models.pixelcnn.PixelCNN`.
        images (Tensor): (N, C, S, S), on the grid of its values.

    Returns:
        float: bits per dimension.
    """
    device = next(net.parameters()).device
    with torch.no_grad():
        nats = [-net(x[None].to(device)).mean().item() for x in images]
    return float(np.mean(nats)) / (math.log(2) * images.shape[1])


def trivial_bits(net: nn.Module, images: torch.Tensor, steps: int = 300) -> dict:
    """What models without any context need, fitted to these very images.

    Args:
        net (Module): its mixture says how values are discretised.
        images (Tensor): (N, C, S, S), on the grid of its values.
        steps (int): Adam steps that fit the mixture.

    Returns:
        dict: name of the model to bits per dimension.
    """
    mixture: Any = net.mixture
    pixels = images.movedim(1, -1).reshape(-1, images.shape[1])
    dims = math.log(2) * images.shape[1]
    std, mean = torch.std_mean(pixels, dim=0)
    normal = torch.distributions.Normal(mean, std)
    half = mixture.step / 2
    mass = normal.cdf(pixels + half) - normal.cdf(pixels - half)
    gaussian = -mass.clamp_min(1e-12).log().sum(-1).mean().item() / dims

    params = torch.zeros(mixture.size)
    k = mixture.components
    params[k : k * (1 + mixture.channels)] = 0.5 * torch.randn(
        k * mixture.channels, generator=torch.Generator().manual_seed(0)
    )
    params[k * (1 + mixture.channels) : k * (1 + 2 * mixture.channels)] = math.log(0.1)
    params.requires_grad_(True)
    adam = torch.optim.Adam([params], lr=0.05)
    # Every part of the images alike, and not more than the fit needs.
    part = pixels[:: max(1, len(pixels) // 20000)]
    with torch.enable_grad():
        for _ in range(steps):
            adam.zero_grad()
            (-mixture.log_prob(params, part).mean()).backward()
            adam.step()
    with torch.no_grad():
        alone = -mixture.log_prob(params, pixels).mean().item() / dims
    return {"Gaussian": gaussian, "mixture without context": alone}
