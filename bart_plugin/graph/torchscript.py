"""A prior as TorchScript, for ``bart sample --external-graph prior.pt``.

BART feeds complex64 tensors ``x[B, Y, X]`` and ``sigma[B]`` and takes
``[B, Y, X]``. ``torch.jit`` is deprecated, so nothing else here touches it.
"""

import warnings

import torch
from torch import nn

__all__ = ["write_torchscript"]


class _Complex(nn.Module):
    def __init__(self, denoiser):
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x, sigma):
        channels = torch.view_as_real(x).permute(0, 3, 1, 2)
        out = self.denoiser(channels, sigma.real)
        return torch.view_as_complex(out.permute(0, 2, 3, 1).contiguous())


class _EachImage(nn.Module):
    """Images one at a time, for networks whose trace holds for one batch only."""

    def __init__(self, one):
        super().__init__()
        self.one = one

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        parts: list[torch.Tensor] = []
        for i in range(x.shape[0]):
            parts.append(self.one(x[i : i + 1], sigma[i : i + 1]))
        return torch.cat(parts)


def write_torchscript(module, path, shape):
    """Trace a denoiser and write it.

    Args:
        module (torch.nn.Module): from :func:`sigpy_priors.priors.module.as_module`.
        path (str or Path): file to write, ``.pt``.
        shape (sequence of int): (H, W); the batch is free.
    """
    each = any(getattr(m, "shapes_are_numbers", False) for m in module.modules())
    batch = 1 if each else 2
    x = torch.zeros((batch, *shape), dtype=torch.complex64)
    sigma = torch.ones(batch, dtype=torch.complex64)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        made = torch.jit.trace(_Complex(module), (x, sigma), check_trace=False)
        made = torch.jit.script(_EachImage(made)) if each else made
        made.save(str(path))
