"""From a stored slice to one training example, reproducibly.

Every random choice comes from the generator that is passed in, so a sample is
a function of (seed, index) alone: runs resume, and several processes share a
batch, without any state of their own.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from sigpy_priors.backend.arrays import Array

__all__ = ["complex_crop", "smooth_field"]


def _normal(rng, shape):
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def smooth_field(
    rng: np.random.Generator, size: tuple[int, ...], order: int
) -> torch.Tensor:
    """Random smooth real field of shape ``size``, about unit variance.

    Args:
        rng (numpy.random.Generator): source of randomness.
        size (tuple of int): height and width.
        order (int): number of random knots per axis, at least 2.

    Returns:
        torch.Tensor: float32, shape ``size``, bicubic between the knots.
    """
    knots = _normal(rng, (1, 1, order, order))
    return F.interpolate(knots, size=size, mode="bicubic", align_corners=True)[0, 0]


def _geometry(img, crop, rng, affine):
    """Random rotation, flip, zoom and crop of channels (C, H, W)."""
    if rng.random() >= affine:
        k, flip = int(rng.integers(4)), bool(rng.integers(2))
        img = torch.rot90(img, k, (-2, -1))
        img = img.flip(-1) if flip else img
        pad = [max(0, crop - n) for n in img.shape[-2:]]
        img = F.pad(img, (0, pad[1], 0, pad[0]))
        i, j = (int(rng.integers(n - crop + 1)) for n in img.shape[-2:])
        return img[:, i : i + crop, j : j + crop]

    # One resampling for everything: output pixels -> input pixels.
    angle = rng.uniform(0, 2 * np.pi)
    zoom = np.exp(rng.uniform(np.log(0.75), np.log(1.35)))
    stretch = np.exp(rng.uniform(-0.12, 0.12))
    flip = rng.choice([-1.0, 1.0])
    step = np.array([zoom * stretch * flip, zoom / stretch])
    rot = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mat = rot * step  # input pixels per output pixel
    h, w = img.shape[-2:]
    reach = np.array([w, h]) / 2 - np.minimum(crop * zoom / 2, [w / 2, h / 2])
    center = rng.uniform(-1, 1, 2) * reach
    half = np.array([w, h]) / 2
    theta = np.column_stack([mat * (crop / 2) / half[:, None], center / half])
    grid = F.affine_grid(
        torch.from_numpy(theta[None].astype(np.float32)),
        [1, 1, crop, crop],
        align_corners=False,
    )
    return F.grid_sample(img[None], grid, mode="bicubic", align_corners=False)[0]


def _phase(magnitude, rng):
    """Random phase of a magnitude image: constant, smooth, and chemical shift.

    Coil phase, B0 and flow give a smooth phase of a few cycles at most; fat
    and susceptibility give one that follows the tissue, so a bounded function
    of the magnitude is added now and then.
    """
    size = magnitude.shape[-2:]
    phase = torch.full(size, float(rng.uniform(0, 2 * np.pi)))
    phase = phase + rng.exponential(0.8) * smooth_field(rng, size, rng.integers(2, 6))
    if rng.random() < 0.3:
        level = rng.uniform(0.3, 0.8)
        tissue = torch.tanh((magnitude - level) / 0.1)
        phase = phase + rng.normal(0, 0.4) * tissue
    return phase


def complex_crop(
    img: Array,
    crop: int,
    rng: np.random.Generator,
    affine: float = 0.4,
    add_phase: bool = True,
) -> torch.Tensor:
    """Draw one complex training image from a stored slice.

    Args:
        img (array): magnitude (H, W) or complex (H, W), 99.8th percentile of
            the magnitude about 1.
        crop (int): height and width of the result in pixels.
        rng (numpy.random.Generator): source of randomness.
        affine (float): probability of a continuous rotation and zoom, in
            place of right-angle rotations and flips.
        add_phase (bool): multiply by a random smooth phase. Magnitude images
            always get one.

    Returns:
        torch.Tensor: float32, shape (2, crop, crop): real, imaginary.
    """
    magnitude_only = not np.iscomplexobj(img)
    if magnitude_only:
        img = torch.from_numpy(np.ascontiguousarray(img, np.float32))[None]
    else:
        img = torch.view_as_real(torch.from_numpy(img.astype(np.complex64)))
        img = img.permute(2, 0, 1)
    img = _geometry(img, crop, rng, affine)
    if magnitude_only:
        img = img.clamp_min(0)  # bicubic interpolation overshoots at edges

    gain = np.exp(rng.normal(0, 0.2))
    shading = rng.exponential(0.15) * smooth_field(rng, img.shape[-2:], 3)
    img = img * (gain * torch.exp(shading.clamp(-0.7, 0.7)))

    if magnitude_only:
        phase = _phase(img[0], rng)
        return torch.stack([img[0] * phase.cos(), img[0] * phase.sin()])
    phase = torch.full(img.shape[-2:], float(rng.uniform(0, 2 * np.pi)))
    if add_phase:
        phase = phase + rng.exponential(0.8) * smooth_field(
            rng, img.shape[-2:], int(rng.integers(2, 6))
        )
    cos, sin = phase.cos(), phase.sin()
    return torch.stack([img[0] * cos - img[1] * sin, img[0] * sin + img[1] * cos])
