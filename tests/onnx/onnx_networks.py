"""Small networks as ONNX files, in conventions that are known."""

import warnings

import numpy as np
import torch
from torch import nn

from sigpy_priors.importers.probe import _images


class Smooth(nn.Module):
    """A Wiener filter in closed form: four bands, each shrunk by its own power.

    The powers are those of the bundled slice, with and without phase, so that
    the real channel is expected to be larger than the imaginary one.
    ``sigma`` is the noise of each channel.
    """

    def __init__(self, channels=2):
        super().__init__()
        k = torch.tensor([1.0, 4, 6, 4, 1]) / 16
        blurs = []
        for dilation in (1, 2, 4):
            blur = nn.Conv2d(
                channels, channels, 5, padding=2 * dilation, groups=channels,
                dilation=dilation, bias=False,
            )  # fmt: skip
            blur.weight.data[:] = torch.outer(k, k)
            blurs.append(blur)
        self.blurs = nn.ModuleList(blurs).requires_grad_(False)
        clean = _images((112, 96))
        if channels == 1:
            clean = clean.square().sum(1, keepdim=True).sqrt()
        noise = torch.randn(
            8, channels, 112, 96, generator=torch.Generator().manual_seed(0)
        )
        power, gain = (
            torch.stack([b.square().mean((0, 2, 3)) for b in self.bands(x)])
            for x in (clean, noise)
        )
        self.register_buffer("ratio", (power / gain)[:, None, :, None, None])

    def bands(self, x):
        out = []
        for blur in self.blurs:
            coarse = blur(x)
            out.append(x - coarse)
            x = coarse
        return [*out, x]

    def forward(self, x, sigma):
        s2 = (sigma**2).view(-1, 1, 1, 1)
        bands = zip(self.bands(x), self.ratio)
        return sum(band * r / (r + s2) for band, r in bands)


class As(nn.Module):
    """A denoiser dressed up as a network in some convention."""

    def __init__(self, denoiser, out="denoiser", noise="sigma", layout="NCHW",
                 order=(0, 1), sigma="complex", betas=None, scale=(1, 0)):  # fmt: skip
        super().__init__()
        self.d, self.out, self.noise, self.layout = denoiser, out, noise, layout
        self.order, self.scale = list(order), scale
        self.factor = 2**0.5 if sigma == "complex" else 1.0
        if betas is not None:
            alpha_bar = torch.cumprod(1 - torch.as_tensor(betas), 0)
            self.register_buffer("levels", ((1 - alpha_bar) / alpha_bar).sqrt().float())

    def forward(self, z, c):
        if self.layout == "NHWC":
            z = z.permute(0, 3, 1, 2)
        z = z[:, self.order]
        if self.noise == "time":
            sigma = self.levels[c.long()]
            a = 1 / (1 + sigma**2).sqrt()
        else:
            sigma = c.exp() if self.noise == "log_sigma" else c
            a = torch.ones_like(sigma)
        s, a = sigma.view(-1, 1, 1, 1), a.view(-1, 1, 1, 1)
        x = z / a
        gain, offset = self.scale
        d = self.d((x - offset) / gain, sigma / gain / self.factor) * gain + offset
        out = {
            "denoiser": lambda: d,
            "eps": lambda: (x - d) / s,
            "v": lambda: a * (x - d) / s - s * a * d,
            "score": lambda: (d - x) / s**2 / a,
            "scaled_score": lambda: (d - x) / s,
            "residual": lambda: x - d,
        }[self.out]()
        out = out[:, np.argsort(self.order).tolist()]
        return out.permute(0, 2, 3, 1) if self.layout == "NHWC" else out


LINEAR = np.linspace(1e-4, 0.02, 1000)


def write(
    path, module, shape=(2, 2, 36, 44), fixed=(), noise=None, names=("x", "sigma")
):
    """Write a module of image and noise with free batch and size."""
    x = torch.randn(shape)
    c = torch.full((shape[0],), 0.1) if noise is None else noise
    free = "NHWC" if getattr(module, "layout", "") == "NHWC" else "NCHW"
    axes = {i: n for i, n in enumerate(free) if n != "C" and n not in fixed}
    dynamic = {names[0]: axes}
    if c.ndim and "N" not in fixed:
        dynamic[names[1]] = {0: "N"}
    write_old(
        module.eval(), (x, c), path, input_names=list(names), output_names=["y"],
        dynamic_axes=dynamic, opset_version=18,
    )  # fmt: skip
    return path


def write_old(module, args, path, **options):
    """By torch's old exporter, as most files of others; it warns of its age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, args, str(path), dynamo=False, **options)
