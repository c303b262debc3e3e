r"""Several priors of one image, each with a weight.

.. math::
    \log p(x) = \sum_i w_i \log p_i(x) + \text{const}

This is exact for densities. For denoisers the composition is

.. math::
    D(x, \sigma) = x + \sum_i w_i \big( D_i(x, \sigma) - x \big)

the sum of the scores. At :math:`\sigma \to 0` that is the score of the product; above,
it is not: noise does not factorise, and the score of a noisy product lies nearer to
zero than the sum (for n equal Gaussians of variance v, :math:`1 / (v / n + \sigma^2)`
and not :math:`n / (v + \sigma^2)`). With weights whose sum is one it is the weighted
mean of the denoised images. :class:`sigpy_priors.app.recon.PriorRecon` does not use it:
there every factor is a prox of its own, and their common limit minimises the sum.

References:
    Hinton, G. E. (2002). Training products of experts by minimizing contrastive
    divergence. Neural Computation, 14(8).

    Du, Y., et al. (2023). Reduce, reuse, recycle: compositional generation with
    energy-based diffusion models and MCMC. ICML. Section 3: products under noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_number
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, Prior, check_kind

__all__ = ["Product"]


class Product(Prior):
    """Product of priors: a density of densities, a denoiser of denoisers.

    Args:
        priors (sequence of Prior): factors, all with a density or all with a denoiser;
            with one of each :class:`sigpy_priors.app.recon.PriorRecon` can deal, as a
            list.
        weights (sequence of float or None): exponents > 0, 1 by default.

    Attributes:
        priors (tuple of Prior), weights (tuple of float): factors.

    Raises:
        ValueError: if these do not fit.
    """

    def __new__(cls, priors: Sequence[Prior], *args: Any, **kwargs: Any) -> Product:
        if cls is Product:
            for prior in priors:
                check_kind(prior)
            kinds = [
                bool(len(priors)) and all(isinstance(p, k) for p in priors)
                for k in (DenoiserPrior, DensityPrior)
            ]
            if not any(kinds):
                raise ValueError(
                    f"priors: expected one or more denoisers, or densities, got "
                    f"{list(priors)}; PriorRecon takes a list of both kinds."
                )
            kind = _Both if all(kinds) else _Denoiser if kinds[0] else _Density
            return object.__new__(kind)
        return super().__new__(cls)

    def __init__(
        self, priors: Sequence[Prior], weights: Sequence[float] | None = None
    ) -> None:
        self.priors: tuple[Any, ...] = tuple(priors)
        weights = [1.0] * len(self.priors) if weights is None else weights
        if len(weights) != len(self.priors):
            raise ValueError(
                f"weights: expected {len(self.priors)}, one for each prior, got "
                f"{len(weights)}."
            )
        self.weights = tuple(check_number("weights", w, strict=True) for w in weights)
        if len({p.event_ndim for p in self.priors}) > 1:
            raise ValueError(
                f"priors: expected the same number of axes for an image, got "
                f"{[p.event_ndim for p in self.priors]}; Lifted(prior, W) brings one "
                f"to other coordinates."
            )
        shapes = {tuple(s) for p in self.priors if (s := getattr(p, "shape", None))}
        if len(shapes) > 1:
            raise ValueError(f"priors: expected images of one shape, got {shapes}.")
        if shapes:
            self.shape = shapes.pop()
        self.event_ndim = self.priors[0].event_ndim
        strengths = [p.strength for p in self.priors]
        self.strength = float(np.average(strengths, weights=self.weights))

    def module(self) -> Any:
        from sigpy_priors.priors.lift_module import product_module

        return product_module(self)

    def _check(self, x):
        for prior in self.priors:
            prior._check(x)

    def __repr__(self) -> Any:
        parts = (f"{w:g} {p!r}" for w, p in zip(self.weights, self.priors))
        return f"<Product {', '.join(parts)}>"


class _Denoiser(Product, DenoiserPrior):
    def __init__(self, priors: Any, weights: Any = None) -> None:
        super().__init__(priors, weights)
        ranges = [p.sigma_range for p in self.priors]
        self.sigma_range = (max(r[0] for r in ranges), min(r[1] for r in ranges))

    def _denoise(self, x, sigma):
        return self._denoise_held(x, sigma)

    def _denoise_held(self, x, sigma):
        steps = (p._denoise_any(x, sigma) - x for p in self.priors)
        return x + sum(w * step for w, step in zip(self.weights, steps))


class _Density(Product, DensityPrior):
    normalised = False

    def __init__(self, priors: Any, weights: Any = None) -> None:
        super().__init__(priors, weights)
        self.channels = max(p.channels for p in self.priors)

    def log_prob(self, x: Array) -> Array:
        return sum(w * p.log_prob(x) for w, p in zip(self.weights, self.priors))

    def log_prob_and_grad(self, x: Array) -> tuple:
        parts = [p.log_prob_and_grad(x) for p in self.priors]
        value, grad = zip(*parts)
        return tuple(
            sum(w * v for w, v in zip(self.weights, part)) for part in (value, grad)
        )

    def grad_log_prob(self, x: Array) -> Array:
        return self.log_prob_and_grad(x)[1]


class _Both(_Denoiser, _Density):
    """Both."""
