"""Training pairs from a folder of images.

The files are read by :mod:`sigpy_priors.io.images`. Their scale does not matter:
each slice is divided by its own, at which priors are called
(:func:`sigpy_priors.scan.noise.estimate_scale`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from sigpy_priors.io.images import NoImage, find_images, read_slices
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.train.augment import complex_crop

if TYPE_CHECKING:
    from sigpy_priors.train.config import TrainConfig

__all__ = ["SliceDataset", "open_slices"]

# Share of an image's power below zero that is no ringing any more.
_SIGNED = 0.05


def open_slices(
    patterns: Sequence[str], root: str | Path, min_signal: float = 0.05
) -> tuple[list[np.ndarray], np.ndarray]:
    """Read every file that matches, and keep slices that show something.

    An exam is more than its images: files without one, in colour or with signed
    pixels (phase images) are left out, and a warning counts them.

    Args:
        patterns (sequence of str): as of :func:`sigpy_priors.io.images.find_images`.
        root (str or Path): data folder.
        min_signal (float): least fraction of pixels above 5 % of the scale.

    Returns:
        tuple: list of 2-D arrays, and array of their scales.

    Raises:
        ValueError: if a pattern matches nothing, a file is damaged, or no
            slice is left.
    """
    images, scales, left_out = [], [], []
    for file in find_images(patterns, root):
        try:
            slices = read_slices(file)
            _check_unsigned(file, slices)
        except NoImage as e:
            left_out.append(str(e))
            continue
        for img in slices:
            if not img.any():
                continue
            scale = estimate_scale(img)
            if (np.abs(img) > 0.05 * scale).mean() >= min_signal:
                images.append(img)
                scales.append(scale)
    if left_out:
        warnings.warn(
            f"data: {len(left_out)} files were left out, the first: {left_out[0]}",
            stacklevel=2,
        )
    if not images:
        why = f"; {left_out[0]}" if left_out else ""
        raise ValueError(f"data: no slice in {root} has enough signal{why}.")
    return images, np.array(scales)


def _check_unsigned(file: Path, slices: np.ndarray) -> None:
    """Refuse what is no magnitude; interpolation leaves a few values below zero."""
    if slices.dtype.kind in "if" and slices.min() < 0:
        negative = np.minimum(slices, 0).astype(np.float32)
        power = (
            float((negative**2).sum()),
            float((slices.astype(np.float32) ** 2).sum()),
        )
        if power[0] > _SIGNED * power[1]:
            raise NoImage(
                f"{file}: {power[0] / power[1]:.0%} of its power is below zero, expected "
                f"magnitudes: is it a phase image?"
            )


class SliceDataset(torch.utils.data.Dataset):
    """Noisy-image training pairs, each a function of (seed, index) only.

    Args:
        images (list of array): 2-D slices.
        scales (array): what each is divided by.
        config (TrainConfig): augmentation, noise levels and seed.

    Items are (x, n, sigma): clean image and unit per-channel noise
    (2, crop, crop), and the complex noise level.
    """

    def __init__(
        self, images: list[np.ndarray], scales: np.ndarray, config: TrainConfig
    ) -> None:
        self.images, self.scales, self.config = images, scales, config

    def __len__(self) -> int:
        return self.config.optim.steps * self.config.optim.batch_size

    def __getitem__(
        self, index: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        c = self.config
        rng = np.random.default_rng((c.seed, index))
        k = rng.integers(len(self.images))
        img = self.images[k] / np.float32(self.scales[k])
        step = index // c.optim.batch_size  # one size within a batch
        crop = c.data.crop[step * len(c.data.crop) // c.optim.steps]
        x = complex_crop(img, crop, rng, c.data.affine, c.data.add_phase)
        log_sigma = rng.normal(math.log(c.sigma.center), c.sigma.spread)
        sigma = np.clip(np.exp(log_sigma), c.sigma.min, c.sigma.max)
        noise = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
        return x, noise, torch.tensor(sigma, dtype=torch.float32)
