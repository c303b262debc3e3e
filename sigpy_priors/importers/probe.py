r"""Find out what a foreign network expects, by letting it denoise.

Channel order, layout, scale, how noise is stated and what the network puts out
are seldom written in a file. Each combination is a hypothesis, and a wrong one
denoises worse: the bundled slice, once with a smooth phase and once real, gets
noise of several levels, and the hypothesis with the greatest mean gain

.. math:: 10 \log_{10} \frac{\|x_0 + n - x_0\|^2}{\|D(x_0 + n) - x_0\|^2}

is taken. What is told is not tested, unless to say that it looks wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from sigpy_priors.onnx.adapter import build_foreign
from sigpy_priors.priors.module import ChannelDenoiser, add_noise

__all__ = ["FIELDS", "Hypothesis", "Findings", "probe"]

FIELDS = ("channels", "layout", "parametrization", "schedule", "sigma", "scale")
LEVELS = (0.05, 0.15, 0.4)  # of complex noise, image scale 1
CROP = (112, 96)
# Gains closer than this, in dB, do not tell hypotheses apart.
TIE = 0.02
MIN_GAIN = 1.0
_FLOOR = -30.0

_CHANNELS = {1: ("mag", "real"), 2: ("re,im", "im,re"), None: ("re,im", "im,re", "mag")}
_VP = ("linear", "cosine", "vp")


class Hypothesis(NamedTuple):
    """One combination of conventions; the fields are those of ``import``."""

    channels: str
    layout: str
    parametrization: str
    schedule: object
    sigma: str
    scale: tuple

    def precond(self) -> Any:
        """Name and options of the preconditioning."""
        name, _, number = self.parametrization.partition(":")
        if name == "edm":
            return "edm", {"sigma_data": float(number or 0.5)}
        name = "denoiser" if name == "x0" else name
        return "diffusion", {"output": name, "schedule": self.schedule}


class Findings(NamedTuple):
    """What the probe found.

    Attributes:
        hypothesis (Hypothesis): the best of those allowed.
        gain (float): by which it denoises, in dB.
        rivals (dict): field to (value, gain): the best other value of it.
        stride (int): what height and width must be multiples of.
        sigma_range (tuple of float): levels at which it denoises.
    """

    hypothesis: Hypothesis
    gain: float
    rivals: dict
    stride: int
    sigma_range: tuple

    def report(self, told: Any = ()) -> Any:
        """The findings as text, a line for each field."""
        lines = [f"denoises the bundled slice by {self.gain:.2f} dB on average, as"]
        for field in FIELDS:
            value = getattr(self.hypothesis, field)
            line = f"  {field:<16} {_text(value):<14} " + (
                "told" if field in told else "found"
            )
            if field in self.rivals:
                other, gain = self.rivals[field]
                gap = self.gain - gain
                line += f"; {_text(other)}: " + (
                    "the same" if abs(gap) < TIE else f"{-gap:+.2f} dB"
                )
            lines.append(line)
        low, high = self.sigma_range
        lines.append(f"  noise levels     {low:.3g} to {high:.3g}")
        lines.append(f"  sizes            multiples of {self.stride}")
        return "\n".join(lines)


def _text(value):
    if isinstance(value, dict):
        ((kind, numbers),) = value.items()
        return f"{len(numbers)} {kind}"
    return ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)


class _Memo:
    """The file, called once for each input: many hypotheses share them."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.known = {}

    def __getattr__(self, name: Any) -> Any:
        return getattr(self.module, name)

    def __call__(self, *inputs: Any) -> Any:
        key = tuple((t.dtype, t.shape, t.numpy().tobytes()) for t in inputs)
        if key not in self.known:
            try:
                self.known[key] = self.module(*inputs)
            except Exception as e:  # a shape or type that the file does not take
                self.known[key] = e
        found = self.known[key]
        if isinstance(found, Exception):
            raise found
        return found


