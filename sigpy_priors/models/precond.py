r"""Preconditionings: any diffusion network seen as a denoiser.

A denoiser is :math:`D(x, \sigma) = c_{skip} x + c_{out}
F(c_{in} x, c_{noise})`. The parametrisations in use (EDM, DDPM's eps, v, x0,
and score networks) differ only in those four functions of :math:`\sigma`,
which each class below states.

Everything in this file is *per real channel*: ``sigma`` is the standard
deviation in each of the two channels of a complex image, that is
:math:`\sigma_{complex} / \sqrt 2`; the square root of two is applied by
:class:`sigpy_priors.priors.network.NetworkPrior` and nowhere else.

References:
    Karras, T., Aittala, M., Aila, T., & Laine, S. (2022). Elucidating the
    design space of diffusion-based generative models. NeurIPS. Table 1.

    Ho, J., Jain, A., & Abbeel, P. (2020). Denoising diffusion probabilistic
    models. NeurIPS.

    Salimans, T., & Ho, J. (2022). Progressive distillation for fast sampling
    of diffusion models. ICLR. Appendix D.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from sigpy_priors.models.schedules import make_schedule

__all__ = [
    "Precond",
    "EDM",
    "Diffusion",
    "Direct",
    "Score",
    "VP",
    "OUTPUTS",
    "VP_OUTPUTS",
    "PRECONDS",
]


def _column(v):
    return v[:, None, None, None]


class Precond(nn.Module):
    """Abstract: a network and the four functions that make it a denoiser.

    Args:
        net (Module): maps (B, C, H, W) and a noise variable (B,) to
            (B, C, H, W).
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.stride = getattr(net, "stride", 1)

    def coefficients(self, sigma: Any) -> Any:
        """Return c_skip, c_out, c_in, c_noise, each of shape (B,)."""
        raise NotImplementedError

    def forward(self, x: Any, sigma: Any) -> Any:
        """Denoise ``x`` (B, C, H, W) at per-channel noise ``sigma`` (B,)."""
        c_skip, c_out, c_in, c_noise = self.coefficients(sigma)
        f = self.net(_column(c_in) * x, c_noise)
        return _column(c_skip) * x + _column(c_out) * f


class EDM(Precond):
    r"""EDM: unit variance in and out at every sigma.

    :math:`c_{skip} = s^2 / (\sigma^2 + s^2)`,
    :math:`c_{out} = \sigma s / \sqrt{\sigma^2 + s^2}`,
    :math:`c_{in} = 1 / \sqrt{\sigma^2 + s^2}`,
    :math:`c_{noise} = \ln(\sigma) / 4`, with s = ``sigma_data``.
    """

    def __init__(self, net: Any, sigma_data: float = 0.2) -> None:
        super().__init__(net)
        self.sigma_data = float(sigma_data)

    def coefficients(self, sigma: Any) -> Any:
        total = sigma**2 + self.sigma_data**2
        return (
            self.sigma_data**2 / total,
            sigma * self.sigma_data / total.sqrt(),
            total.rsqrt(),
            sigma.log() / 4,
        )


# What a network may put out, and what times it sits in D: functions of the noise
# level and of c_in.
OUTPUTS = {
    "denoiser": lambda s, c_in: (torch.zeros_like(s), torch.ones_like(s)),
    "residual": lambda s, c_in: (torch.ones_like(s), -torch.ones_like(s)),
    "eps": lambda s, c_in: (torch.ones_like(s), -s),
    "v": lambda s, c_in: (c_in**2, -s * c_in),
    "score": lambda s, c_in: (torch.ones_like(s), s**2 * c_in),
    "scaled_score": lambda s, c_in: (torch.ones_like(s), s),
}


