r"""What a prior is: the one contract that everything else speaks.

A prior works on complex images (..., H, W); each image of a batch is a draw of
its own. Noise levels are those of complex noise
:math:`n \sim CN(0, \sigma^2)`, :math:`E|n|^2 = \sigma^2`, as in
:func:`sigpy.util.randn` and BART.

A :class:`DenoiserPrior` states :math:`D(x, \sigma) = E[x_0 | x_0 + n = x]`,
hence by Tweedie's formula the score
:math:`\partial \log p_\sigma / \partial \bar x = (D(x, \sigma) - x)/\sigma^2`.
A :class:`DensityPrior` states :math:`\log p(x)` in nats.

References:
    Efron, B. (2011). Tweedie's formula and selection bias. JASA, 106(496).
"""

from __future__ import annotations

import abc
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sigpy_priors.backend import arrays
from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_finite

if TYPE_CHECKING:
    from torch import nn

# A noise level below it has a square that is zero in single precision.
_LEAST = 1e-18

__all__ = ["Prior", "DenoiserPrior", "DensityPrior", "check_kind"]


class Prior(abc.ABC):  # noqa: B024  its kinds have the abstract methods
    """Abstract: knowledge of what images look like.

    Attributes:
        card (PriorCard or None): what the prior is and was trained on.
        evaluations (int): images that went through the prior so far.
        event_ndim (int): trailing axes that are one draw, 2 for an image;
            those before them are batch.
        default_solver (str): of :class:`sigpy_priors.app.PriorRecon`.
        strength (float): factor on the statistically right weight of the
            prior at which reconstructions are best; 1 for an exact prior,
            calibrated for a network, whose denoiser is not quite a prox.
    """

    card = None
    evaluations = 0
    event_ndim = 2
    default_solver = ""
    strength = 1.0

    def module(self) -> nn.Module:
        """The prior as a torch module over real channels, ready to be traced.

        Returns:
            torch.nn.Module: evaluating, on the CPU, in single precision
            (:mod:`sigpy_priors.priors.module`).

        Raises:
            TypeError: if there is no such module: why.
        """
        raise TypeError(
            f"{self!r} has no torch graph that could be exported: expected a network "
            f"(NetworkPrior, NetworkDensity, EnergyPrior), a GaussianPrior, or Lifted and "
            f"Product of such."
        )

    def _check(self, x):
        if not hasattr(x, "dtype"):
            raise ValueError(
                f"{self!r}: expected an image, a numpy, cupy or torch array (..., H, W), "
                f"got {type(x).__name__}."
            )
        n = self.event_ndim
        if x.ndim < n or 0 in x.shape[-n:]:
            axes = "H, W" if n <= 2 else f"{n - 2} more axes, H, W"
            raise ValueError(
                f"{self!r}: expected an image (..., {axes}), got shape "
                f"{tuple(x.shape)}."
            )
        # numpy's letters; torch has names only. '>c8' is of another byte order.
        if getattr(x.dtype, "kind", "") != "c" and "complex" not in str(x.dtype):
            raise ValueError(
                f"{self!r}: expected a complex image, got {x.dtype}; "
                f"convert it with .astype(complex)."
            )
        check_finite(f"{self!r}: x", x)

    def __repr__(self) -> Any:
        name = self.card.name if self.card else ""
        return f"<{type(self).__name__} {name}>".replace(" >", ">")


