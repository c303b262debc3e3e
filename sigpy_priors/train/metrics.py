"""How well a denoiser denoises: PSNR at fixed noise levels, fixed images."""

import math

import numpy as np
import torch

from sigpy_priors.train.augment import complex_crop
from sigpy_priors.train.datasets import open_slices

__all__ = ["SIGMAS", "validation_set", "denoising_psnr"]

SIGMAS = (0.01, 0.03, 0.1, 0.3)


def validation_set(config, data, stride=1):
    """Whole slices with random smooth phase, the same in every run.

    Args:
        config (TrainConfig): names the validation files.
        data (str or Path): data folder.
        stride (int): what the network needs height and width to be multiples of.

    Returns:
        tuple: images and unit per-channel noise, each a tensor (N, 2, S, S).
    """
    images, peaks = open_slices(config.data.val, data, config.data.min_signal)
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


def denoising_psnr(net, clean, noise, sigmas=SIGMAS):
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
                s = torch.full((1,), sigma / 2**0.5, device=device)
                out = net(x + s * n, s)
                mse = (out - x).square().sum(dim=1).mean()
                psnr.append(-10 * torch.log10(mse).item())
            table[sigma] = float(np.mean(psnr))
    return table
