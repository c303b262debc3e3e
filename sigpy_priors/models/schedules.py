r"""Noise schedules of diffusion networks: which noise level a time stands for.

Noise levels are those of the image before any scaling,
:math:`\sigma_t^2 = (1 - \bar\alpha_t) / \bar\alpha_t` for a variance-preserving
process.

References:
    Ho, J., Jain, A., & Abbeel, P. (2020). Denoising diffusion probabilistic
    models. NeurIPS. ("linear")

    Nichol, A., & Dhariwal, P. (2021). Improved denoising diffusion
    probabilistic models. ICML. ("cosine")

    Song, Y., et al. (2021). Score-based generative modeling through stochastic
    differential equations. ICLR. ("vp", "geometric")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

__all__ = ["SCHEDULES", "Schedule", "make_schedule"]


class Schedule(NamedTuple):
    """How a network is told the noise level.

    Attributes:
        condition (str): "sigma", "log_sigma" or "time": what it takes.
        preserving (bool): its input is scaled to variance one.
        log_sigma, times (array or None): rising noise levels and their times.
    """

    condition: str
    preserving: bool = False
    log_sigma: np.ndarray | None = None
    times: np.ndarray | None = None


def _of_alpha_bar(alpha_bar, times=None):
    log_sigma = 0.5 * np.log((1 - alpha_bar) / alpha_bar)
    times = np.arange(len(alpha_bar), dtype=float) if times is None else times
    return Schedule("time", True, log_sigma, times)


def _of_betas(betas):
    betas = np.asarray(betas, dtype=np.float64)
    if betas.ndim != 1 or len(betas) < 2 or not ((betas > 0) & (betas < 1)).all():
        raise ValueError("betas must be a sequence of at least two numbers in (0, 1).")
    return _of_alpha_bar(np.cumprod(1 - betas))


def _of_sigmas(sigmas):
    """Levels by index, rising or falling (NCSN)."""
    sigmas = np.asarray(sigmas, dtype=np.float64)
    step = np.diff(sigmas) if sigmas.ndim == 1 else np.zeros(0)
    if (
        not len(step)
        or not (sigmas > 0).all()
        or not ((step > 0).all() or (step < 0).all())
    ):
        raise ValueError(
            "sigmas must be at least two positive numbers that rise, or fall."
        )
    times = np.arange(len(sigmas), dtype=float)
    if step[0] < 0:
        sigmas, times = sigmas[::-1].copy(), times[::-1].copy()
    return Schedule("time", False, np.log(sigmas), times)


def _whole(steps):
    """A number of steps as networks are trained with."""
    if not 2 <= steps <= 1_000_000 or steps != int(steps):
        raise ValueError(f"steps must be a whole number from 2 to 1e6, got {steps}")
    return int(steps)


def _linear(steps=1000, first=1e-4, last=0.02):
    steps = _whole(steps)
    return _of_betas(np.linspace(first, last, int(steps)))


def _scaled_linear(steps=1000, first=8.5e-4, last=0.012):
    steps = _whole(steps)
    return _of_betas(np.linspace(first**0.5, last**0.5, int(steps)) ** 2)


def _cosine(steps=1000):
    steps = _whole(steps)
    t = np.arange(int(steps) + 1) / int(steps)
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    return _of_betas(np.clip(1 - f[1:] / f[:-1], 1e-8, 0.999))


def _vp(low=0.1, high=20.0):
    t = np.linspace(1e-5, 1, 1000)
    return _of_alpha_bar(np.exp(-(low * t + 0.5 * (high - low) * t**2)), t)


def _geometric(low=0.01, high=50.0, steps=0):
    if steps:
        return _of_sigmas(np.geomspace(low, high, _whole(steps)))
    return _of_sigmas([low, high])


SCHEDULES = {
    "sigma": lambda: Schedule("sigma"),
    "log_sigma": lambda: Schedule("log_sigma"),
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "cosine": _cosine,
    "vp": _vp,
    "geometric": _geometric,
}


def make_schedule(spec: str | Mapping) -> Any:
    """A schedule from its name or its numbers.

    Args:
        spec (str or mapping): "sigma" and "log_sigma": the network is told the
            level itself or its logarithm; by time index "linear[:steps,first
            beta,last beta]", "scaled_linear[:...]", "cosine[:steps]"; by time
            between 0 and 1 "vp[:low,high]" and "geometric[:low,high]", the
            latter with a third number by index; or ``{"betas": [...]}``,
            ``{"sigmas": [...]}``: tables by index.

    Returns:
        Schedule: of the network.

    Raises:
        ValueError: for unknown names or impossible numbers.
    """
    if not isinstance(spec, str):
        kinds = {"betas": _of_betas, "sigmas": _of_sigmas}
        if len(spec) != 1 or next(iter(spec)) not in kinds:
            raise ValueError(
                f"a schedule in numbers is {{'betas': [...]}} or {{'sigmas': [...]}}, "
                f"got {dict(spec)}."
            )
        ((kind, numbers),) = spec.items()
        return kinds[kind](numbers)
    name, _, numbers = spec.partition(":")
    if name not in SCHEDULES:
        raise ValueError(
            f"unknown schedule {name!r}, expected one of {', '.join(SCHEDULES)}."
        )
    try:
        made = SCHEDULES[name](*(float(n) for n in numbers.split(",") if n))
    except (TypeError, ValueError, OverflowError) as e:
        raise ValueError(f"schedule {spec!r}: {e}") from e
    if made.log_sigma is not None and not np.isfinite(made.log_sigma).all():
        raise ValueError(f"schedule {spec!r} has levels that are not finite.")
    return made
