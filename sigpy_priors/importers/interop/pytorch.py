"""Beside :mod:`sigpy.pytorch`: priors on tensors in its layout, for unrolled networks.

``prior.denoise`` takes complex tensors, with gradients, as it takes arrays. SigPy's own
functions make real tensors (..., 2) of complex arrays; so does this one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sigpy_priors.priors.base import DenoiserPrior, check_kind

__all__ = ["denoiser"]


def denoiser(prior: DenoiserPrior) -> Callable[[torch.Tensor, Any], torch.Tensor]:
    """A prior on what :func:`sigpy.pytorch.to_pytorch` gives.

    >>> normal = sigpy.pytorch.to_pytorch_function(A.N, True, True).apply
    >>> denoise = spp.interop.pytorch.denoiser(prior)
    >>> x = denoise(x - alpha * (normal(x) - AHy), sigma)

    Args:
        prior (DenoiserPrior): the prior.

    Returns:
        callable: of real tensors (..., H, W, 2) and the level of complex noise;
        differentiable.
    """
    check_kind(prior, DenoiserPrior)

    def denoise(x: torch.Tensor, sigma: Any) -> torch.Tensor:
        if x.shape[-1] != 2 or x.is_complex():
            raise ValueError(
                f"expected a real tensor (..., H, W, 2) as of sigpy.pytorch, got "
                f"{x.dtype} {tuple(x.shape)}."
            )
        denoised: Any = prior.denoise(torch.view_as_complex(x.contiguous()), sigma)
        return torch.view_as_real(denoised.resolve_conj())

    return denoise
