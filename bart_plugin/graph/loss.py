r"""A density as a loss with its true gradient, in BART's graph interface.

The loss is published normalised (Luo et al. 2020), in bits per real number,

.. math:: L(u) = -\frac{\log p(c\,u)}{n \ln 2}

with n the real numbers of all of the array and c the greatest magnitude of an
image at the prior's scale. BART prints it at debug level 5 and takes one step
:math:`s\,(u - \tau \lambda \nabla L(u))`, so that published :math:`\lambda`
keep their meaning. Where the data have noise :math:`\sigma_y`, the maximum of
the posterior has :math:`\lambda = n \ln 2\, \sigma_y^2 / (2 s^2)`.

References:
    Luo, G., Zhao, N., Jiang, W., Hui, E. S., & Cao, P. (2020). MRI
    reconstruction using deep Bayesian estimation. MRM, 84(4), 2246-2261.
"""

import math

import numpy as np
import torch
from torch import nn

from bart_plugin.graph.graphdef import Value
from bart_plugin.graph.translate import translate
from sigpy_priors.backend import arrays
from sigpy_priors.priors.density import ChannelDensity, NetworkDensity

__all__ = ["DensityLoss", "loss_module", "write_loss", "map_lamda"]


class DensityLoss(nn.Module):
    """Bits per real number of images (B, 2, H, W), all together.

    Args:
        prior (NetworkDensity): the density.
        peak (float): greatest magnitude of an image at its scale.
    """

    def __init__(self, prior, peak=1.0):
        super().__init__()
        self.model = prior.model
        self.peak = float(peak)

    def forward(self, x):
        x = arrays.density_channels(self.peak * x, self.model.channels)
        return -self.model(x).sum() / (math.log(2) * x.numel())


def loss_module(prior, peak=1.0):
    """The loss of a density as a torch module on the CPU, single precision.

    Args:
        prior (NetworkDensity): the density.
        peak (float): greatest magnitude of an image at its scale.

    Returns:
        DensityLoss: in evaluation mode.

    Raises:
        TypeError: if the prior has no network with a likelihood.
        ValueError: if it is a density in an ONNX file.
    """
    if isinstance(prior, ChannelDensity) and not isinstance(prior, NetworkDensity):
        raise ValueError(
            f"{prior!r} is a density in an ONNX file, which has no graph for BART: "
            f"export the .safetensors file of that prior."
        )
    if not isinstance(prior, NetworkDensity):
        raise TypeError(
            f"{prior!r} cannot be exported to BART: expected a prior with a torch "
            f"network (NetworkPrior, NetworkDensity) or a GaussianPrior."
        )
    # The prior's own network may live elsewhere or in another precision.
    single = NetworkDensity(prior.to("cpu", torch.float32))
    return DensityLoss(single, peak).eval()


def write_loss(graph, module, u, shape):
    """Write loss and gradient of images ``u`` (B, H, W, 2) into a graph.

    Args:
        graph (Graph): where the nodes go.
        module (DensityLoss): the loss.
        u (str): tensor with the images.
        shape (tuple of int): (B, H, W).

    Returns:
        tuple of str: the loss as BART's complex number (2,), and the gradient
        (B, H, W, 2).
    """
    b, h, w = shape

    def both(x):
        gradient, loss = torch.func.grad_and_value(module)(x)
        return torch.stack([loss, torch.zeros_like(loss)]), gradient

    made = translate(graph, both, [Value((b, 2, h, w), np.float32, u)])
    return tuple(graph.use(v) for v in made)


def map_lamda(prior, sigma, shape):
    r"""BART's :math:`\lambda` at which the image is the maximum of the posterior.

    Args:
        prior (NetworkDensity): the density.
        sigma (float): standard deviation of the complex noise of the data
            over the image's greatest magnitude.
        shape (tuple of int): image shape (..., H, W).

    Returns:
        float: :math:`c\,n \ln 2\,\sigma^2 / 2`, with c the prior's strength.
    """
    n = math.prod(shape) * prior.numbers
    return prior.strength * n * math.log(2) * sigma**2 / 2