class Diffusion(Precond):
    r"""Any diffusion network, by what it puts out and how noise is stated to it.

    Variance exploding (the schedule "sigma", "log_sigma" or "geometric"): the
    network sees x itself, :math:`c_{in} = 1`. Variance preserving (DDPM and
    its kin): with :math:`\sigma^2 = (1 - \bar\alpha) / \bar\alpha` it sees
    :math:`z = \sqrt{\bar\alpha} x`, :math:`c_{in} = 1/\sqrt{1 + \sigma^2}`.

    ============  ===================================  =====================
    output        F estimates                          D
    ============  ===================================  =====================
    denoiser      :math:`x_0`                          F
    residual      :math:`x - x_0`                      x - F
    eps           unit noise                           :math:`x - \sigma F`
    v             :math:`\sqrt{\bar\alpha} \epsilon    :math:`c_{in}^2 x
                  - \sqrt{1 - \bar\alpha} x_0`         - \sigma c_{in} F`
    score         gradient of the log-density of z     :math:`x + \sigma^2
                                                       c_{in} F`
    scaled_score  minus eps                            :math:`x + \sigma F`
    ============  ===================================  =====================

    Args:
        net (Module): the network.
        output (str): one of ``OUTPUTS``.
        schedule (str or mapping): how noise is stated
            (:func:`sigpy_priors.models.schedules.make_schedule`).
    """

    log_sigma: Any
    times: Any

    def __init__(
        self,
        net: nn.Module,
        output: str = "denoiser",
        schedule: str | Mapping = "sigma",
    ) -> None:
        super().__init__(net)
        if output not in OUTPUTS:
            raise ValueError(
                f"output must be one of {', '.join(OUTPUTS)}, got {output!r}."
            )
        self.output = output
        made = make_schedule(schedule)
        if output == "v" and not made.preserving:
            raise ValueError(
                "output 'v' is defined for variance-preserving schedules only, such "
                "as 'linear' or 'cosine'."
            )
        self.preserving = made.preserving
        self.condition = made.condition
        for name in ("log_sigma", "times"):
            table = getattr(made, name)
            table = None if table is None else torch.tensor(table).float()
            self.register_buffer(name, table, persistent=False)

    @property
    def sigma_range(self) -> Any:
        """The noise levels of the first and last time, or (0, inf)."""
        if self.log_sigma is None:
            return 0.0, math.inf
        return math.exp(self.log_sigma[0]), math.exp(self.log_sigma[-1])

    def time(self, sigma: Any) -> Any:
        """Time of ``sigma``, linear in log sigma between two entries."""
        table, times = self.log_sigma.to(sigma), self.times.to(sigma)
        log_sigma = sigma.log().clamp(table[0], table[-1])
        hi = torch.searchsorted(table, log_sigma).clamp(1, len(table) - 1)
        lo = hi - 1
        frac = (log_sigma - table[lo]) / (table[hi] - table[lo])
        return times[lo] + frac * (times[hi] - times[lo])

    def coefficients(self, sigma: Any) -> Any:
        c_in = (1 + sigma**2).rsqrt() if self.preserving else torch.ones_like(sigma)
        c_skip, c_out = OUTPUTS[self.output](sigma, c_in)
        c_noise = {"sigma": lambda s: s, "log_sigma": torch.log, "time": self.time}
        return c_skip, c_out, c_in, c_noise[self.condition](sigma)


class Direct(Diffusion):
    """The network is a denoiser already: D = F(x, sigma)."""

    def __init__(self, net: Any) -> None:
        super().__init__(net)


class Score(Diffusion):
    r"""Score network (SMLD / NCSN, variance exploding).

    Args:
        net (Module): the network.
        scaled (bool): True for networks whose output is already multiplied
            by sigma (NCSN++), then :math:`c_{out} = \sigma`.
        condition (str): what the network takes: "sigma" or "log_sigma".
    """

    def __init__(
        self, net: nn.Module, scaled: bool = False, condition: str = "sigma"
    ) -> None:
        if condition not in ("sigma", "log_sigma"):
            raise ValueError(
                f"condition must be 'sigma' or 'log_sigma', got {condition!r}."
            )
        super().__init__(net, "scaled_score" if scaled else "score", condition)


VP_OUTPUTS = ("eps", "v", "x0")


class VP(Diffusion):
    """Variance-preserving (DDPM) network in eps, v or x0 parametrisation.

    Args:
        net (Module): the network, conditioned on the time index.
        output (str): "eps", "v" or "x0".
        betas (sequence of float): noise schedule; the default is DDPM's
            linear one, 1000 steps from 1e-4 to 0.02.
    """

    def __init__(
        self, net: nn.Module, output: str = "eps", betas: Sequence[float] | None = None
    ) -> None:
        if output not in VP_OUTPUTS:
            raise ValueError(f"output must be one of {VP_OUTPUTS}, got {output!r}.")
        schedule = "linear" if betas is None else {"betas": betas}
        super().__init__(net, "denoiser" if output == "x0" else output, schedule)


PRECONDS = {
    "edm": EDM, "direct": Direct, "score": Score, "vp": VP, "diffusion": Diffusion
}  # fmt: skip
