r"""A density as a loss with its true gradient, in BART's graph interface.

The loss is published normalised (Luo et al. 2020), in bits per real number,

.. math:: L(u) = -\frac{\log p(c\,u)}{n \ln 2}

with n the real numbers of all of the array and c the greatest magnitude of an
image at the prior's scale (the peak). BART prints it at debug level 5 and takes
one step :math:`s\,(u - \tau \lambda \nabla L(u))`, so that published
:math:`\lambda` keep their meaning.

References:
    Luo, G., Zhao, N., Jiang, W., Hui, E. S., & Cao, P. (2020). MRI
    reconstruction using deep Bayesian estimation. MRM, 84(4), 2246-2261.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from bart_plugin.graph.graphdef import Value
from bart_plugin.graph.interface import close_graph, images_of, open_graph
from bart_plugin.graph.translate import translate

__all__ = ["DensityLoss", "loss_graph"]


class DensityLoss(nn.Module):
    """Bits per real number of images (B, 2, H, W), all together.

    Args:
        density (torch.nn.Module): log-density (B,) in nats of such channels, from
            ``prior.module()``.
        channels (int): real numbers of a pixel that it is a density of, 1 or 2.
        peak (float): greatest magnitude of an image at the prior's scale.
    """

    def __init__(self, density: nn.Module, channels: int, peak: float = 1.0) -> None:
        super().__init__()
        self.density = density
        self.channels = channels
        self.peak = float(peak)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        numbers = x.numel() // 2 * self.channels
        return -self.density(self.peak * x).sum() / (math.log(2) * numbers)


def loss_graph(loss: DensityLoss, shape: Sequence[int]) -> bytes:
    """GraphDef of a density for ``pics -R TF:`` and ``nlinv -R TF:``.

    Args:
        loss (DensityLoss): what is written, with its gradient.
        shape (sequence of int): of ``contract.IMAGE``.

    Returns:
        bytes: the file.

    Raises:
        UntranslatedOperator: naming operators without translation.
    """
    kind = np.float32
    graph, u = open_graph(shape)
    batch, h, w = images_of(shape)
    images = graph.reshape(u, (batch, h, w, 2), kind)

    def both(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gradient, value = torch.func.grad_and_value(loss)(x)
        # BART reads the loss as a complex number.
        return torch.stack([value, torch.zeros_like(value)]), gradient

    inputs = [Value((batch, 2, h, w), kind, images)]
    value, gradient = translate(graph, both, inputs)
    return close_graph(graph, graph.use(value), graph.use(gradient), shape)
