"""Between the conventions of a network in an ONNX file and those of a prior.

From the inside out: :class:`ForeignNetwork` is the network as :mod:`models.precond` knows
networks, ``net(z, c)`` of images (B, C, H, W) and a noise variable (B,); a
preconditioning makes it a denoiser; :class:`ForeignDenoiser` goes from the two channels
and the noise per channel of :class:`sigpy_priors.priors.network.NetworkPrior` to the
channels, noise level and scale of that denoiser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from sigpy_priors.priors.module import complex_sigma

__all__ = [
    "CHANNELS",
    "LAYOUTS",
    "SIGMAS",
    "ForeignNetwork",
    "ForeignDenoiser",
    "build_foreign",
    "parse_scale",
]

CHANNELS = ("re,im", "im,re", "complex", "mag", "real")
LAYOUTS = ("NCHW", "NHWC")
SIGMAS = ("complex", "channel")
MOST_STRIDE = 1024  # no network halves its images more than ten times
OVERLAP = 32  # pixels by which tiles overlap


class ForeignNetwork(nn.Module):
    """``net(z, c)`` by an ONNX file.

    Args:
        module (OnnxModule): the file.
        image, noise (str): names of its inputs; noise None for a blind one.
        layout (str): "NCHW" or "NHWC".
        complex_axis (bool): images are (B, C, H, W, 2), real and imaginary
            part in the last axis, as ONNX's DFT has them.
        output (str or None): name of the denoised image, default the first.

    Attributes:
        batch, size (int or tuple or None): sizes that the file fixes.
    """

    def __init__(
        self,
        module: Any,
        image: str,
        noise: str | None,
        layout: str,
        complex_axis: bool = False,
        output: str | None = None,
    ) -> None:
        super().__init__()
        self.module = module
        self.order = [module.inputs.index(n) for n in (image, noise) if n is not None]
        self.output = module.outputs.index(output or module.outputs[0])
        self.layout = layout
        self.complex_axis = complex_axis
        shape = module.shapes[image]
        self.batch = shape[0] if shape else None
        size = tuple(shape[1:3] if layout == "NHWC" else shape[2:4]) if shape else ()
        self.size = size if len(size) == 2 and None not in size else None
        if size and any(size) and self.size is None:
            raise ValueError(
                f"input {image!r} has the shape {shape}, of height and width only one "
                f"fixed: export it with both dynamic, or both fixed."
            )
        self.blind = noise is None
        if not self.blind:
            stated = module.shapes[noise]
            self.noise_shape = [None] if stated is None else stated
            self.noise_whole = module.is_integer(noise)
            if self.noise_shape[:1] in ([], [1]):
                self.batch = 1  # the file takes one noise level for all images

    def forward(self, z: Any, c: Any) -> Any:
        return self._tiles(z, c) if self.size else self._batches(z, c)

    def _tiles(self, z, c):
        """Pad to the fixed size, or cut into overlapping tiles of it."""
        assert self.size is not None
        h, w = self.size
        pad = max(h - z.shape[-2], 0), max(w - z.shape[-1], 0)
        full = z.shape[-2:]
        if any(pad):
            rows = torch.arange(z.shape[-2] + pad[0], device=z.device)
            columns = torch.arange(z.shape[-1] + pad[1], device=z.device)
            z = z.index_select(2, rows.clamp(max=full[0] - 1))
            z = z.index_select(3, columns.clamp(max=full[1] - 1))
        if tuple(z.shape[-2:]) == (h, w):
            return self._batches(z, c)[..., : full[0], : full[1]]
        total, weight = torch.zeros_like(z), torch.zeros_like(z[:1, :1])
        window = _ramp(h, z)[:, None] * _ramp(w, z)
        for i in _starts(z.shape[-2], h):
            for j in _starts(z.shape[-1], w):
                out = self._batches(z[..., i : i + h, j : j + w], c) * window
                around = (j, z.shape[-1] - j - w, i, z.shape[-2] - i - h)
                total = total + F.pad(out, around)
                weight = weight + F.pad(window[None, None], around)
        return (total / weight)[..., : full[0], : full[1]]

    def _batches(self, z, c):
        if self.batch is None or z.shape[0] == self.batch:
            return self._call(z, c)
        parts = []
        for start in range(0, z.shape[0], self.batch):
            part, level = z[start : start + self.batch], c[start : start + self.batch]
            count = part.shape[0]
            if count < self.batch:
                filled = [self.batch // count + 1]
                part = part.repeat(filled + [1] * 3)[: self.batch]
                level = level.repeat(filled)[: self.batch]
            parts.append(self._call(part, level)[:count])
        return torch.cat(parts)

    def _call(self, z, c):
        if self.complex_axis:
            z = z.permute(0, 2, 3, 1)[:, None]
        if self.layout == "NHWC":
            z = z.permute(0, 2, 3, 1) if z.ndim == 4 else z.permute(0, 2, 3, 1, 4)
        inputs = [None] * len(self.module.inputs)
        if not self.blind:
            rank = len(self.noise_shape)
            c = c.round() if self.noise_whole else c
            c = c.reshape([-1] + [1] * (rank - 1)) if rank else c.reshape(())
            if rank == 4 and self._is_map():
                c = (
                    c.expand(-1, -1, *z.shape[2:])
                    if self.layout == "NCHW"
                    else (c.expand(-1, *z.shape[1:3], -1))
                )
        for i, value in zip(self.order, (z, c)):
            inputs[i] = value
        out = self.module(*inputs)[self.output]
        if self.layout == "NHWC":
            out = (
                out.permute(0, 3, 1, 2) if out.ndim == 4 else out.permute(0, 3, 1, 2, 4)
            )
        return out[:, 0].permute(0, 3, 1, 2) if self.complex_axis else out

    def _is_map(self):
        """A noise level for every pixel, unless the file says otherwise."""
        return any(n != 1 for n in self.noise_shape[1:])


def _ramp(n, like):
    """Weights of a tile along one axis: rising, one, falling; never zero."""
    k = torch.arange(n, dtype=like.dtype, device=like.device) + 1
    return torch.minimum(k, k.flip(0)).clamp(max=OVERLAP) / OVERLAP


def _starts(total, n):
    """Where tiles of n begin: evenly, overlapping by at least OVERLAP or half."""
    if total == n:
        return [0]
    step = max(n - OVERLAP, n // 2, 1)
    count = -(-(total - n) // step) + 1
    return [round(i * (total - n) / (count - 1)) for i in range(count)]


class ForeignDenoiser(nn.Module):
    r"""A denoiser in somebody's conventions as one in ours.

    Args:
        denoiser (Precond): of images (B, C, H, W) in its own units.
        channels (str): one of ``CHANNELS``. "mag": of the magnitude, the phase
            stays; "real": of real and imaginary part, one at a time.
        sigma (str): "complex" if its sigma is that of complex noise,
            "channel" if it is that of each channel.
        scale (sequence of float): (a, b), it sees a x + b.
        stride (int): what height and width must be multiples of.
    """

    def __init__(
        self,
        denoiser: Any,
        channels: str = "re,im",
        sigma: str = "complex",
        scale: Sequence[float] = (1, 0),
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.channels = channels
        self.sigma = sigma
        self.gain, self.offset = (float(v) for v in scale)
        self.stride = int(stride)

    def forward(self, x: Any, sigma: Any) -> Any:
        """Denoise channels (N, 2, H, W) at noise ``sigma`` (N,) per channel."""
        if self.channels == "im,re":
            return self._denoise(x.flip(1), sigma).flip(1)
        if self.channels == "mag":
            size = (x.square().sum(1, keepdim=True) + 1e-12).sqrt()
            return x * (self._denoise(size, sigma) / size)
        if self.channels == "real":
            both = x.reshape(-1, 1, *x.shape[2:])
            level = torch.stack([sigma, sigma], 1).reshape(-1)
            return self._denoise(both, level).reshape(x.shape)
        return self._denoise(x, sigma)

    def _denoise(self, x, sigma):
        y = self.gain * x + self.offset if self.offset else self.gain * x
        level = complex_sigma(sigma) if self.sigma == "complex" else sigma
        return (self.denoiser(y, self.gain * level) - self.offset) / self.gain


def parse_scale(scale: float | Sequence[float] | str) -> tuple[float, ...]:
    """A network's scale in whatever form it is stated.

    Args:
        scale (float, sequence of float or str): a or (a, b), "a" or "a,b".

    Returns:
        tuple of float: (a, b).

    Raises:
        ValueError: if it is none of these, or a is not positive.
    """
    parts = scale.split(",") if isinstance(scale, str) else np.atleast_1d(scale)
    try:
        a, b = map(float, (*parts, 0.0)[: max(len(parts), 2)])
        if 0 < a < np.inf and np.isfinite(b):
            return a, b
    except (TypeError, ValueError):
        pass
    raise ValueError(f"scale: expected a or a,b with a > 0, got {scale}.")


def build_foreign(
    module: Any, options: Mapping, precond: str, precond_options: Mapping
) -> Any:
    """The network that a card with architecture "onnx" describes.

    Args:
        module (OnnxModule): the file.
        options (mapping): ``inputs`` (names of image and noise), ``output``,
            ``channels``, ``layout``, ``sigma``, ``scale``, ``stride``.
        precond (str): name of a preconditioning.
        precond_options (mapping): its options.

    Returns:
        ForeignDenoiser: model for :class:`sigpy_priors.priors.network.NetworkPrior`.

    Raises:
        ValueError: for values that are not known, or do not fit the file.
    """
    from sigpy_priors.models import build_precond

    settings: dict[str, Any] = {
        "channels": "re,im",
        "layout": "NCHW",
        "sigma": "complex",
        "scale": (1, 0),
        "stride": 1,
        "output": None,
        **options,
    }
    for key, known in (("channels", CHANNELS), ("layout", LAYOUTS), ("sigma", SIGMAS)):
        if settings[key] not in known:
            raise ValueError(
                f"{key} must be one of {' | '.join(known)}, got {settings[key]!r}."
            )
    names = settings["inputs"]
    if not isinstance(names, (list, tuple)):
        raise ValueError(f"inputs: expected a list of names, got {names!r}.")
    names = list(names)
    stride = settings["stride"]
    if not isinstance(stride, int) or not 1 <= stride <= MOST_STRIDE:
        raise ValueError(
            f"stride must be a whole number from 1 to {MOST_STRIDE}, got {stride!r}."
        )
    if settings["output"] not in (None, *module.outputs):
        raise ValueError(
            f"output must be one of {', '.join(module.outputs)}, got "
            f"{settings['output']!r}."
        )
    missing = [n for n in names if n is not None and n not in module.inputs]
    left = [n for n in module.inputs if n not in names]
    if missing or left or not 1 <= len(names) <= 2:
        raise ValueError(
            f"inputs: expected the names of the image and, if any, the noise level, "
            f"got {names}; the file has {', '.join(module.inputs)}."
        )
    call = ForeignNetwork(
        module,
        names[0],
        names[1] if len(names) == 2 else None,
        settings["layout"],
        settings["channels"] == "complex",
        settings["output"],
    )
    return ForeignDenoiser(
        build_precond(call, precond, precond_options),
        settings["channels"],
        settings["sigma"],
        parse_scale(settings["scale"]),
        settings["stride"],
    )
