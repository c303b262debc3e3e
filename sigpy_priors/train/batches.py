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
from sigpy_priors.train.ambient import lowest_level
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
        self._bases: dict[int, torch.Tensor] = {}  # of smooth fields, by size
        self._background: Any = None  # of the phase "measured"
        if config.data.phase.model == "measured":
            self._background = phases.Background(
                config.data.phase, config.seed, self.device
            )
            self._air = self._fields_of_air()

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
        return PixelStore(fields, np.ones(self.count), self.device)

    def _draw(self, rng, sigma, gain):
        """Slices whose own noise is below the level at which they are shown."""
        u, count = rng.random(len(sigma)), np.full(len(sigma), self.count)
        if self.config.data.noise_aware:
            lowest = lowest_level(self._sorted)
            count = np.searchsorted(lowest, sigma / gain, side="right")
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
        c = self.config
        rng = np.random.default_rng((c.seed, step))
        generator = torch.Generator(self.device)
        generator.manual_seed(int(rng.integers(2**62)))
        drawn, windows = self._numbers(rng, crop)
        v = _on_device(drawn, self.device)
        if crop not in self._bases:
            self._bases[crop] = phases.smooth_basis(crop, self.device)

        img = self.store.cut(windows[0], v["places"], v["turns"], crop)
        img, own = self._with_phase(img, v, windows, generator)
        shading = self._smooth_field(v, "shading", crop)
        factor = v["gain"] * (v["shading_size"] * shading).clamp(-0.7, 0.7).exp()
        img = img * factor[:, None]
        noise = torch.randn(img.shape, generator=generator, device=self.device)
        part = self._part
        return Batch(
            img[part].contiguous(memory_format=torch.channels_last),
            noise[part],
            v["sigma"][part, 0, 0],
            (own * factor)[part, None] if c.data.noise_aware else None,
        )

    def _numbers(self, rng, crop):
        """All that is one number for an image, by name, and the windows of both stores.

        In one go: a transfer to a GPU takes as long as ten thousand numbers.
        """
        c, n = self.config, self.config.optim.batch_size
        log_sigma = rng.normal(math.log(c.sigma.center), c.sigma.spread, n)
        sigma = np.exp(log_sigma).clip(c.sigma.min, c.sigma.max)
        gain = np.exp(rng.normal(0, 0.2, n))
        chosen = self._draw(rng, sigma, gain)
        own = self.noise[chosen] if c.data.noise_aware else np.zeros(n)
        turned = (rng.random(n) < c.data.affine) & (sigma > _FAR * own * gain)
        center, matrix = placements(rng, self.store.shapes[chosen], turned, crop)
        windows = [self.store.windows(chosen, center, matrix, crop)]
        real, measured = self.store.real[chosen], self._background is not None
        # What has a phase of its own gets a smooth one on top.
        plain = np.where(real, not measured, c.data.add_phase)
        knots = phases.KNOTS[-1] ** 2
        v = {
            "sigma": sigma,
            "gain": gain,
            "own": np.where(turned, _INTERPOLATED, 1.0) * own,
            "real": real,
            "places": windows[0].places,
            "turns": windows[0].turns,
            "constant": rng.uniform(0, 2 * math.pi, n),
            "smooth": rng.integers(len(phases.KNOTS), size=n),
            "smooth_knots": rng.standard_normal((n, knots)),
            "smooth_size": rng.exponential(0.8, n) * plain,
            "tissue": rng.uniform(0.3, 0.8, n),
            "tissue_size": rng.normal(0, 0.4, n) * (rng.random(n) < 0.3) * plain * real,
            "shading": np.ones(n, np.int64),  # three knots
            "shading_knots": rng.standard_normal((n, knots)),
            "shading_size": rng.exponential(0.15, n),
        }
        if measured:
            v |= self._numbers_measured(rng, chosen, matrix)
            # Coarse pixels: the middle of the first one lies at half a fine pixel.
            coarse = self._air.windows(chosen, (center - 0.5) / 2, matrix / 2, crop)
            v |= {"air_places": coarse.places, "air_turns": coarse.turns}
            windows.append(coarse)
        return v, windows

    def _numbers_measured(self, rng, chosen, matrix):
        """Numbers of the phase "measured", whose sizes are zero for complex slices."""
        c, n, real = self.config.data.phase, len(chosen), self.store.real[chosen]
        # The field of view that pixels are a part of, and how much of it each is.
        view = self.store.shapes[chosen].max(axis=1)[:, None]
        pixel = np.linalg.norm(matrix, axis=1) / view
        strength = rng.uniform(*c.strength, n) * real
        angle = rng.uniform(0, 2 * math.pi, n)
        air = strength * rng.exponential(c.air, n) * (rng.random(n) < c.air_share)
        shift = rng.uniform(-math.pi, math.pi, n) * (rng.random(n) < c.chemical_share)
        return {
            "ramp": strength[:, None] * rng.normal(0, c.shift, (n, 2)) * pixel,
            "field": rng.integers(self._background.count, size=n),
            "field_start": rng.random((n, 2)),
            "field_step": rng.choice([-1.0, 1.0], (n, 2)) * pixel,
            "field_size": strength * rng.exponential(c.background, n),
            "air_cos": air * np.cos(angle),
            "air_sin": air * np.sin(angle),
            "chemical": rng.uniform(*c.chemical_level, n),
            "chemical_size": shift * real,
        }

    def _smooth_field(self, v, name, crop):
        return phases.smooth_fields(self._bases[crop], v[name], v[f"{name}_knots"])

    def _with_phase(self, img, v, windows, generator):
        """Multiply by a random phase; magnitudes get one in any case.

        Returns the images, and their own noise level at every pixel.
        """
        crop, real = img.shape[-1], v["real"] > 0
        # Bicubic interpolation overshoots at edges.
        mag = img[:, 0].clamp_min(0)
        phase = v["constant"]
        if self._background is None or not windows[0].real:
            phase = phase + v["smooth_size"] * self._smooth_field(v, "smooth", crop)
            phase = phase + phases.tissue_phase(mag, v["tissue"], v["tissue_size"])
        if self._background is not None:
            phase = phase + self._measured(v, mag, windows[1])
        level = v["own"]
        if self.config.data.noise_aware:
            unit = torch.randn(mag.shape, generator=generator, device=self.device)
            lost, found = restored_noise(mag, level * real, unit)
            phase = phase + lost
            level = torch.where(real, found, level)
        cos, sin = phase.cos(), phase.sin()
        re, im = torch.where(real, mag, img[:, 0]), img[:, 1]
        return torch.stack([re * cos - im * sin, re * sin + im * cos], dim=1), level

    def _measured(self, v, mag, coarse):
        """The phase "measured"."""
        crop = mag.shape[-1]
        field = self._background(v["field"], v["field_start"], v["field_step"], crop)
        air = self._air.cut(coarse, v["air_places"], v["air_turns"], crop)
        return (
            phases.linear(crop, v["ramp"])
            + v["field_size"] * field
            - v["air_cos"] * air[:, 0]
            - v["air_sin"] * air[:, 1]
            + phases.chemical_shift(mag, v["chemical"], v["chemical_size"])
        )


def _on_device(numbers, device):
    """Arrays by name (B,) or (B, K), on the device by two transfers in all.

    Those of one real number for each image have the shape (B, 1, 1) there.
    """
    out = {}
    for whole in (True, False):
        names = [k for k, a in numbers.items() if (a.dtype == np.int64) == whole]
        arrays = [numbers[k].reshape(len(numbers[k]), -1) for k in names]
        table = np.concatenate(arrays, axis=1)
        table = torch.from_numpy(table if whole else table.astype(np.float32))
        table = table.to(device, non_blocking=True)
        parts = table.split([a.shape[1] for a in arrays], dim=1)
        for name, part in zip(names, parts):
            if numbers[name].ndim > 1:
                out[name] = part
            else:
                out[name] = part[:, 0] if whole else part[..., None]
    return out
