"""A residual U-Net for two-channel (real, imaginary) images, made for CPUs.

Three choices keep it fast without an accelerator: pixel-unshuffling moves
the first level to half resolution, all the work is in dense 3x3 convolutions
(the one operator that runs near a CPU's peak), and nothing normalises over
space, so that every image size behaves alike.

References:
    Zhang, K., Li, Y., Zuo, W., Zhang, L., Van Gool, L., & Timofte, R. (2021).
    Plug-and-play image restoration with deep denoiser prior (DRUNet).
    IEEE TPAMI, 44(10), 6360-6376.

    Perez, E., Strub, F., de Vries, H., Dumoulin, V., & Courville, A. (2018).
    FiLM: visual reasoning with a general conditioning layer. AAAI.
"""

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["UNet"]


class Block(nn.Module):
    """Two 3x3 convolutions, scaled and shifted by the noise level between."""

    def __init__(self, channels, emb_channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(emb_channels, 2 * channels)
        # A new block is the identity, so that depth costs no stability.
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, x, emb):
        scale, shift = self.film(emb)[:, :, None, None].chunk(2, dim=1)
        h = F.relu(self.conv1(x) * (1 + scale) + shift)
        return x + self.conv2(h)


class NoiseEmbedding(nn.Module):
    """Sines and cosines of the noise variable through a small network."""

    def __init__(self, channels, frequencies=16):
        super().__init__()
        self.register_buffer(
            "freq", 2.0 ** torch.linspace(-2, 5, frequencies), persistent=False
        )
        self.linear1 = nn.Linear(2 * frequencies, channels)
        self.linear2 = nn.Linear(channels, channels)

    def forward(self, c_noise):
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

    Height and width of the input must be multiples of ``stride``.
    """

    def __init__(
        self,
        in_channels=2,
        out_channels=2,
        channels=(64, 128, 192),
        blocks=(2, 2, 4),
        patch=2,
        emb_channels=128,
    ):
        super().__init__()
        if len(channels) != len(blocks):
            raise ValueError(
                f"channels and blocks need one entry per level, "
                f"got {len(channels)} and {len(blocks)}."
            )
        self.stride = patch * 2 ** (len(channels) - 1)
        self.patch = patch
        self.embed = NoiseEmbedding(emb_channels)
        self.head = nn.Conv2d(in_channels * patch**2, channels[0], 3, padding=1)
        self.tail = nn.Conv2d(channels[0], out_channels * patch**2, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)

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

    def forward(self, x, c_noise):
        """Map images (B, C, H, W) and noise variables (B,) to (B, C', H, W)."""
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
