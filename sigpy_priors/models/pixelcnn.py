r"""PixelCNN++: the exact likelihood of an image, pixel by pixel.

:math:`p(x) = \prod_i p(x_i | x_1, \dots, x_{i-1})` in raster order. Two
streams of shifted convolutions see what came before: one the rows above, the
other also the own row to the left. Each is a U-Net of gated residual blocks.

It departs from the paper where a CPU gains: every level has its own width and
depth, new blocks are the identity instead of normalised weights, ELUs are not
doubled, up-sampling has 2x2 kernels, and there is no dropout.

References:
    Salimans, T., Karpathy, A., Chen, X., & Kingma, D. P. (2017).
    PixelCNN++: improving the PixelCNN with discretized logistic mixture
    likelihood and other modifications. ICLR.

    van den Oord, A., Kalchbrenner, N., Vinyals, O., Espeholt, L., Graves, A.,
    & Kavukcuoglu, K. (2016). Conditional image generation with PixelCNN
    decoders. NeurIPS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sigpy_priors.models.logistic_mixture import LogisticMixture

__all__ = ["PixelCNN"]


class ShiftedConv(nn.Conv2d):
    """Convolution whose padding decides what it may see.

    Args:
        pad (tuple of int): left, right, top, bottom; negative ones crop.
    """

    def __init__(
        self, c_in: Any, c_out: Any, kernel: Any, pad: tuple[int, ...], stride: int = 1
    ) -> None:
        super().__init__(c_in, c_out, kernel, stride=stride)
        self.pad = pad

    def forward(self, x: Any, at: Any = None) -> Any:
        if at is None:
            return super().forward(F.pad(x, self.pad))
        window = at.window(self, x)
        if window is None:
            return None
        return F.conv2d(window, self.weight, self.bias, self.stride)


def _down(c_in, c_out, stride=1):
    """Sees this row of its input and the one above."""
    return ShiftedConv(c_in, c_out, (2, 3), (1, 1, 1, 0), stride)


def _down_right(c_in, c_out, stride=1):
    """Sees this pixel of its input, the left, the upper and the upper left."""
    return ShiftedConv(c_in, c_out, (2, 2), (1, 0, 1, 0), stride)


class GatedBlock(nn.Module):
    """Residual block with a gate, and a second input through a 1x1 kernel."""

    def __init__(self, conv: Any, width: Any, side: int = 0) -> None:
        super().__init__()
        self.conv1 = conv(width, width)
        self.side = nn.Conv2d(side, width, 1) if side else None
        self.conv2 = conv(width, 2 * width)
        # A new block is the identity, so that depth costs no stability.
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Any, side: Any = None, at: Any = None) -> Any:
        h = self.conv1(F.elu(x), at)
        if self.side is not None:
            h = h + self.side(F.elu(side))
        a, b = self.conv2(F.elu(h), at).chunk(2, dim=1)
        return x + a * torch.sigmoid(b)


class Stream(nn.Module):
    """A U-Net of gated blocks, all with one kind of shifted convolution.

    Args:
        conv (function): makes a shifted convolution.
        widths (sequence of int): channels of each level.
        depths (sequence of int): blocks of each level, on the way down and
            on the way up.
        side (bool): whether every block also gets the feature that another
            stream has at the same place.
    """

    def __init__(
        self, conv: Callable, widths: Sequence[int], depths: Sequence[int], side: bool
    ) -> None:
        super().__init__()

        def blocks(width, depth, extra):
            return nn.ModuleList(
                GatedBlock(conv, width, extra * width) for _ in range(depth)
            )

        self.down = nn.ModuleList(blocks(w, n, side) for w, n in zip(widths, depths))
        pairs = list(zip(widths[:-1], widths[1:]))
        self.pool = nn.ModuleList(conv(a, b, stride=2) for a, b in pairs)
        self.unpool = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs
        )
        self.up = nn.ModuleList(
            blocks(w, n, 1 + side) for w, n in zip(widths[:-1], depths[:-1])
        )

    def forward(self, x: torch.Tensor, side: dict | None = None, at: Any = None) -> Any:
        """Return the output and every block's feature, by its place.

        Args:
            x (Tensor): image features (B, C, H, W), or those at a cursor.
            side (dict or None): features of the other stream.
            at (Cursor or None): where to go on, in cached sampling.
        """
        features = {}
        return self._level(0, x, side, at, features), features

    def _level(self: Any, k, h, side, at, features):
        for n, block in enumerate(self.down[k]):
            place = ("down", k, n)
            h = features[place] = block(h, side and side[place], at)
        if k == len(self.pool):
            return h
        deeper = self.pool[k](h, at)
        if at is None:
            h = self.unpool[k](self._level(k + 1, deeper, side, None, features))
        else:
            if deeper is not None:
                deeper = self._level(k + 1, deeper, side, at.half(), features)
            h = at.unpool(self.unpool[k], deeper)
        for n, block in enumerate(self.up[k]):
            place = ("up", k, n)
            skip = features["down", k, len(self.down[k]) - 1 - n]
            if side:
                skip = torch.cat([skip, side[place]], dim=1)
            h = features[place] = block(h, skip, at)
        return h


class PixelCNN(nn.Module):
    """Autoregressive density of images.

    Args:
        channels (int): 2 for complex images (real, imaginary), 1 for magnitude.
        nr_filters (sequence of int): width of each resolution level.
        nr_resnet (sequence of int): gated blocks of each level.
        nr_logistic_mix (int): components of the mixture.
        levels (int): values that a channel can take.
        bound (float): they are spread from ``-bound`` to ``bound``, in units
            of the image scale.

    Attributes:
        mixture (LogisticMixture): distribution of a pixel.
        stride (int): 1, images of any size are taken.
    """

    stride = 1

    def __init__(
        self,
        channels: int = 2,
        nr_filters: Sequence[int] = (32, 48, 64),
        nr_resnet: Sequence[int] = (2, 2, 2),
        nr_logistic_mix: int = 8,
        levels: int = 513,
        bound: float = 2.0,
    ) -> None:
        super().__init__()
        if not len(nr_filters) == len(nr_resnet) > 0:
            raise ValueError(
                f"nr_filters and nr_resnet need one entry per level, "
                f"got {nr_filters} and {nr_resnet}."
            )
        self.channels = channels
        self.multiple = 2 ** (len(nr_filters) - 1)  # to which images are padded
        self.mixture = LogisticMixture(channels, nr_logistic_mix, levels, bound)
        # A channel of ones tells where the image ends.
        c, width = channels + 1, nr_filters[0]
        self.head_rows = ShiftedConv(c, width, (2, 3), (1, 1, 2, -1))
        self.head_above = ShiftedConv(c, width, (1, 3), (1, 1, 1, -1))
        self.head_left = ShiftedConv(c, width, (2, 1), (1, -1, 1, 0))
        self.rows = Stream(_down, nr_filters, nr_resnet, side=False)
        self.pixels = Stream(_down_right, nr_filters, nr_resnet, side=True)
        self.tail = nn.Linear(width, self.mixture.size)
        nn.init.zeros_(self.tail.weight)
        with torch.no_grad():
            k = nr_logistic_mix
            means = torch.linspace(-1, 1, k, device="cpu") if k > 1 else torch.zeros(1)
            self.tail.bias.zero_()
            self.tail.bias[k : k * (1 + channels)] = means.repeat(channels)
            self.tail.bias[k * (1 + channels) : k * (1 + 2 * channels)] = math.log(0.1)

    def params(self, x: Any) -> Any:
        """Mixture parameters (B, H, W, size) of every pixel, given those before."""
        height, width = x.shape[-2:]
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        x = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))
        _, side = self.rows(self.head_rows(x))
        h, _ = self.pixels(self.head_above(x) + self.head_left(x), side)
        return self.tail(F.elu(h[..., :height, :width]).permute(0, 2, 3, 1))

    def forward(self, x: Any) -> Any:
        """Log-probability in nats of every pixel (B, H, W) of (B, C, H, W)."""
        # The likelihood is a sum of many numbers: never in half precision.
        params = self.params(x)
        with torch.autocast(x.device.type, enabled=False):
            wide = params if params.dtype == torch.float64 else params.float()
            return self.mixture.log_prob(wide, x.permute(0, 2, 3, 1))