def _images(size):
    """Clean images: smooth phase, and none. Channels (2, 2, H, W)."""
    from sigpy_priors.data.example import example

    image, _ = example(num_coils=1)
    start = [max(n - m, 0) // 2 for n, m in zip(image.shape, size)]
    image = image[start[0] : start[0] + size[0], start[1] : start[1] + size[1]]
    both = np.stack([image, np.abs(image)])
    return torch.from_numpy(
        np.stack([np.real(both), np.imag(both)], 1).astype(np.float32)
    )


def _gains(model, clean, levels):
    """Gain in dB for each level; ``_FLOOR`` where the network fails."""
    rng = np.random.default_rng(0)
    n = rng.standard_normal((len(levels), *clean.shape)).astype(np.float32)
    s = torch.tensor(levels, dtype=torch.float32)
    sigma = s.repeat_interleave(len(clean))
    x = clean.repeat(len(levels), 1, 1, 1)
    x = add_noise(x, torch.from_numpy(n).flatten(0, 1), sigma)
    with torch.no_grad():
        out = ChannelDenoiser(model)(x, sigma)
    if out.shape != x.shape:
        raise ValueError(f"an output of shape {tuple(out.shape)} for {tuple(x.shape)}")
    error = ((out.reshape(n.shape) - clean) ** 2).mean((2, 3, 4))
    gain = 10 * torch.log10((s**2 / 2)[:, None] / error)
    return torch.nan_to_num(gain, _FLOOR, _FLOOR, _FLOOR).clamp_min(_FLOOR).mean(1)


def _candidates(module, inputs, told):
    """Hypotheses that fit the file's types and shapes and what is told."""
    shape = module.shapes[inputs[0]]
    blind = len(inputs) == 1
    layouts = ("NCHW", "NHWC")
    if shape is not None:
        if len(shape) == 5:
            layouts = tuple(
                y for y, axis in zip(layouts, (1, 3)) if shape[axis] in (1, None)
            )
        else:
            layouts = tuple(
                y for y, axis in zip(layouts, (1, 3)) if shape[axis] in (1, 2, None)
            )
            stated = [y for y, axis in zip(layouts, (1, 3)) if shape[axis] is not None]
            layouts = tuple(stated or layouts)
    whole = not blind and module.is_integer(inputs[1])
    schedules = ("sigma",) if blind else _VP if whole else ("sigma", "log_sigma", *_VP)
    outputs = ("residual",) if blind else ("eps", "score", "scaled_score", "v")
    fixed = {k: (v,) for k, v in told.items() if v is not None}
    for layout in fixed.get("layout", layouts):
        count = None if shape is None else shape[3 if layout == "NHWC" else 1]
        kinds = ("complex",) if shape and len(shape) == 5 else _CHANNELS.get(count, ())
        for channels in fixed.get("channels", kinds):
            scales = ((1.0, 0.0),)
            if channels in ("mag", "real"):
                scales += ((2.0, -1.0),)
            for h in itertools.product(
                (channels,), (layout,),
                fixed.get("parametrization", ("denoiser", *outputs)),
                fixed.get("schedule", schedules),
                fixed.get("sigma", ("complex",) if blind else ("complex", "channel")),
                fixed.get("scale", scales),
            ):  # fmt: skip
                yield Hypothesis(*h)


def _build(module, inputs, hypothesis, stride=1):
    h = hypothesis
    options = {
        "inputs": inputs, "channels": h.channels, "layout": h.layout,
        "sigma": h.sigma, "scale": h.scale, "stride": stride,
    }  # fmt: skip
    return build_foreign(module, options, *h.precond())


def _try(module, inputs, hypotheses, clean):
    """Mean gain of each hypothesis that can be built and run; the last error."""
    gains, error = {}, None
    for h in hypotheses:
        try:
            gains[h] = float(_gains(_build(module, inputs, h), clean, LEVELS).mean())
        except Exception as e:
            error = e
    return gains, error


def _best(gains):
    top = max(gains.values())
    return next(h for h, g in gains.items() if g >= top - TIE)


def probe(module: Any, inputs: Any, told: Mapping | None = None) -> Any:
    """Find the conventions of a network.

    Args:
        module (OnnxModule): the file.
        inputs (sequence of str): names of the image and, if any, the noise.
        told (mapping or None): field of :data:`FIELDS` to value: not doubted.

    Returns:
        Findings: hypothesis, gains, stride and noise levels.

    Raises:
        ValueError: if no hypothesis fits or denoises.
    """
    told = {k: v for k, v in (told or {}).items() if v is not None}
    unknown = set(told) - set(FIELDS)
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: expected some of {', '.join(FIELDS)}.")
    remembered = _Memo(module)
    clean = _images(CROP)
    hypotheses = list(dict.fromkeys(_hashable(h) for h in _candidates(
        module, inputs, {k: _frozen(v) for k, v in told.items()})))  # fmt: skip
    gains, error = _try(remembered, inputs, hypotheses, clean)
    if not gains:
        raise ValueError(
            f"the network cannot be called on an image: input {inputs[0]!r} has shape "
            f"{module.shapes[inputs[0]]}; expected one or two channels, NCHW or NHWC"
            + (f" ({error})." if error else ".")
        )
    best = _best(gains)
    rivals = {}
    for field in set(FIELDS) - set(told):
        others = {
            h: g for h, g in gains.items() if getattr(h, field) != getattr(best, field)
        }
        if others:
            other = max(others, key=lambda h, gains=others: gains[h])
            rivals[field] = (getattr(other, field), others[other])
    if told:
        # What would be found if nothing was told?
        free = map(_hashable, _candidates(module, inputs, {}))
        free, _ = _try(remembered, inputs, [h for h in free if h not in gains], clean)
        for field in told if free else ():
            other = _best(free)
            if free[other] > gains[best] and getattr(other, field) != getattr(
                best, field
            ):
                rivals[field] = (getattr(other, field), free[other])
    if gains[best] < MIN_GAIN:
        raise ValueError(
            f"no hypothesis denoises the bundled slice; the best, {_line(best)}, gains "
            f"{gains[best]:.2f} dB. State what you know: "
            f"{', '.join('--' + f for f in FIELDS)}, --inputs."
        )
    best = best._replace(schedule=_thawed(best.schedule))
    stride = _stride(module, inputs, best)
    model = _build(module, inputs, best, stride)
    return Findings(best, gains[_hashable(best)], rivals, stride, _range(model, clean))


def _line(h):
    return ", ".join(f"{f} {_text(v)}" for f, v in zip(FIELDS, h))


def _frozen(v):
    """Schedules in numbers, as a key."""
    if isinstance(v, dict):
        return tuple((k, tuple(n)) for k, n in v.items())
    return tuple(v) if isinstance(v, list) else v


def _thawed(v):
    return {k: list(n) for k, n in v} if isinstance(v, tuple) else v


def _hashable(h):
    return h._replace(schedule=_frozen(h.schedule))


def _stride(module, inputs, hypothesis):
    """The smallest power of two whose multiples the network accepts."""
    model = _build(module, inputs, hypothesis)
    if model.denoiser.net.size is not None:
        return 1
    for stride in (1, 2, 4, 8, 16, 32, 64):
        # Multiples of stride, and of nothing that is larger.
        size = (
            stride * (96 // stride // 2 * 2 + 1),
            stride * (64 // stride // 2 * 2 + 1),
        )
        x = torch.zeros(1, 2, *size)
        try:
            with torch.no_grad():
                if model(x, torch.tensor([LEVELS[1]])).shape == x.shape:
                    return stride
        except Exception:  # noqa: S112  a size that it refuses, whatever it says
            continue
    return 64


def _range(model, clean):
    """Levels around the tested ones at which the network denoises."""
    grid = np.geomspace(0.002, 20, 25)
    gain = np.array([float(_gains(model, clean[:1], [s])[0]) for s in grid])
    k = int(np.argmin(np.abs(grid - LEVELS[1])))
    good = gain > 0.3
    low = high = k
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(grid) and good[high + 1]:
        high += 1
    return round(float(grid[low]), 4), round(float(grid[high]), 4)
