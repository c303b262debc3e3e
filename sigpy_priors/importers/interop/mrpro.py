"""MRpro: a prior as a proximable functional, for its ADMM, PDHG and gradient methods."""

from __future__ import annotations

import math
from typing import Any

import torch

from sigpy_priors.backend.extras import require
from sigpy_priors.backend.validate import check_number
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, check_kind

__all__ = ["functional"]


def functional(prior: DenoiserPrior, lamda: float = 1.0, scale: float = 1.0) -> Any:
    r"""The functional :math:`f(x) = -\lambda \log p(x / s)` with its prox.

    As :class:`sigpy_priors.prox.DenoiserReg`, of tensors of any batch and with a
    gradient.

    Args:
        prior (DenoiserPrior): its denoiser is the prox; the value is known of what is a
            density as well.
        lamda (float): in squared units of the image.
        scale (float): image magnitude s that the prior knows as 1.

    Returns:
        mrpro.operators.ProximableFunctional: of complex images (..., H, W).
    """
    check_kind(prior, DenoiserPrior)
    lamda = check_number("lamda", lamda, strict=True)
    scale = check_number("scale", scale, strict=True)
    [operators] = require("mrpro.operators", extra="interop")

    class PriorFunctional(operators.ProximableFunctional):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            if not isinstance(prior, DensityPrior):
                raise NotImplementedError(
                    f"{prior!r} is known by its denoiser only, which has a prox and no "
                    f"value; take a method that asks for the prox."
                )
            value: Any = prior.log_prob(x / scale)
            return (-lamda * value.sum(),)

        def prox(
            self, x: torch.Tensor, sigma: torch.Tensor | float = 1.0
        ) -> tuple[torch.Tensor]:
            level = math.sqrt(2 * float(sigma) * lamda) / scale
            denoised: Any = prior.denoise(x / scale, level)
            return (scale * denoised,)

    return PriorFunctional()
