r"""Proximal operators of learned priors."""

from __future__ import annotations

import math
from typing import Any

import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.errors import unwrap
from sigpy_priors.backend.validate import (
    check_count,
    check_finite,
    check_number,
    check_shape,
)
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, check_kind

__all__ = ["DenoiserReg", "LogPriorReg", "LowRankProj"]


class _PriorReg(sp.prox.Prox):
    """What both have: arguments that are checked, and errors that SigPy wrapped."""

    def __init__(self, shape: Any, prior: Any, lamda: float, scale: float) -> None:
        self.prior = prior
        self.lamda = check_number("lamda", lamda)
        self.scale = check_number("scale", scale, strict=True)
        shape = check_shape("shape", shape)
        own = getattr(prior, "shape", None)  # of a prior for images of one size
        if own is not None and tuple(own) != shape[-len(own) :]:
            raise ValueError(
                f"shape: {prior!r} is made for images {tuple(own)}, got {shape}."
            )
        super().__init__(shape)

    def __call__(self, alpha: float, input: Array) -> Array:
        """Apply the operator.

        Args:
            alpha (float): step size, >= 0.
            input (array): complex image of this operator's shape.

        Returns:
            array: like ``input``.

        Raises:
            ValueError: if one of them is something else or not finite.
        """
        alpha = check_number("alpha", alpha)
        shape = getattr(input, "shape", None)
        if "complex" not in str(getattr(input, "dtype", "")) or (
            list(shape or ()) != list(self.shape)
        ):
            got = type(input).__name__ if shape is None else f"{input.dtype} {shape}"
            raise ValueError(
                f"input: expected a complex image of shape {tuple(self.shape)}, got "
                f"{got}."
            )
        check_finite("input", input)
        try:
            return super().__call__(alpha, input)
        except RuntimeError as e:
            # The message is in the innermost cause.
            cause = unwrap(e)
            if cause is e:
                raise
            raise cause from None


class DenoiserReg(_PriorReg):
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
        super().__init__(shape, prior, lamda, scale)

    def _prox(self, alpha, input):
        sigma = math.sqrt(2 * alpha * self.lamda) / self.scale
        if self.scale == 1:
            return self.prior.denoise(input, sigma)
        return self.scale * self.prior.denoise(input / self.scale, sigma)


class LogPriorReg(_PriorReg):
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
        self.steps = check_count("steps", steps)
        self.step_size = check_number("step_size", step_size, strict=True)
        super().__init__(shape, prior, lamda, scale)

    def _prox(self, alpha: float, input: Array) -> Array:
        weight = float(alpha * self.lamda / self.scale)
        x = input
        for _ in range(self.steps):
            ascent: Any = self.prior.grad_log_prob(x / self.scale)
            x = x - self.step_size * (x - input - weight * ascent)
        return x


class LowRankProj(sp.prox.Prox):
    r"""The nearest matrix of a rank, by a truncated singular value decomposition.

    With :class:`sigpy_priors.linop.Hankel` as its operator it is SAKE's step.

    Args:
        shape (tuple of int): of the matrix, (rows, columns), more rows than columns.
        rank (int): singular values that are kept.

    References:
        Eckart, C., & Young, G. (1936). The approximation of one matrix by another of
        lower rank. Psychometrika, 1(3).
    """

    def __init__(self, shape: tuple[int, ...], rank: int) -> None:
        shape = check_shape("shape", shape)
        if len(shape) != 2:
            raise ValueError(f"shape: expected (rows, columns), got {shape}.")
        self.rank = check_count("rank", rank, high=min(shape))
        super().__init__(shape)

    def _prox(self, alpha: float, input: Array) -> Array:
        xp = sp.get_array_module(input)
        # From the small product: the matrix has many more rows than columns.
        _, vectors = xp.linalg.eigh(input.conj().T @ input)
        kept = vectors[:, -self.rank :]
        return (input @ kept) @ kept.conj().T
