r"""Proximal operators of learned priors."""

import math

import sigpy as sp

from sigpy_priors.checks import check_denoiser
from sigpy_priors.graphreg import GraphReg

__all__ = ["DenoiserReg", "GraphReg"]


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
            (:func:`sigpy_priors.noise.estimate_scale`).

    Raises:
        ValueError: if ``lamda`` or ``scale`` is out of range or ``prior``
            has no denoiser.

    References:
        Venkatakrishnan, S. V., Bouman, C. A., & Wohlberg, B. (2013).
        Plug-and-play priors for model based reconstruction. GlobalSIP.
    """

    def __init__(self, shape, prior, lamda, scale=1.0):
        check_denoiser(prior)
        if not 0 <= lamda < math.inf:
            raise ValueError(f"lamda must be >= 0 and finite, got {lamda}.")
        if not 0 < scale < math.inf:
            raise ValueError(f"scale must be > 0 and finite, got {scale}.")
        self.prior = prior
        self.lamda = lamda
        self.scale = scale
        super().__init__(shape)

    def _prox(self, alpha, input):
        sigma = math.sqrt(2 * alpha * self.lamda) / self.scale
        if self.scale == 1:
            return self.prior.denoise(input, sigma)
        return self.scale * self.prior.denoise(input / self.scale, sigma)
