r"""Proximal operators of learned priors."""

from __future__ import annotations

import math
from typing import Any

import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, check_kind

__all__ = ["DenoiserReg", "LogPriorReg"]


def _check_weights(lamda, scale):
    if not 0 <= lamda < math.inf:
        raise ValueError(f"lamda must be >= 0 and finite, got {lamda}.")
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be > 0 and finite, got {scale}.")


class DenoiserReg(sp.prox.Prox):
    r"""Proximal operator of :math:`g(x) = -\lambda \log p(x)` by its denoiser.

    .. math::
        \text{prox}_{\alpha g}(z) = s D(z / s, \sqrt{2 \alpha \lambda} / s)

    This is exact for a Gaussian prior, where it is :class:`sigpy.prox.L2Reg`.
    With data of noise :math:`\sigma_y` and the data term
    :math:`\frac{1}{2} \|Ax - y\|^2`, the statistically right
    :math:`\lambda` is :math:`\sigma_y^2 / 2`.

    Args:
        shape (tuple of int): image shape (..., H, W).
        prior (DenoiserPrior): learned prior.
        lamda (float): regularization parameter, in squared units of the
            image.
        scale (float): image magnitude that the prior knows as 1
            (:func:`sigpy_priors.scan.noise.estimate_scale`).

    Raises:
        ValueError: if ``lamda`` or ``scale`` is out of range or ``prior``
            has no denoiser.

    References:
        Venkatakrishnan, S. V., Bouman, C. A., & Wohlberg, B. (2013).
        Plug-and-play priors for model based reconstruction. GlobalSIP.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        prior: DenoiserPrior,
        lamda: float,
        scale: float = 1.0,
    ) -> None:
        check_kind(prior, DenoiserPrior)
        _check_weights(lamda, scale)
        self.prior = prior
        self.lamda = lamda
        self.scale = scale
        super().__init__(shape)

    def _prox(self, alpha, input):
        sigma = math.sqrt(2 * alpha * self.lamda) / self.scale
        if self.scale == 1:
            return self.prior.denoise(input, sigma)
        return self.scale * self.prior.denoise(input / self.scale, sigma)


class LogPriorReg(sp.prox.Prox):
    r"""Proximal operator of :math:`g(x) = -\lambda \log p(x / s)` by gradient steps.

    From :math:`x_0 = z`, with the step size t,

    .. math::
        x_{k+1} = x_k - t\,\big(x_k - z + \alpha \nabla g(x_k)\big)

    which is gradient descent on :math:`\frac{1}{2}\|x - z\|^2 + \alpha g(x)`.
    One step of size 1 is BART's ``prox_nlgrad``. The minimum is reached with
    many steps smaller than 2 / (1 + the curvature of :math:`\alpha g`). That of a
    density of images with noise :math:`\sigma` (its card's ``sigma``) is at most about
    :math:`2 \alpha \lambda / (s \sigma)^2`. Where one gradient step for each
    of the data's is too rough, :class:`sigpy_priors.app.recon.PriorRecon` descends on
    the sum of both.

    Args:
        shape (tuple of int): image shape (..., H, W).
        prior (DensityPrior): learned prior.
        lamda (float): regularization parameter, in squared units of the image;
            with data of noise :math:`\sigma_y`, :math:`\sigma_y^2 / 2` is
            statistically right, and ``prior.strength`` times that is best.
        steps (int): gradient steps.
        step_size (float): their size.
        scale (float): image magnitude s that the prior knows as 1.

    Raises:
        ValueError: if a parameter is out of range, or ``prior`` has no density.

    References:
        Luo, G., Zhao, N., Jiang, W., Hui, E. S., & Cao, P. (2020). MRI
        reconstruction using deep Bayesian estimation. MRM, 84(4), 2246-2261.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        prior: DensityPrior,
        lamda: float,
        steps: int = 1,
        step_size: float = 1.0,
        scale: float = 1.0,
    ) -> None:
        check_kind(prior, DensityPrior)
        _check_weights(lamda, scale)
        if steps < 1 or steps != int(steps):
            raise ValueError(f"steps must be a whole number >= 1, got {steps}.")
        if not 0 < step_size < math.inf:
            raise ValueError(f"step_size must be > 0 and finite, got {step_size}.")
        self.prior, self.lamda, self.scale = prior, lamda, scale
        self.steps, self.step_size = int(steps), step_size
        super().__init__(shape)

    def _prox(self, alpha: float, input: Array) -> Array:
        weight = float(alpha * self.lamda / self.scale)
        x = input
        for _ in range(self.steps):
            ascent: Any = self.prior.grad_log_prob(x / self.scale)
            x = x - self.step_size * (x - input - weight * ascent)
        return x
