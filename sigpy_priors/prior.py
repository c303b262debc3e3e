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
import contextlib
import math
from functools import partial

from sigpy_priors import arrays, memory

__all__ = ["Prior", "DenoiserPrior", "DensityPrior", "NetworkPrior", "PRECISIONS"]

PRECISIONS = ("full", "tf32", "bfloat16")
_ANY = 1 << 30  # images: as many as fit


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
        self._check(x)
        with arrays.on_stream_of(x):
            out = self._denoise_any(arrays.to_torch(x), sigma)
            return arrays.from_torch(out, x)

    def _denoise_any(self, z, sigma):
        """Denoise a tensor of any batch axes at checked noise levels."""
        import torch

        batch = z.shape[:-2]
        # A number stays on the CPU: checking it must not wait for a GPU.
        s = torch.as_tensor(sigma, dtype=z.real.dtype)
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
            out = self._denoise(flat, s.clamp_min(low).to(z.device))
            if (s < low).any():
                share = (s / low).clamp_max(1).to(z.device)[:, None, None] ** 2
                out = flat + share * (out - flat)
        self.evaluations += len(flat)
        return out.reshape(z.shape)

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
    channel, and images are padded to the network's multiple. Batches that do
    not fit into memory go through the network in chunks.

    Args:
        model (Precond): denoiser of (N, 2, H, W) and per-channel sigma (N,).
        card (PriorCard or None): what it was trained on.
        sigma_range (tuple of float or None): trained complex noise levels;
            default from the card.
        runtime (str): "torch", or "auto": on the CPU onnxruntime, where it is
            installed and no derivative is wanted (:mod:`sigpy_priors.onnx`).
        precision (str): "full" computes in that of the image; "tf32" lets a
            GPU round the factors of its products to 10 bits; "bfloat16"
            computes in it wherever torch's autocast holds that safe. The
            image keeps its own precision.
        compile (bool): compile the network for each shape of a batch, on a
            GPU to a CUDA graph: worth its minutes for many calls of one shape.
            Like bfloat16, this is done by torch.

    Raises:
        ValueError: if the runtime or the precision is unknown.
    """

    def __init__(
        self,
        model,
        card=None,
        sigma_range=None,
        runtime="torch",
        precision="full",
        compile=False,
    ):
        super().__init__(model)
        if runtime not in ("torch", "auto"):
            raise ValueError(f"runtime must be 'torch' or 'auto', got {runtime!r}.")
        if precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}."
            )
        by_torch = compile or precision == "bfloat16"
        self.runtime = "torch" if by_torch else runtime
        self.precision, self.compile = precision, compile
        self._compiled = {}
        self._chunk = {}  # images that fit together, by their shape and device
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

    def with_options(self, precision="full", compile=False):
        """The same network, computed in another way.

        Args:
            precision (str), compile (bool): as in the constructor.

        Returns:
            NetworkPrior: shares the weights.
        """
        prior = NetworkPrior(
            self.model, self.card, self.sigma_range, self.runtime, precision, compile
        )
        prior.strength = self.strength
        return prior

    def _runner(self, device, dtype):
        import torch

        model = self.to(device, dtype)
        if not self.compile:
            return model
        key = (device, dtype)
        if key not in self._compiled:
            mode = "reduce-overhead" if device.type == "cuda" else "default"
            self._compiled[key] = torch.compile(model, dynamic=False, mode=mode)
        return self._compiled[key]

    def _denoise(self, x, sigma):
        import torch

        # With a gradient all of the batch is kept for it: chunks save nothing.
        if len(x) == 1 or torch.is_grad_enabled():
            return self._network(x, sigma)
        key = (x.device, x.dtype, x.shape[1:])
        if key not in self._chunk:
            one = partial(self._network, x[:1], sigma[:1])
            self._chunk[key] = memory.fitting(one, x.get_device(), _ANY)
        out, self._chunk[key] = memory.in_chunks(
            self._network, (x, sigma), self._chunk[key]
        )
        return out[0] if len(out) == 1 else torch.cat(out)

    def _network(self, x, sigma):
        import torch

        real = x.real.dtype if self.precision == "full" else torch.float32
        model = self._runner(x.device, real)
        channels = arrays.pad_to_multiple(
            arrays.to_channels(x).to(real), getattr(self.model, "stride", 1)
        ).contiguous(memory_format=torch.channels_last)
        with _computing(self.precision, x.device):
            out = model(channels, (sigma / 2**0.5).to(real))
        if self.compile:
            out = out.clone()  # a CUDA graph writes its next result there
        out = out[..., : x.shape[-2], : x.shape[-1]].to(x.real.dtype)
        return arrays.from_channels(out)


@contextlib.contextmanager
def _computing(precision, device):
    """Have torch compute in this way; a backward pass follows its own settings."""
    import torch

    with contextlib.ExitStack() as stack:
        if precision == "bfloat16":
            stack.enter_context(torch.autocast(device.type, torch.bfloat16))
        if device.type == "cuda":
            for backend in (torch.backends.cudnn, torch.backends.cuda.matmul):
                before = backend.allow_tf32
                backend.allow_tf32 = precision == "tf32"
                stack.callback(setattr, backend, "allow_tf32", before)
        yield