class DenoiserPrior(Prior):
    """Abstract: a prior known through its denoiser.

    Subclasses implement ``_denoise`` for torch tensors.

    Attributes:
        sigma_range (tuple of float): noise levels that it was made for. Below
            them its score is held at that of the lowest.
    """

    sigma_range = (0.0, float("inf"))
    default_solver = "hqs"

    @abc.abstractmethod
    def _denoise(self, x, sigma):
        """Denoise tensors: images (N, H, W) at noise levels (N,) in the range."""

    def _denoise_held(self, x, sigma):
        """The same at any noise levels up to the highest."""
        from sigpy_priors.priors.module import score_held

        return score_held(self._denoise, x, sigma, self.sigma_range[0])

    def denoise(self, x: Array, sigma: float | Array) -> Array:
        r"""The posterior mean :math:`E[x_0 | x_0 + n = x]`.

        Args:
            x (array): noisy images (..., H, W), complex, numpy, cupy or torch.
                A torch tensor that requires a gradient gets one.
            sigma (float or array): standard deviation of the complex noise,
                in the units of ``x``; an array broadcasts to the batch axes.

        Returns:
            array: of the shape, dtype, kind and device of ``x``.

        Raises:
            ValueError: if ``x`` is no complex image, or sigma is negative,
                not finite, above ``sigma_range``, or of a shape that does
                not fit the batch.
        """
        self._check(x)
        with arrays.on_stream_of(x):
            out = self._denoise_any(arrays.to_torch(x), sigma)
            return arrays.from_torch(out, x)

    def _denoise_any(self, z, sigma):
        """Denoise a tensor of any batch axes at checked noise levels."""
        import torch

        batch, event = z.shape[: -self.event_ndim], z.shape[-self.event_ndim :]
        # A number stays on the CPU: checking it must not wait for a GPU.
        try:
            s = torch.as_tensor(sigma, dtype=z.real.dtype)
        except (TypeError, ValueError, RuntimeError, OverflowError) as e:
            raise ValueError(
                f"{self!r}: sigma must be a number or an array of them, got {sigma!r}."
            ) from e
        high = self.sigma_range[1]
        if not ((s >= 0) & (s <= high)).all():
            raise ValueError(
                f"{self!r}: sigma must be between 0 and {high:g}, got "
                f"{s.min():g} to {s.max():g}; is the image divided by its scale?"
            )
        try:
            s = s.broadcast_to(batch).reshape(-1)
        except RuntimeError:
            raise ValueError(
                f"{self!r}: sigma of shape {tuple(s.shape)} does not fit the "
                f"batch axes {tuple(batch)} of x."
            ) from None
        with torch.set_grad_enabled(z.requires_grad):
            flat = z.reshape((-1,) + event)
            if not len(flat):  # which few networks take
                return z
            out = self._denoise_held(flat, s.to(z.device))
        self.evaluations += len(flat)
        what = f"{self!r}: the denoised image"
        check_finite(what, out, "expected none: is x divided by its scale?")
        return out.reshape(z.shape)

    def score(self, x: Array, sigma: float) -> Array:
        r"""Score of the noisy distribution,
        :math:`\partial \log p_\sigma / \partial \bar x = (D - x)/\sigma^2`.

        Args:
            x (array): noisy images (..., H, W), complex.
            sigma (float): standard deviation of the complex noise, > 0.

        Returns:
            array: like ``x``; half the real gradient over (re, im).
        """
        denoised = self.denoise(x, sigma)
        s: Any = sigma if hasattr(sigma, "dtype") else np.asarray(sigma)
        if not bool((s > _LEAST).all()):
            raise ValueError(f"{self!r}: sigma must be > 0 for a score, got {s}.")
        return (denoised - x) / (s**2 if s.ndim else float(s) ** 2)


class DensityPrior(Prior):
    """Abstract: a prior known through its log-density.

    Attributes:
        channels (int): real numbers of a pixel that it is a density of: 2, or
            1 for the magnitude.
        normalised (bool): whether it integrates to one, so that its value can be
            compared with that of another density.
    """

    default_solver = "LBFGS"
    channels = 2
    normalised = True

    @abc.abstractmethod
    def log_prob(self, x: Array) -> Array:
        """Log-density in nats.

        Args:
            x (array): images (..., H, W), complex.

        Returns:
            array: real, shape (...).
        """

    def bits_per_dim(self, x: Array) -> Array:
        """Negative log-density in bits per real number.

        Args:
            x (array): images (..., H, W), complex.

        Returns:
            array: shape (...).

        Raises:
            TypeError: if the density is known up to a factor only.
        """
        if not self.normalised:
            raise TypeError(
                f"{self!r} is known up to a factor only, expected a density that "
                f"integrates to one; compare its log_prob between images."
            )
        nats = self.log_prob(x)
        return -nats / (math.log(2) * x.shape[-1] * x.shape[-2] * self.channels)

    def log_prob_and_grad(self, x: Array) -> tuple:
        """Both at once, which networks do in one pass.

        Args:
            x (array): images (..., H, W), complex.

        Returns:
            tuple: :meth:`log_prob` and :meth:`grad_log_prob`.
        """
        return self.log_prob(x), self.grad_log_prob(x)

    @abc.abstractmethod
    def grad_log_prob(self, x: Array) -> Array:
        r"""The real gradient over (re, im), read as a complex number:
        :math:`2 \partial \log p / \partial \bar x`.

        Args:
            x (array): images (..., H, W), complex.

        Returns:
            array: like ``x``.
        """


def check_kind(prior: Any, *kinds: Any) -> None:
    """Raise a ValueError unless a prior is of one of these kinds.

    Args:
        prior (object): what was given as one.
        *kinds (type): abstract classes; default any kind of prior.
    """
    kinds = kinds or (DenoiserPrior, DensityPrior)
    if not isinstance(prior, kinds):
        raise ValueError(
            f"prior: expected a {' or '.join(k.__name__ for k in kinds)}, got "
            f"{prior if isinstance(prior, Prior) else type(prior).__name__}; "
            f"load one with sigpy_priors.load_prior."
        )
