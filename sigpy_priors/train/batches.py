"""Training batches, each a function of (seed, step) only: runs resume, and several
processes share a batch, without any state of their own.

Whatever is one number for an image is drawn on the host; pixels are made on the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sigpy_priors.train import phase as phases
from sigpy_priors.train.ambient import LEAST_SHARE
from sigpy_priors.train.pixel_store import PixelStore, placements
from sigpy_priors.train.slice_noise import restored_noise

if TYPE_CHECKING:
    from sigpy_priors.train.config import TrainConfig
    from sigpy_priors.train.datasets import Slices

__all__ = ["Batch", "Batches"]

# Noise-aware: a slice is interpolated at noise levels of so many times its own, where
# it hardly matters that interpolated noise is not white,
_FAR = 3.0
# and then it has this part of its level, the mean over positions between pixels of
# the root sum of squares of the bicubic weights, both axes.
_INTERPOLATED = 0.857
_ANGLE = 2 * math.pi


@dataclass(frozen=True)
class Batch:
    """What one step is trained on.

    Attributes:
        x (Tensor): images (B, 2, crop, crop), with the noise they came with.
        noise (Tensor): unit noise of every channel, likewise.
        sigma (Tensor): complex noise level that the network sees (B,).
        own (Tensor or None): the images' own complex noise level (B, 1, crop, crop),
            which counts towards ``sigma``.
    """

    x: torch.Tensor
    noise: torch.Tensor
    sigma: torch.Tensor
    own: torch.Tensor | None = None


class Batches:
    """Draws batches from slices that lie on the device.

    Args:
        slices (Slices): slices, weights and noise levels.
        config (TrainConfig): augmentation, noise levels and seed.
        device (device): where batches are made.
        share (tuple of int): this process's number, and how many there are.
    """

    def __init__(
        self,
        slices: Slices,
        config: TrainConfig,
        device: torch.device,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.config, self.device = config, torch.device(device)
        self.count, self.noise = len(slices.images), slices.noise
        self.store = PixelStore(slices.images, slices.scales, self.device)
        rank, size = share
        part = config.optim.batch_size // size
        self._part = slice(rank * part, (rank + 1) * part)
        # Quiet slices first: those below a level are the first so many.
        self._order = np.argsort(self.noise, kind="stable")
        self._sorted = self.noise[self._order]
        self._mass = np.cumsum(slices.weights[self._order])
        self._background: phases.Background | None = None
        if config.data.phase.model == "measured":
            self._background = phases.Background(
                config.data.phase, config.seed, self.device
            )
            self._air, self._air_store = self._fields_of_air()

    def _fields_of_air(self):
        """The two fields of every magnitude slice as a store of complex slices."""
        store, level = self.store, self.config.data.phase.air_level
        fields: list = [np.zeros((1, 1), np.complex64)] * self.count
        for shape in {tuple(s) for s in store.shapes[store.real]}:
            same = np.flatnonzero((store.shapes == shape).all(axis=1) & store.real)
            for chosen in np.array_split(same, -(-len(same) // 64)):
                pair = phases.air_fields(store.slices(chosen), level).cpu().numpy()
                for k, (a, b) in zip(chosen, pair):
                    fields[k] = a + 1j * b
        return fields, PixelStore(fields, np.ones(self.count), self.device)

    def _draw(self, rng, sigma, gain):
        """Slices whose own noise is below the level at which they are shown."""
        u, count = rng.random(len(sigma)), np.full(len(sigma), self.count)
        if self.config.data.noise_aware:
            limit = sigma * math.sqrt(1 - LEAST_SHARE) / gain
            count = np.searchsorted(self._sorted, limit, side="right")
            # None is: one that will say nothing.
            count = np.where(count == 0, self.count, count)
        at = np.searchsorted(self._mass, u * self._mass[count - 1], side="right")
        return self._order[np.minimum(at, count - 1)]

    def __call__(self, step: int, crop: int) -> Batch:
        """The batch of a step.

        Args:
            step (int): number of the step.
            crop (int): height and width of its images.

        Returns:
            Batch: this process's part of it.
        """
        c, n = self.config, self.config.optim.batch_size
        rng = np.random.default_rng((c.seed, step))
        generator = torch.Generator(self.device)
        generator.manual_seed(int(rng.integers(2**62)))
        log_sigma = rng.normal(math.log(c.sigma.center), c.sigma.spread, n)
        sigma = np.exp(log_sigma).clip(c.sigma.min, c.sigma.max)
        gain = np.exp(rng.normal(0, 0.2, n))
        chosen = self._draw(rng, sigma, gain)
        own = self.noise[chosen] if c.data.noise_aware else np.zeros(n)
        turned = (rng.random(n) < c.data.affine) & (sigma > _FAR * own * gain)
        center, matrix = placements(rng, self.store.shapes[chosen], turned, crop)
        own = np.where(turned, _INTERPOLATED, 1.0) * own

        img = self.store.cut(chosen, center, matrix, crop)
        img, own = self._with_phase(img, rng, generator, chosen, center, matrix, own)
        shading = phases.smooth_batch(rng, np.full(n, 3), crop, self.device)
        shading = self._column(rng.exponential(0.15, n)) * shading
        factor = self._column(gain) * shading.clamp(-0.7, 0.7).exp()
        img = img * factor[:, None]
        noise = torch.randn(img.shape, generator=generator, device=self.device)
        level = (own * factor)[:, None] if c.data.noise_aware else None
        part = self._part
        return Batch(
            img[part].contiguous(memory_format=torch.channels_last),
            noise[part],
            self._column(sigma)[part, 0, 0],
            level if level is None else level[part],
        )

    def _column(self, values: Any) -> torch.Tensor:
        """Numbers (B,) of the host on the device, (B, 1, 1)."""
        return self._pairs(values)[:, None, None]

    def _with_phase(self, img, rng, generator, chosen, center, matrix, own):
        """Multiply by a random phase; magnitudes get one in any case.

        Returns the images, and their own noise level at every pixel.
        """
        n = len(img)
        real = self.store.real[chosen]
        smooth = np.full(n, self._background is None)
        smooth |= ~real  # what has a phase of its own gets a smooth one on top
        plain = smooth & (real | self.config.data.add_phase)
        # Bicubic interpolation overshoots at edges.
        mag = img[:, 0].clamp_min(0)
        phase = self._column(rng.uniform(0, _ANGLE, n))
        phase = phase + self._smooth(rng, mag, plain, plain & real)
        if self._background is not None:
            phase = phase + self._measured(rng, mag, chosen, center, matrix)
        is_real = self._column(real) > 0
        level = self._column(own)
        if self.config.data.noise_aware:
            unit = torch.randn(mag.shape, generator=generator, device=self.device)
            lost, found = restored_noise(mag, level * is_real, unit)
            phase = phase + lost
            level = torch.where(is_real, found, level)
        cos, sin = phase.cos(), phase.sin()
        re, im = torch.where(is_real, mag, img[:, 0]), img[:, 1]
        return torch.stack([re * cos - im * sin, re * sin + im * cos], dim=1), level

    def _smooth(self, rng, mag, plain, tissue):
        """The phase "smooth" of some of the images."""
        n, crop = len(mag), mag.shape[-1]
        orders = rng.integers(2, 6, n)
        size = rng.exponential(0.8, n) * plain
        level = self._column(rng.uniform(0.3, 0.8, n))
        step = rng.normal(0, 0.4, n) * (rng.random(n) < 0.3) * tissue
        if not plain.any():
            return torch.zeros((), device=self.device)
        field = phases.smooth_batch(rng, orders, crop, self.device)
        phase = self._column(size) * field
        return phase + phases.tissue_phase(mag, level, self._column(step))

    def _measured(self, rng, mag, chosen, center, matrix):
        """The phase "measured" of the magnitude images, zero for others."""
        c, n, crop = self.config.data.phase, len(mag), mag.shape[-1]
        real = self.store.real[chosen]
        # The field of view that pixels are a part of, and how much of it each is.
        view = self.store.shapes[chosen].max(axis=1)[:, None]
        pixel = np.linalg.norm(matrix, axis=1) / view
        strength = rng.uniform(*c.strength, n) * real
        ramp = strength[:, None] * rng.normal(0, c.shift, (n, 2)) * pixel
        phase = phases.linear(crop, self._pairs(ramp))
        signs = rng.choice([-1.0, 1.0], (n, 2))
        field = torch.from_numpy(rng.integers(self._background.count, size=n))
        field = self._background(
            field.to(self.device, non_blocking=True),
            self._pairs(rng.random((n, 2))),
            self._pairs(signs * pixel),
            crop,
        )
        phase = (
            phase + self._column(strength * rng.exponential(c.background, n)) * field
        )
        angle = rng.uniform(0, _ANGLE, n)
        size = strength * rng.exponential(c.air, n) * (rng.random(n) < c.air_share)
        # Coarse pixels: the middle of the first one lies at half a fine pixel.
        pair = self._air_store.cut(chosen, (center - 0.5) / 2, matrix / 2, crop)
        phase = phase - self._column(size * np.cos(angle)) * pair[:, 0]
        phase = phase - self._column(size * np.sin(angle)) * pair[:, 1]
        level = rng.uniform(*c.chemical_level, n)
        size = rng.uniform(-math.pi, math.pi, n) * real
        size = size * (rng.random(n) < c.chemical_share)
        step = phases.chemical_shift(mag, self._column(level), self._column(size))
        return phase + step

    def _pairs(self, values):
        values = torch.from_numpy(np.asarray(values, np.float32))
        return values.to(self.device, non_blocking=True)
