"""bartorch, BART in torch without a build: a prior for its solvers.

``bartorch pics -R TF:`` has no TensorFlow; ``bartorch.optim`` takes this instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sigpy_priors.backend.extras import require
from sigpy_priors.backend.validate import check_number
from sigpy_priors.priors.base import DenoiserPrior, check_kind

__all__ = ["regularizer"]


def regularizer(
    prior: DenoiserPrior,
    sigma: float | Sequence[float],
    scale: float = 1.0,
    transform: Any = None,
) -> Any:
    """A prior in place of a proximal operator (plug-and-play).

    >>> prior = spp.interop.bartorch.regularizer(spp.load_prior("brain"), 0.05)
    >>> img = bartorch.optim.fista(y, A, prior)

    Args:
        prior (DenoiserPrior): the prior.
        sigma (float or sequence): noise level of complex noise at which it is called,
            relative to the scale; one for each iteration, the last repeated.
        scale (float): image magnitude that the prior knows as 1.
        transform (LinearOperator or None): as of bartorch's class.

    Returns:
        bartorch.priors.ImplicitPrior: of complex images (N, ..., H, W).
    """
    check_kind(prior, DenoiserPrior)
    scale = check_number("scale", scale, strict=True)
    [priors] = require("bartorch.priors", extra="interop")

    def denoise(x: torch.Tensor, level: Any) -> torch.Tensor:
        denoised: Any = prior.denoise(x / scale, float(level))
        return scale * denoised

    return priors.ImplicitPrior(denoise, sigma=sigma, transform=transform)
