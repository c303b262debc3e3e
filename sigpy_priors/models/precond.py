r"""Preconditionings: any diffusion network seen as a denoiser.

A denoiser is :math:`D(x, \sigma) = c_{skip} x + c_{out}
F(c_{in} x, c_{noise})`. The parametrisations in use (EDM, DDPM's eps, v, x0,
and score networks) differ only in those four functions of :math:`\sigma`,
which each class below states.

Everything in this file is *per real channel*: ``sigma`` is the standard
deviation in each of the two channels of a complex image, that is
:math:`\sigma_{complex} / \sqrt 2`; the square root of two is applied by
:class:`sigpy_priors.prior.NetworkPrior` and nowhere else.

References:
    Karras, T., Aittala, M., Aila, T., & Laine, S. (2022). Elucidating the
    design space of diffusion-based generative models. NeurIPS. Table 1.

    Ho, J., Jain, A., & Abbeel, P. (2020). Denoising diffusion probabilistic
    models. NeurIPS.

    Salimans, T., & Ho, J. (2022). Progressive distillation for fast sampling
    of diffusion models. ICLR. Appendix D.
"""

import math

import torch
from torch import nn

__all__ = ["Precond", "EDM", "Direct", "Score", "VP", "VP_OUTPUTS", "PRECONDS"]


def _column(v):
    return v[:, None, None, None]


class Precond(nn.Module):
    """Abstract: a network and the four functions that make it a denoiser.

    Args:
        net (Module): maps (B, C, H, W) and a noise variable (B,) to
            (B, C, H, W).
    """

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.stride = getattr(net, "stride", 1)

    def coefficients(self, sigma):
        """Return c_skip, c_out, c_in, c_noise, each of shape (B,)."""
        raise NotImplementedError

    def forward(self, x, sigma):
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

    def __init__(self, net, sigma_data=0.2):
        super().__init__(net)
        self.sigma_data = float(sigma_data)

    def coefficients(self, sigma):
        total = sigma**2 + self.sigma_data**2
        return (
            self.sigma_data**2 / total,
            sigma * self.sigma_data / total.sqrt(),
            total.rsqrt(),
            sigma.log() / 4,
        )


class Direct(Precond):
    """The network is a denoiser already: D = F(x, sigma)."""

    def coefficients(self, sigma):
        one = torch.ones_like(sigma)
        return 0 * one, one, one, sigma


class Score(Precond):
    r"""Score network (SMLD / NCSN, variance exploding).

    F estimates :math:`\nabla \log p_\sigma(x)`, so
    :math:`c_{skip} = 1`, :math:`c_{out} = \sigma^2`, :math:`c_{in} = 1`.

    Args:
        net (Module): the network.
        scaled (bool): True for networks whose output is already multiplied
            by sigma (NCSN++), then :math:`c_{out} = \sigma`.
        condition (str): what the network takes: "sigma" or "log_sigma".
    """

    def __init__(self, net, scaled=False, condition="sigma"):
        super().__init__(net)
        if condition not in ("sigma", "log_sigma"):
            raise ValueError(
                f"condition must be 'sigma' or 'log_sigma', got {condition!r}."
            )
        self.scaled = scaled
        self.condition = condition

    def coefficients(self, sigma):
        one = torch.ones_like(sigma)
        noise = sigma if self.condition == "sigma" else sigma.log()
        return one, sigma if self.scaled else sigma**2, one, noise


VP_OUTPUTS = ("eps", "v", "x0")


class VP(Precond):
    r"""Variance-preserving (DDPM) network in eps, v or x0 parametrisation.

    With :math:`\sigma^2 = (1 - \bar\alpha) / \bar\alpha` a DDPM network at
    time t sees :math:`z = \sqrt{\bar\alpha} x = x / \sqrt{1 + \sigma^2}`, so
    :math:`c_{in} = 1/\sqrt{1+\sigma^2}`, :math:`c_{noise} = t(\sigma)`, and

    - eps: :math:`c_{skip} = 1`, :math:`c_{out} = -\sigma`
    - v: :math:`c_{skip} = 1/(1+\sigma^2)`,
      :math:`c_{out} = -\sigma/\sqrt{1+\sigma^2}`
    - x0: :math:`c_{skip} = 0`, :math:`c_{out} = 1`

    Args:
        net (Module): the network, conditioned on the time index.
        output (str): "eps", "v" or "x0".
        betas (sequence of float): noise schedule; the default is DDPM's
            linear one, 1000 steps from 1e-4 to 0.02.
    """

    def __init__(self, net, output="eps", betas=None):
        super().__init__(net)
        if output not in VP_OUTPUTS:
            raise ValueError(f"output must be one of {VP_OUTPUTS}, got {output!r}.")
        self.output = output
        if betas is None:
            betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
        betas = torch.as_tensor(betas, dtype=torch.float64)
        if betas.ndim != 1 or len(betas) < 2 or not ((betas > 0) & (betas < 1)).all():
            raise ValueError(
                "betas must be a sequence of at least two numbers in (0, 1)."
            )
        alpha_bar = torch.cumprod(1 - betas, 0)
        log_sigma = 0.5 * torch.log((1 - alpha_bar) / alpha_bar)
        self.register_buffer("log_sigma", log_sigma.float(), persistent=False)

    @property
    def sigma_range(self):
        """The per-channel noise levels of the first and last time step."""
        return math.exp(self.log_sigma[0]), math.exp(self.log_sigma[-1])

    def time(self, sigma):
        """Time index of ``sigma``, linear in log sigma between two steps."""
        table = self.log_sigma.to(sigma)
        log_sigma = sigma.log().clamp(table[0], table[-1])
        hi = torch.searchsorted(table, log_sigma).clamp(1, len(table) - 1)
        lo = hi - 1
        frac = (log_sigma - table[lo]) / (table[hi] - table[lo])
        return lo + frac

    def coefficients(self, sigma):
        c_in = (1 + sigma**2).rsqrt()
        c_noise = self.time(sigma)
        if self.output == "eps":
            return torch.ones_like(sigma), -sigma, c_in, c_noise
        if self.output == "v":
            return c_in**2, -sigma * c_in, c_in, c_noise
        return torch.zeros_like(sigma), torch.ones_like(sigma), c_in, c_noise


PRECONDS = {"edm": EDM, "direct": Direct, "score": Score, "vp": VP}
