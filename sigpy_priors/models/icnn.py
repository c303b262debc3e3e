r"""A convex function of an image, by a network whose inner weights are not negative.

.. math::
    z_1 = s(A_1 x + b_1), \quad z_{k+1} = s(|W_k| z_k + A_{k+1} x + b_{k+1}), \quad
    E(x) = \sum |c|^T z_K + \frac{\mu}{2} \|x\|^2

with the convex and rising :math:`s = \text{softplus}`: sums with weights that are not
negative, and such functions of them, keep convexity, whatever the weights are.

References:
    Amos, B., Xu, L., & Kolter, J. Z. (2017). Input convex neural networks. ICML.

    Mukherjee, S., et al. (2020). Learned convex regularizers for inverse problems.
    arXiv:2008.02839. As a regulariser.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["ICNN"]


class ICNN(nn.Module):
    """Energy of every pixel (N, H, W) of channels (N, C, H, W); their sum is convex.

    Args:
        channels (int): C, 2 for real and imaginary part.
        width (int): features of each layer.
        layers (int): K.
        kernel (int): odd size of the filters A_k; those of W_k are 3.
        gain (float): on the image: softplus bends within about one unit, which is the
            deviation of noise if this is its reciprocal.
    """

    stride = 1

    def __init__(
        self,
        channels: int = 2,
        width: int = 32,
        layers: int = 3,
        kernel: int = 5,
        gain: float = 20.0,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"kernel: expected an odd size, got {kernel}.")
        self.channels, self.gain = channels, float(gain)
        self.lifts = nn.ModuleList(
            nn.Conv2d(channels, width, kernel, padding=kernel // 2)
            for _ in range(layers)
        )
        self.mixes = nn.ParameterList(
            # So that a sum of them, all positive, is about one.
            torch.randn(width, width, 3, 3) / (9 * width)
            for _ in range(layers - 1)
        )
        self.last = nn.Parameter(torch.full((width,), 1 / width))
        self.ridge = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Any) -> Any:
        x = self.gain * x
        z = F.softplus(self.lifts[0](x))
        for lift, mix in zip(self.lifts[1:], self.mixes):
            z = F.softplus(F.conv2d(z, mix.abs(), padding=1) + lift(x))
        linear = (z * self.last.abs()[:, None, None]).sum(dim=1)
        return linear + self.ridge.abs() / 2 * x.square().sum(dim=1)
