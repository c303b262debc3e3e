"""Slices of all sizes in the memory of the device, and windows cut from many at once.

A step of training on a GPU takes about as long as the host needs to cut two crops: all
crops of a batch are cut there by one gather, and turned by one interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

__all__ = ["PixelStore", "Windows", "placements"]


@dataclass(frozen=True)
class Windows:
    """Numbers for the crops of a batch, on the host.

    Attributes:
        places (array): first pixel, height and width of the slice, first row and column
            of the window, and what separates real and imaginary part, int64 (B, 6).
        turns (array): middle of the crop in the window, and the matrix, float32 (B, 6).
        size (int): height and width of the windows.
        real (bool): whether all of the slices are magnitudes.
    """

    places: np.ndarray
    turns: np.ndarray
    size: int
    real: bool


class PixelStore:
    """Slices (H, W), magnitude or complex, one behind the other.

    In half precision: 5e-4 of the magnitude, below the least noise level.

    Args:
        device (device): where they are.

    Attributes:
        shapes (array): height and width of every slice (N, 2).
        real (array): whether it is a magnitude (N,).
    """

    def __init__(
        self, images: Sequence[np.ndarray], scales: np.ndarray, device: torch.device
    ) -> None:
        self.shapes = np.array([img.shape for img in images])
        self.real = np.array([not np.iscomplexobj(img) for img in images])
        area = self.shapes.prod(axis=1)
        sizes = area * np.where(self.real, 1, 2)
        self._starts = np.cumsum(sizes) - sizes
        flat = np.empty(sizes.sum(), np.float16)
        for img, scale, start, size in zip(images, scales, self._starts, sizes):
            img = img / np.float32(scale)
            parts = [img] if size == img.size else [img.real, img.imag]
            flat[start : start + size] = np.concatenate([p.ravel() for p in parts])
        self._flat = torch.from_numpy(flat).to(device)
        self.device = device

    def slices(self, chosen: np.ndarray) -> torch.Tensor:
        """Whole slices of one shape.

        Args:
            chosen (array): numbers of magnitude slices.

        Returns:
            Tensor: (B, H, W).
        """
        h, w = self.shapes[chosen[0]]
        index = torch.from_numpy(self._starts[chosen]).to(self.device)[:, None]
        index = index + torch.arange(int(h * w), device=self.device)
        return self._flat[index].float().reshape(-1, int(h), int(w))

    def windows(
        self, chosen: np.ndarray, center: np.ndarray, matrix: np.ndarray, crop: int
    ) -> Windows:
        """What the device needs to know to cut crops.

        Args:
            chosen (array): numbers of slices (B,).
            center (array): where the middle of each crop lies, row and column (B, 2).
            matrix (array): slice pixels per pixel of the crop (B, 2, 2): rows map to
                row and column of the slice.
            crop (int): height and width.

        Returns:
            Windows: for :meth:`cut`.
        """
        reach = np.abs(matrix).sum(axis=2).max() * (crop - 1) / 2
        # Few sizes of windows, so that memory is used again.
        size = -(-(2 * int(np.ceil(reach)) + 6) // 16) * 16
        corner = np.floor(center).astype(np.int64) - size // 2
        real, shapes = self.real[chosen], self.shapes[chosen]
        other = np.where(real, 0, shapes.prod(axis=1))
        places = np.column_stack([self._starts[chosen], shapes, corner, other])
        turns = np.column_stack([center - corner, matrix.reshape(-1, 4)])
        return Windows(places, turns.astype(np.float32), size, bool(real.all()))

    def cut(
        self, windows: Windows, places: torch.Tensor, turns: torch.Tensor, crop: int
    ) -> torch.Tensor:
        """Crops, turned and zoomed: bicubic, exact on whole pixels, zero outside.

        Args:
            windows (Windows): of :meth:`windows`.
            places (Tensor): its numbers of the same name, on the device.
            turns (Tensor): likewise.
            crop (int): height and width.

        Returns:
            Tensor: real and imaginary part (B, 2, crop, crop).
        """
        size = windows.size
        start, h, w, top, left, other = places.T[..., None, None]
        t = torch.arange(size, device=self.device)
        rows, columns = top + t[:, None], left + t  # (B, size, 1), (B, 1, size)
        inside = ((rows >= 0) & (rows < h)) & ((columns >= 0) & (columns < w))
        # Outside, any pixel of the slice.
        rows = torch.minimum(rows.clamp_min(0), h - 1)
        columns = torch.minimum(columns.clamp_min(0), w - 1)
        index = (start + rows * w) + columns
        parts = [self._flat[index] * inside]
        if not windows.real:
            parts.append(self._flat[index + other] * (inside & (other > 0)))
        out = F.grid_sample(
            torch.stack(parts, dim=1).float(),
            self._grid(turns, crop, size),
            mode="bicubic",
            align_corners=False,
        )
        return out if len(parts) == 2 else F.pad(out, (0, 0, 0, 0, 0, 1))

    def _grid(self, turns, crop, size):
        """Positions in windows as ``grid_sample`` wants them: x first, -1 to 1."""
        at, turn = turns[:, :2, None, None], turns[:, 2:].reshape(-1, 2, 2, 1, 1)
        t = torch.arange(crop, device=self.device) - (crop - 1) / 2
        at = at + turn[:, :, 0] * t[:, None] + turn[:, :, 1] * t
        # (B, 2, crop, crop): row, column
        return ((2 * at + 1) / size - 1).flip(1).permute(0, 2, 3, 1)


def placements(
    rng: np.random.Generator, shapes: np.ndarray, turned: np.ndarray, crop: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where random crops lie: windows on whole pixels, or rotated and zoomed ones.

    Args:
        rng (numpy.random.Generator): source of randomness.
        shapes (array): height and width of the slices (B, 2).
        turned (array): which ones get any angle, a zoom of 0.75 to 1.35 and a stretch of
            up to 1.27; the others a multiple of 90 degrees, and a flip.
        crop (int): height and width.

    Returns:
        tuple: center and matrix, as of :meth:`PixelStore.windows`.
    """
    n = len(shapes)
    flip = rng.choice([-1.0, 1.0], n)
    quarter = rng.integers(4, size=n) * (np.pi / 2)
    angle = np.where(turned, rng.uniform(0, 2 * np.pi, n), quarter)
    zoom = np.exp(rng.uniform(np.log(0.75), np.log(1.35), n))
    stretch = np.exp(rng.uniform(-0.12, 0.12, n))
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.stack([cos, -sin, sin, cos], axis=1).reshape(n, 2, 2)
    steps = np.stack([zoom / stretch, zoom * stretch], axis=1)
    steps = np.where(turned[:, None], steps, 1.0)
    steps[:, 1] *= flip
    matrix = np.where(turned[:, None, None], matrix, matrix.round()) * steps[:, None]
    # On whole pixels: any window inside; a slice that is smaller lies in its corner.
    u = rng.random((n, 2))
    corner = np.floor(u * (np.maximum(shapes - crop, 0) + 1))
    whole = corner + (crop - 1) / 2
    # Otherwise about as far from the middle as keeps it inside.
    reach = np.maximum(shapes - crop * zoom[:, None], 0) / 2
    free = (shapes - 1) / 2 + (2 * u - 1) * reach
    return np.where(turned[:, None], free, whole), matrix
