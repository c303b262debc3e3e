r"""The proximal operator that BART computes from an exported graph."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import sigpy as sp

from bart_plugin.algorithms import Numbers, as_numbers
from sigpy_priors.backend.arrays import Array
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, Prior, check_kind

__all__ = ["GraphReg"]


class GraphReg(sp.prox.Prox):
    r"""BART's ``-R TF:`` regularization, step by step.

    With s the greatest magnitude in all of the input and u = x / s,

    .. math::
        \text{prox}_{\alpha g}(x) = s\,(u - \alpha \lambda G(u)), \qquad
        G(u) = \eta_k\,(u - D(c u, \sigma_k) / c)

    or, for a density over images of n real numbers,
    :math:`G(u) = -c\, \nabla \log p(c u) / (n \ln 2)`:
    one explicit step, and no proximal operator of any function: it is here so
    that a :math:`\lambda` tuned in one toolbox serves in the other. In
    SigPy, :class:`sigpy_priors.prox.DenoiserReg` is the better choice.

    Like a graph in BART, an instance counts its calls; an input of zeros comes
    back as zeros and does not count. Call :meth:`reset` before another
    reconstruction.

    Args:
        shape (tuple of int): image shape (..., H, W).
        prior (DenoiserPrior or DensityPrior): learned prior.
        lamda (float): BART's lambda.
        sigma (float, sequence of float or None): for a denoiser, standard
            deviation of the complex noise at the prior's image scale; a sequence
            is a schedule, one level per call, whose last level stays.
        peak (float): c, greatest magnitude of an image at the prior's scale.
        relaxation (float or sequence of float): :math:`\eta`, like ``sigma``.

    Raises:
        ValueError: if a parameter is out of range or ``prior`` has no denoiser.
    """

    def __init__(
        self,
        shape: Sequence[int],
        prior: Prior,
        lamda: float,
        sigma: Numbers = None,
        peak: float = 1.0,
        relaxation: Numbers = 1.0,
    ) -> None:
        check_kind(prior)
        if isinstance(prior, DenoiserPrior) is (sigma is None):
            raise ValueError("sigma: a denoiser needs it, and a density has none.")
        if not 0 <= lamda < math.inf:
            raise ValueError(f"lamda must be >= 0 and finite, got {lamda}.")
        if not 0 < peak < math.inf:
            raise ValueError(f"peak must be > 0 and finite, got {peak}.")
        levels = np.array(as_numbers("sigma", sigma) or (1.0,))
        if not (levels > 0).all():
            raise ValueError(f"sigma: expected noise levels > 0, got {sigma}.")
        factors = np.array(as_numbers("relaxation", relaxation) or (1.0,))
        if factors.size not in (1, levels.size):
            raise ValueError(
                f"relaxation: expected one value or {levels.size} like sigma, got "
                f"{factors.size}."
            )
        self.prior = prior
        self.lamda = lamda
        self.sigma = levels
        self.peak = peak
        self.relaxation = np.broadcast_to(factors, levels.shape)
        self.calls = 0
        super().__init__(shape)

    def reset(self) -> None:
        """Start the schedule again."""
        self.calls = 0

    def _prox(self, alpha: float, input: Array) -> Array:
        xp = sp.get_array_module(input)
        scale = float(xp.abs(input).max())
        if scale == 0:
            return input.copy()
        k = min(self.calls, len(self.sigma) - 1)
        self.calls += 1
        u = input / scale
        return scale * (u - float(alpha * self.lamda) * self._gradient(u, k))

    def _gradient(self, u: Array, k: int) -> Array:
        """G(u), at the k-th noise level."""
        if isinstance(self.prior, DenoiserPrior):
            denoised = self.prior.denoise(self.peak * u, float(self.sigma[k]))
            return float(self.relaxation[k]) * (u - denoised / self.peak)
        assert isinstance(self.prior, DensityPrior)
        numbers = u.size * self.prior.channels
        ascent = self.prior.grad_log_prob(self.peak * u)
        return -self.peak / (numbers * math.log(2)) * ascent
