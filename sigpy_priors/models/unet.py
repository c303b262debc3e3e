"""A residual U-Net for two-channel (real, imaginary) images, made for CPUs.

Three choices keep it fast without an accelerator: pixel-unshuffling moves
the first level to half resolution, all the work is in dense 3x3 convolutions
(the one operator that runs near a CPU's peak), and nothing normalises over
space, so that every image size behaves alike.

The phase of an MR image says little, and a network that sees every structure
at every phase learns slowly. With ``phase_width`` the smooth phase is taken
off before the network and put back after it, so that it works on nearly real
images and commutes with a rotation of the global phase.

References:
    Zhang, K., Li, Y., Zuo, W., Zhang, L., Van Gool, L., & Timofte, R. (2021).
    Plug-and-play image restoration with deep denoiser prior (DRUNet).
    IEEE TPAMI, 44(10), 6360-6376.

    Perez, E., Strub, F., de Vries, H., Dumoulin, V., & Courville, A. (2018).
    FiLM: visual reasoning with a general conditioning layer. AAAI.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["UNet"]


class SmoothPhase(nn.Module):
    """Unit phasor of a Gaussian low-pass of complex images.

    Where there is no signal, and no phase, it is shorter than one.

    Args:
        width (float): standard deviation of the Gaussian in pixels.
    """

    # Of the network's input, whose standard deviation is about one.
    floor = 1e-3

    def __init__(self, width: float) -> None:
        super().__init__()
        reach = math.ceil(2.5 * width)
        t = torch.arange(-reach, reach + 1, device="cpu") / width
        kernel = torch.exp(-(t**2) / 2)
        # Dense over the two channels, since only few runtimes know groups.
        kernel = torch.eye(2, device="cpu")[:, :, None] * (kernel / kernel.sum())
        self.register_buffer("along_h", kernel[..., None].clone(), persistent=False)
        self.register_buffer("along_w", kernel[:, :, None].clone(), persistent=False)
        self.reach = reach

    along_h: torch.Tensor
    along_w: torch.Tensor

    def forward(self, x: Any) -> Any:
        """Of images (B, 2, H, W), cosine and sine, (B, 1, H, W) each."""
        # In half precision the phase of weak signal would be far off.
        with torch.autocast(x.device.type, enabled=False):
            x = F.conv2d(x, self.along_h, padding=(self.reach, 0))
            x = F.conv2d(x, self.along_w, padding=(0, self.reach))
        size = (x.square().sum(dim=1, keepdim=True) + self.floor**2).sqrt()
        return (x / size).chunk(2, dim=1)


def _zero(parameter: Any) -> None:
    nn.init.zeros_(parameter)


def _rotate(x, cos, sin):
    """Multiply images (B, 2, H, W) by cos + i sin."""
    re, im = x.chunk(2, dim=1)
    return torch.cat([re * cos - im * sin, re * sin + im * cos], dim=1)


class Block(nn.Module):
    """Two 3x3 convolutions, scaled and shifted by the noise level between."""

    def __init__(self, channels: Any, emb_channels: Any) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(emb_channels, 2 * channels)
        # A new block is the identity, so that depth costs no stability.
        nn.init.zeros_(self.conv2.weight)
        _zero(self.conv2.bias)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Any, emb: Any) -> Any:
        scale, shift = self.film(emb)[:, :, None, None].chunk(2, dim=1)
        h = F.relu(self.conv1(x) * (1 + scale) + shift)
        return x + self.conv2(h)


class NoiseEmbedding(nn.Module):
    """Sines and cosines of the noise variable through a small network."""

    def __init__(self, channels: Any, frequencies: int = 16) -> None:
        super().__init__()
        self.register_buffer(
            "freq",
            2.0 ** torch.linspace(-2, 5, frequencies, device="cpu"),
            persistent=False,
        )
        self.linear1 = nn.Linear(2 * frequencies, channels)
        self.linear2 = nn.Linear(channels, channels)

    def forward(self, c_noise: Any) -> Any:
        phase = c_noise[:, None] * self.freq
        h = torch.cat([phase.cos(), phase.sin()], dim=1)
        return F.silu(self.linear2(F.silu(self.linear1(h))))


class UNet(nn.Module):
    """Residual U-Net over pixel-unshuffled images.

    Args:
        in_channels (int): channels of the input image, 2 for complex.
        out_channels (int): channels of the output image.
        channels (sequence of int): width of each resolution level.
        blocks (sequence of int): residual blocks of each level; they run
            once on the way down and once on the way up, on the last level
            only once.
        patch (int): pixel-unshuffle factor before the first level.
        emb_channels (int): width of the noise-level embedding.
        phase_width (float): low-pass whose phase the network does not see,
            standard deviation in pixels; 0 for none.

    Height and width of the input must be multiples of ``stride``.
    """

    def __init__(
        self,
        in_channels: int = 2,
        out_channels: int = 2,
        channels: Sequence[int] = (64, 128, 192),
        blocks: Sequence[int] = (2, 2, 4),
        patch: int = 2,
        emb_channels: int = 128,
        phase_width: float = 0.0,
    ) -> None:
        super().__init__()
        if len(channels) != len(blocks):
            raise ValueError(
                f"channels and blocks need one entry per level, "
                f"got {len(channels)} and {len(blocks)}."
            )
        if phase_width and not (
            0 < phase_width <= 100 and in_channels == out_channels == 2
        ):
            raise ValueError(
                f"phase_width is a width in pixels of complex images (2 channels in and "
                f"out), got {phase_width} for {in_channels} and {out_channels} channels."
            )
        self.phase = SmoothPhase(phase_width) if phase_width else None
        self.stride = patch * 2 ** (len(channels) - 1)
        self.patch = patch
        self.embed = NoiseEmbedding(emb_channels)
        self.head = nn.Conv2d(in_channels * patch**2, channels[0], 3, padding=1)
        self.tail = nn.Conv2d(channels[0], out_channels * patch**2, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        _zero(self.tail.bias)

        def level(width, depth):
            return nn.ModuleList(Block(width, emb_channels) for _ in range(depth))

        outer = list(zip(channels[:-1], channels[1:], blocks[:-1]))
        self.down = nn.ModuleList(level(a, n) for a, _, n in outer)
        self.pool = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b, _ in outer)
        self.middle = level(channels[-1], blocks[-1])
        self.unpool = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 2, stride=2) for a, b, _ in outer
        )
        self.up = nn.ModuleList(level(a, n) for a, _, n in outer)

    def forward(self, x: Any, c_noise: Any) -> Any:
        """Map images (B, C, H, W) and noise variables (B,) to (B, C', H, W)."""
        if self.phase is None:
            return self._network(x, c_noise)
        cos, sin = self.phase(x)
        return _rotate(self._network(_rotate(x, cos, -sin), c_noise), cos, sin)

    def _network(self: Any, x, c_noise):
        emb = self.embed(c_noise)
        h = self.head(F.pixel_unshuffle(x, self.patch))
        skips = []
        for blocks, pool in zip(self.down, self.pool):
            for block in blocks:
                h = block(h, emb)
            skips.append(h)
            h = pool(h)
        for block in self.middle:
            h = block(h, emb)
        for blocks, unpool in zip(reversed(self.up), reversed(self.unpool)):
            h = unpool(h) + skips.pop()
            for block in blocks:
                h = block(h, emb)
        return F.pixel_shuffle(self.tail(h), self.patch)
