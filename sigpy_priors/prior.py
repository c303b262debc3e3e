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
import math

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
        if x.ndim < 2:
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

    Subclasses implement ``_denoise`` for torch tensors.

    Attributes:
        sigma_range (tuple of float): noise levels that it was made for. Below
            them its score is held at that of the lowest.
        strength (float): factor on the statistically right weight of the
            prior at which reconstructions are best; 1 for an exact prior,
            calibrated for a network, whose denoiser is not quite a prox.
    """

    sigma_range = (0.0, float("inf"))
    strength = 1.0

    @abc.abstractmethod
    def _denoise(self, x, sigma):
        """Denoise tensors: images (N, H, W) at noise levels (N,)."""

    def denoise(self, x, sigma):
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
        import torch

        self._check(x)
        z = arrays.to_torch(x)
        batch = z.shape[:-2]
        s = torch.as_tensor(sigma, dtype=z.real.dtype, device=z.device)
        low, high = self.sigma_range
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
            flat = z.reshape((-1,) + z.shape[-2:])
            out = self._denoise(flat, s.clamp_min(low))
            if (s < low).any():
                out = flat + (s / low).clamp_max(1)[:, None, None] ** 2 * (out - flat)
        self.evaluations += len(flat)
        return arrays.from_torch(out.reshape(z.shape), x)

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
    """Abstract: a prior known through its log-density.

    Attributes:
        strength (float): as for a :class:`DenoiserPrior`.
        numbers (int): real numbers of a pixel that it is a density of.
    """

    strength = 1.0
    numbers = 2

    @abc.abstractmethod
    def log_prob(self, x):
        """Log-density in nats.

        Args:
            x (array): images (..., H, W), complex.

        Returns:
            array: real, shape (...).
        """

    def bits_per_dim(self, x):
        """Negative log-density in bits per real number.

        Args:
            x (array): images (..., H, W), complex.

        Returns:
            array: shape (...).
        """
        numbers = x.shape[-1] * x.shape[-2] * self.numbers
        return -self.log_prob(x) / (math.log(2) * numbers)

    def log_prob_and_grad(self, x):
        """Both at once, which networks do in one pass.

        Args:
            x (array): images (..., H, W), complex.

        Returns:
            tuple: :meth:`log_prob` and :meth:`grad_log_prob`.
        """
        return self.log_prob(x), self.grad_log_prob(x)

    @abc.abstractmethod
    def grad_log_prob(self, x):
        r"""The real gradient over (re, im), read as a complex number:
        :math:`2 \partial \log p / \partial \bar x`.

        Args:
            x (array): images (..., H, W), complex.

        Returns:
            array: like ``x``.
        """


class TorchModel:
    """A torch module in evaluation mode, on every device that asks for it.

    Args:
        model (Module): the network.
    """

    def __init__(self, model):
        self.model = model.eval().requires_grad_(False)
        self._copies = {}

    def to(self, device, dtype):
        """The network on a device, in a real precision; copies are kept."""
        import copy

        import torch

        key = (torch.device(device), dtype)
        if key not in self._copies:
            model = copy.deepcopy(self.model).to(device=device, dtype=dtype)
            # Measured: convolutions run fastest with the channels last.
            self._copies[key] = model.to(memory_format=torch.channels_last)
        return self._copies[key]


class NetworkPrior(TorchModel, DenoiserPrior):
    """A torch network of two real channels as a prior over complex images.

    Here, and nowhere else, the complex sigma becomes sigma / sqrt(2) per
    channel, and images are padded to the network's multiple.

    Args:
        model (Precond): denoiser of (N, 2, H, W) and per-channel sigma (N,).
        card (PriorCard or None): what it was trained on.
        sigma_range (tuple of float or None): trained complex noise levels;
            default from the card.
        runtime (str): "torch", or "auto": on the CPU onnxruntime, where it is
            installed and no derivative is wanted (:mod:`sigpy_priors.onnx`).
    """

    def __init__(self, model, card=None, sigma_range=None, runtime="torch"):
        super().__init__(model)
        if runtime not in ("torch", "auto"):
            raise ValueError(f"runtime must be 'torch' or 'auto', got {runtime!r}.")
        self.runtime = runtime
        self.card = card
        if card is not None:
            self.strength = card.strength
            sigma_range = sigma_range or card.sigma_range
        if sigma_range is not None:
            self.sigma_range = tuple(sigma_range)

    def to(self, device, dtype):
        """The network on a device, in a real precision; copies are kept."""
        import torch

        key = (torch.device(device), dtype)
        known = key in self._copies
        model = super().to(device, dtype)
        if known or self.runtime == "torch" or key != (torch.device("cpu"), torch.float32):
            return model
        from sigpy_priors.onnx.backend import accelerate, worthwhile

        if worthwhile(self):
            self._copies[key] = accelerate(self, model)
        return self._copies[key]

    def _denoise(self, x, sigma):
        import torch

        model = self.to(x.device, x.real.dtype)
        channels = arrays.pad_to_multiple(
            arrays.to_channels(x), getattr(model, "stride", 1)
        ).contiguous(memory_format=torch.channels_last)
        out = model(channels, sigma / 2**0.5)[..., : x.shape[-2], : x.shape[-1]]
        return arrays.from_channels(out)
