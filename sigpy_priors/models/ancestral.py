"""Ancestral sampling from a PixelCNN with cached activations.

Drawing a pixel needs the network's output at that pixel only. Each layer keeps
the last rows of its input, so that a new pixel costs one window of each layer
instead of a pass over the image. Rows come first: the stream of rows needs
nothing of the row that is being drawn.

References:
    Ramachandran, P., et al. (2017). Fast generation for convolutional
    autoregressive models. ICLR workshop.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

__all__ = ["ancestral_sample", "Cursor"]

# The image with room for what the first layers see beyond its border.
_LEFT, _RIGHT, _TOP = 1, 1, 2


class Cursor:
    """A place in the image, and what every layer remembers of earlier ones.

    Args:
        i (int): row.
        j (int or None): column; None for the whole row at once.
        memory (dict): module to tensor, shared by all cursors of a stream.
        width (int): columns of the image at this resolution.
    """

    def __init__(self, i: int, j: int | None, memory: dict, width: int) -> None:
        self.i, self.j, self.memory, self.width = i, j, memory, width

    def half(self) -> Any:
        """The cursor at half the resolution."""
        j = None if self.j is None else self.j // 2
        return Cursor(self.i // 2, j, self.memory, self.width // 2)

    def window(self, conv: Any, x: Any) -> torch.Tensor | None:
        """What ``conv`` sees, once ``x`` (B, C, 1, W or 1) has arrived.

        Returns:
            Tensor or None: None where a strided layer has no output.
        """
        left, right, _, _ = conv.pad
        if conv not in self.memory:
            shape = (*x.shape[:2], conv.kernel_size[0], left + self.width + right)
            self.memory[conv] = x.new_zeros(shape)
        rows = self.memory[conv]
        if not self.j:  # a new row
            rows[:, :, :-1] = rows[:, :, 1:].clone()
            rows[:, :, -1] = 0
        first = left + (self.j or 0)
        rows[:, :, -1, first : first + x.shape[-1]] = x[:, :, 0]
        stride = conv.stride[0]
        if self.i % stride or (self.j or 0) % stride:
            return None
        if self.j is None:
            return rows
        return rows[..., self.j : self.j + conv.kernel_size[1]]

    def unpool(self, layer: Any, deeper: Any) -> Any:
        """The up-sampled feature here; ``deeper`` is None where it is not new."""
        if self.j is None:
            if deeper is not None:
                self.memory[layer] = deeper
            return layer(self.memory[layer])[:, :, self.i % 2, None]
        row = self.memory.setdefault(layer, {})
        if deeper is not None:
            row[self.j // 2] = layer(deeper)
        return row[self.j // 2][:, :, self.i % 2, None, self.j % 2, None]


@torch.no_grad()
def ancestral_sample(
    model: Any, shape: tuple[int, ...], noise: torch.Tensor, show_pbar: bool = True
) -> torch.Tensor:
    """Draw images from a PixelCNN.

    Args:
        model (PixelCNN): the network.
        shape (tuple of int): image shape (H, W).
        noise (Tensor): uniform numbers in (0, 1), (N, H, W, components +
            channels), which determine the images.
        show_pbar (bool): progress bar over rows.

    Returns:
        Tensor: (N, C, H, W).
    """
    height, width = shape
    n, c = len(noise), model.channels
    full = width + -width % model.multiple
    canvas = noise.new_zeros((n, c + 1, _TOP + height, _LEFT + full + _RIGHT))
    canvas[:, c, _TOP:, _LEFT : _LEFT + width] = 1  # the channel of ones
    rows_memory, pixels_memory = {}, {}

    def head(conv, i, j=None):
        left, right, top, _ = conv.pad
        y, x = _TOP - top + i, _LEFT - left + (j or 0)
        across = full + left + right if j is None else conv.kernel_size[1]
        window = canvas[:, :, y : y + conv.kernel_size[0], x : x + across]
        return F.conv2d(window, conv.weight, conv.bias)

    for i in tqdm(range(height), desc="sample", disable=not show_pbar, unit="row"):
        at = Cursor(i, None, rows_memory, full)
        _, side = model.rows(head(model.head_rows, i), at=at)
        for j in range(full if i % model.multiple == 0 else width):
            at = Cursor(i, j, pixels_memory, full)
            h = head(model.head_above, i, j) + head(model.head_left, i, j)
            here = {k: v[..., _column(v, j, full)] for k, v in side.items()}
            h, _ = model.pixels(h, here, at)
            if j >= width:
                continue
            params = model.tail(F.elu(h[:, :, 0, 0]))
            pixel = model.mixture.sample(params, noise[:, i, j])
            canvas[:, :c, _TOP + i, _LEFT + j] = pixel
    return canvas[:, :c, _TOP:, _LEFT : _LEFT + width].clone()


def _column(feature, j, full):
    """Column ``j`` of the image in a feature of any resolution."""
    k = j * feature.shape[-1] // full
    return slice(k, k + 1)
