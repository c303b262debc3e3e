"""A prior as a torch module over real channels, ready to be traced.

``module(x, sigma)`` takes images (B, 2, H, W) and complex noise levels (B,)
and returns E[x0 | x0 + n = x]; the factor sqrt(2) of the network's edge, the
padding to its stride and the lower end of its noise range are inside.
"""

import torch
from torch import nn
from torch.nn import functional as F

from sigpy_priors.prior import DenoiserPrior

__all__ = ["as_module"]

# Modes beyond which a closed-form Gaussian is no sensible graph constant.
_MAX_MODES = 4096


class NetworkDenoiser(nn.Module):
    """What :class:`sigpy_priors.network.NetworkPrior` computes."""

    def __init__(self, prior):
        super().__init__()
        self.model = prior.model
        self.low = float(prior.sigma_range[0])
        self.stride = getattr(prior.model, "stride", 1)

    def forward(self, x, sigma):
        h, w = x.shape[-2:]
        sigma = sigma.clamp_min(self.low) / 2**0.5
        if h % self.stride or w % self.stride:
            x = F.pad(x, (0, -w % self.stride, 0, -h % self.stride), mode="replicate")
        return self.model(x, sigma)[..., :h, :w]


class GaussianDenoiser(nn.Module):
    r"""Closed form of :class:`sigpy_priors.gaussian.GaussianPrior`.

    :math:`D = m + V \Lambda (\Lambda + \sigma^2)^{-1} V^H (x - m)`, with the
    complex V as a real matrix over stacked real and imaginary parts.
    """

    def __init__(self, component):
        super().__init__()
        modes = component.modes
        n = modes.values.numel()
        v = modes.adjoint(torch.eye(n, dtype=torch.complex128)).reshape(n, n).T
        top = torch.cat([v.real, -v.imag], dim=1)
        bottom = torch.cat([v.imag, v.real], dim=1)
        mean = torch.view_as_real(component.mean).permute(2, 0, 1)
        self.register_buffer("basis", torch.cat([top, bottom]).float())
        self.register_buffer("values", modes.values.repeat(2).float())
        self.register_buffer("mean", mean.float().contiguous())

    def forward(self, x, sigma):
        c = (x - self.mean).reshape(x.shape[0], -1) @ self.basis
        c = c * (self.values / (self.values + sigma[:, None] ** 2))
        return self.mean + (c @ self.basis.T).reshape(x.shape)


def as_module(prior):
    """Denoiser of a prior as a torch module.

    Args:
        prior (NetworkPrior or GaussianPrior): any prior with a graph.

    Returns:
        torch.nn.Module: in evaluation mode, single precision, on the CPU.

    Raises:
        TypeError: if the prior is neither a network nor a Gaussian.
        ValueError: if a Gaussian is too large to be written as a matrix.
    """
    denoises = isinstance(prior, DenoiserPrior)
    if denoises and isinstance(getattr(prior, "model", None), nn.Module):
        made = NetworkDenoiser(prior)
    elif len(getattr(prior, "components", ())) == 1:
        size = prior.components[0].modes.values.numel()
        if size > _MAX_MODES:
            raise ValueError(
                f"a Gaussian of {size} modes is too large for a graph, at most "
                f"{_MAX_MODES}."
            )
        made = GaussianDenoiser(prior.components[0])
    else:
        raise TypeError(
            f"{prior!r} cannot be exported to BART: expected a prior with a torch "
            f"network (NetworkPrior) or a GaussianPrior."
        )
    made = made.eval().requires_grad_(False)
    if any(p.device.type != "cpu" or p.dtype == torch.float64 for p in made.buffers()):
        import copy

        made = copy.deepcopy(made).cpu().float()
    return made
