r"""Discretised mixture of logistic distributions over the channels of a pixel.

A channel takes values on a grid of step :math:`\Delta` in
:math:`[-b, b]`. Component k gives the value v the probability

.. math::
    P_k(v) = \sigma\Big(\frac{v - m_k + \Delta/2}{s_k}\Big)
           - \sigma\Big(\frac{v - m_k - \Delta/2}{s_k}\Big),

the outermost values have the tails too. The second channel's mean is
:math:`m_k + \tanh(c_k) v_1`: the imaginary part knows the real one. Between
the grid points the same formula is read as a continuous function, so that an
image can be moved along its gradient.

The difference of two sigmoids is computed as
:math:`\sigma(a) - \sigma(b) = \sigma(a)\,\sigma(-b)\,(1 - e^{b - a})`, which
is exact in the tails, where subtracting is not.

References:
    Salimans, T., Karpathy, A., Chen, X., & Kingma, D. P. (2017).
    PixelCNN++: improving the PixelCNN with discretized logistic mixture
    likelihood and other modifications. ICLR.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

__all__ = ["LogisticMixture"]

# Beyond the upper one, which only images far from the grid ask for, single
# precision would call every value impossible.
_LOG_SCALE = (-7.0, 7.0)


class LogisticMixture:
    """The distribution of one pixel, from a vector of parameters.

    Args:
        channels (int): 1 for magnitude, 2 for complex images.
        components (int): logistic distributions in the mixture.
        levels (int): grid points of a channel.
        bound (float): the grid is from ``-bound`` to ``bound``.

    Attributes:
        size (int): parameters of a pixel: weights, means, log-scales, and
            for two channels couplings, ``components`` of each for each channel.
        step (float): distance of grid points.
    """

    def __init__(
        self, channels: int, components: int, levels: int, bound: float
    ) -> None:
        if channels not in (1, 2):
            raise ValueError(f"channels must be 1 or 2, got {channels}.")
        if components < 1 or levels < 2 or not bound > 0:
            raise ValueError(
                f"expected components >= 1, levels >= 2 and bound > 0, "
                f"got {components}, {levels} and {bound}."
            )
        self.channels, self.components = channels, components
        self.bound = float(bound)
        self.step = 2 * self.bound / (levels - 1)
        self.size = components * 3 * channels

    def quantize(self, x: Any) -> Any:
        """The nearest values of the grid."""
        k = ((x.clamp(-self.bound, self.bound) + self.bound) / self.step).round()
        return k * self.step - self.bound

    def log_prob(self, params: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Log-probability in nats of every pixel.

        Args:
            params (Tensor): (..., size).
            x (Tensor): values (..., channels).

        Returns:
            Tensor: shape (...).
        """
        parts = params.split(self.components, dim=-1)
        total = parts[0].log_softmax(-1)
        for channel in range(self.channels):
            v = x[..., channel, None]
            mean, log_scale = self._channel(parts, channel, x)
            inv = torch.exp(-log_scale)
            above = (v - mean + self.step / 2) * inv
            below = (v - mean - self.step / 2) * inv
            left, right = F.logsigmoid(above), F.logsigmoid(-below)
            inner = left + right + torch.log(-torch.expm1(-self.step * inv))
            edge = self.bound - self.step / 2
            total = total + torch.where(
                v < -edge, left, torch.where(v > edge, right, inner)
            )
        return total.logsumexp(-1)

    def sample(self, params: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Draw values of pixels.

        Args:
            params (Tensor): (..., size).
            noise (Tensor): uniform numbers in (0, 1),
                (..., components + channels).

        Returns:
            Tensor: values on the grid, (..., channels).
        """
        parts = params.split(self.components, dim=-1)
        pick, u = noise[..., : self.components], noise[..., self.components :]
        # The largest of weights plus Gumbel noise is a draw from them.
        k = (parts[0] - (-pick.log()).log()).argmax(-1, keepdim=True)
        x = torch.zeros_like(u)
        for channel in range(self.channels):
            mean, log_scale = self._channel(parts, channel, x)
            mean, log_scale = (
                mean.gather(-1, k)[..., 0],
                log_scale.gather(-1, k)[..., 0],
            )
            value = mean + log_scale.exp() * torch.logit(u[..., channel])
            x[..., channel] = self.quantize(value)
        return x

    def _channel(self, parts, channel, x):
        mean, log_scale = parts[1 + channel], parts[1 + self.channels + channel]
        if channel:
            mean = mean + parts[-1].tanh() * x[..., :1]
        return mean, log_scale.clamp(*_LOG_SCALE)
