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

import abc
import numbers

import numpy as np

from sigpy_priors import arrays

__all__ = ["Prior", "DenoiserPrior", "DensityPrior", "NetworkPrior"]


class Prior(abc.ABC):
    """Abstract: knowledge of what images look like.

    Attributes:
        card (PriorCard or None): what the prior is and was trained on.
        evaluations (int): images that went through the prior so far.
    """

    card = None
    evaluations = 0

    def _check(self, x):
        if np.ndim(x) < 2:
            raise ValueError(
                f"{self!r}: expected an image (..., H, W), got shape {x.shape}."
            )
        if "complex" not in str(x.dtype):
            raise ValueError(
                f"{self!r}: expected a complex image, got {x.dtype}; "
                f"convert it with .astype(complex)."
            )

    def __repr__(self):
        name = self.card.name if self.card else ""
        return f"<{type(self).__name__} {name}>".replace(" >", ">")


class DenoiserPrior(Prior):
    """Abstract: a prior known through its denoiser.

    Subclasses implement ``_denoise(x, sigma)`` for images (N, H, W) and noise
    levels (N,), both numpy/cupy or both torch, as ``backend`` says.

    Attributes:
        sigma_range (tuple of float): noise levels at which it is trustworthy.
    """

    sigma_range = (0.0, float("inf"))

    @abc.abstractmethod
    def _denoise(self, x, sigma):
        """Denoise images (N, H, W) at noise levels, an array (N,)."""

    def denoise(self, x, sigma):
        r"""The posterior mean :math:`E[x_0 | x_0 + n = x]`.

        Args:
            x (array): noisy images (..., H, W), complex, numpy, cupy or torch.
            sigma (float or array): standard deviation of the complex noise,
                in the units of ``x``; an array broadcasts to the batch axes.

        Returns:
            array: of the shape, dtype, kind and device of ``x``.

        Raises:
            ValueError: if ``x`` is no complex image, sigma is negative or not
                finite, or their shapes do not fit.
        """
        self._check(x)
        batch = tuple(x.shape[:-2])
        count = int(np.prod(batch))
        if isinstance(sigma, numbers.Real):
            if not 0 <= sigma < float("inf"):
                raise ValueError(f"{self!r}: sigma must be >= 0, got {sigma}.")
            sigma = np.full(count, sigma)
        else:
            sigma = np.asarray(sigma.tolist() if hasattr(sigma, "tolist") else sigma)
            if not (np.isfinite(sigma) & (sigma >= 0)).all():
                raise ValueError(f"{self!r}: sigma must be >= 0, got {sigma}.")
            try:
                sigma = np.broadcast_to(sigma, batch).reshape(count)
            except ValueError:
                raise ValueError(
                    f"{self!r}: sigma of shape {sigma.shape} does not fit the "
                    f"batch axes {batch} of x."
                ) from None
        self.evaluations += count
        out = self._denoise(x.reshape((count,) + tuple(x.shape[-2:])), sigma)
        return out.reshape(x.shape)

    def score(self, x, sigma):
        r"""Score of the noisy distribution,
        :math:`\partial \log p_\sigma / \partial \bar x = (D - x)/\sigma^2`.

        Args:
            x (array): noisy images (..., H, W), complex.
            sigma (float): standard deviation of the complex noise, > 0.

        Returns:
            array: like ``x``; half the real gradient over (re, im).
        """
        return (self.denoise(x, sigma) - x) / sigma**2


class DensityPrior(Prior):
    """Abstract: a prior known through its log-density."""

    @abc.abstractmethod
    def log_prob(self, x):
        """Log-density in nats.

        Args:
            x (array): images (..., H, W), complex.

        Returns:
            array: real, shape (...).
        """

    @abc.abstractmethod
    def grad_log_prob(self, x):
        r"""The real gradient over (re, im), read as a complex number:
        :math:`2 \partial \log p / \partial \bar x`.

        Args:
            x (array): images (..., H, W), complex.

        Returns:
            array: like ``x``.
        """


class NetworkPrior(DenoiserPrior):
    """A torch network of two real channels as a prior over complex images.

    Here, and nowhere else, the complex sigma becomes sigma / sqrt(2) per
    channel, and images are padded to the network's multiple.

    Args:
        model (Precond): denoiser of (N, 2, H, W) and per-channel sigma (N,).
        card (PriorCard or None): what it was trained on.
        sigma_range (tuple of float or None): trained complex noise levels;
            default from the card.
        device (torch.device or None): where the network runs; default where
            the images are.
    """

    def __init__(self, model, card=None, sigma_range=None):
        self.model = model.eval().requires_grad_(False)
        self.card = card
        if sigma_range is None and card is not None:
            sigma_range = card.sigma_range
        if sigma_range is not None:
            self.sigma_range = tuple(sigma_range)
        self._copies = {}

    def to(self, device, dtype):
        """The network on a device, in a precision; copies are kept."""
        import copy

        key = (str(device), dtype)
        if key not in self._copies:
            model = self.model
            if key != self._where(model):
                model = copy.deepcopy(model).to(device=device, dtype=dtype)
            self._copies[key] = model
        return self._copies[key]

    @staticmethod
    def _where(model):
        import torch

        p = next(model.parameters(), torch.zeros(()))
        return str(p.device), p.dtype

    def _denoise(self, x, sigma):
        import torch

        z = arrays.to_torch(x)
        with torch.set_grad_enabled(z.requires_grad):
            real = z.real.dtype
            s = torch.as_tensor(sigma, dtype=real, device=z.device) / 2**0.5
            # At sigma = 0 the image is the answer; networks see log(sigma).
            s = s.clamp_min(self.sigma_range[0] / 2**0.5)
            channels = arrays.pad_to_multiple(
                arrays.to_channels(z), getattr(self.model, "stride", 1)
            )
            out = self.to(z.device, real)(channels, s)
            out = out[..., : z.shape[-2], : z.shape[-1]]
            return arrays.from_torch(arrays.from_channels(out, z.shape), x)
