r"""What a network is trained for: the loss, and how its progress is judged.

Denoisers: EDM's loss, that is :math:`E \|D(x_0 + n, \sigma) - x_0\|^2 /
c_{out}^2`, the squared error of the network proper, so that every noise level
weighs alike (Karras et al. 2022, Section 5). Of images with noise of their own it is the
error of the estimate of the noisy image (:mod:`sigpy_priors.train.ambient`).

Densities: the negative log-likelihood in bits per real number of
:math:`x_0 + n`, with noise of one level. A density without any noise knows
nothing of the images beside the true ones, so that its gradient would not
lead there (Vincent 2011, Song & Ermon 2019).

Energies: denoising score matching at one level (Vincent 2011), which needs no
normalisation: :math:`E \|x_0 - x + \sigma_c^2 \nabla E(x)\|^2 / \sigma_c^2` with
:math:`x = x_0 + n` and :math:`\sigma_c` the deviation of a channel of n, by Tweedie's
formula the squared error of the denoiser that the energy's gradient step is.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from sigpy_priors.models import build_model
from sigpy_priors.priors.module import (
    ChannelDenoiser,
    add_noise,
    channel_sigma,
    density_channels,
)
from sigpy_priors.show.metrics import psnr_of_mse
from sigpy_priors.train.ambient import added_level, lowest_level, noisy_estimate
from sigpy_priors.train.batches import Batch
from sigpy_priors.train.validation import (
    bits_per_dim,
    denoising_psnr,
    trivial_bits,
    validation_set,
)

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "DenoiserObjective",
    "DensityObjective",
    "EnergyObjective",
    "OBJECTIVES",
    "Objective",
]


class Objective:
    """Abstract: a network and what it is trained for.

    Args:
        config (TrainConfig): the run.

    Attributes:
        net (Module): the network, not trained.
        quietest (float): noise level of the images that have least.
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self.quietest = 0.0
        self.net = build_model(config.model.model_dump(), config.card.package)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Loss of a batch.

        Args:
            model (Module): the network, perhaps wrapped.
            batch (Batch): images, noise and levels.

        Returns:
            Tensor: scalar.
        """
        raise NotImplementedError

    def validation(self, data: Any) -> Any:
        """What :meth:`validate` needs, made once."""
        return validation_set(self.config, data, self.net.stride)

    def validate(self, net: Any, val: Any) -> None:
        """Figures of merit, name to value."""
        raise NotImplementedError

    def score(self, table: Any) -> float:
        """The figures as one number, the higher the better."""
        raise NotImplementedError

    def show(self, table: Any) -> None:
        """The figures, short, for a progress bar: (name, text)."""
        raise NotImplementedError

    def card(self, table: Any, val: Any) -> None:
        """Fields of the card that this kind of prior has."""
        raise NotImplementedError

    def _autocast(self, device):
        if self.config.optim.precision == "bfloat16":
            return torch.autocast(device.type, dtype=torch.bfloat16)
        return nullcontext()


class DenoiserObjective(Objective):
    """EDM loss; PSNR of denoised validation slices."""

    def loss(self, model: Any, batch: Batch) -> Any:
        x, sigma = batch.x, batch.sigma
        added = sigma if batch.own is None else added_level(sigma, batch.own)
        noisy = add_noise(x, batch.noise, added)
        with self._autocast(x.device):
            out = ChannelDenoiser(model)(noisy, sigma)
        out = out.float()
        if batch.own is not None:
            out = noisy_estimate(noisy, out, sigma, added)
        c_out = self.net.coefficients(channel_sigma(sigma))[1]
        error = (out - x).square().mean(dim=(1, 2, 3))
        return (error / c_out**2).mean()

    def validate(self, net: Any, val: Any) -> Any:
        table = denoising_psnr(net, *val)
        return {f"psnr/sigma={level:g}": v for level, v in table.items()}

    def score(self, table: Any) -> float:
        return sum(table.values()) / len(table)

    def show(self, table: Any) -> Any:
        return "PSNR", "/".join(f"{v:.1f}" for v in table.values())

    def card(self, table: Any, val: Any) -> Any:
        validation = {}
        if table:
            rounded = {k.partition("=")[2]: round(v, 2) for k, v in table.items()}
            validation = {"denoising PSNR in dB by sigma": rounded}
        sigma = self.config.sigma
        # Below the noise of all images nothing was learned: there the score is held.
        low = max(sigma.min, lowest_level(self.quietest))
        return {"sigma_range": (low, sigma.max), "validation": validation}


class DensityObjective(Objective):
    """Negative log-likelihood; bits per dimension of validation slices."""

    def _images(self, x, noise, sigma):
        """What the density is of: noisy images on the grid of its values."""
        x = density_channels(add_noise(x, noise, sigma), self.net.channels)
        return self.net.mixture.quantize(x)

    def loss(self, model: Any, batch: Batch) -> Any:
        with self._autocast(batch.x.device):
            log_prob = model(self._images(batch.x, batch.noise, batch.sigma))
        return -log_prob.mean() / (math.log(2) * self.net.channels)

    def validation(self, data: Any) -> Any:
        clean, noise = super().validation(data)
        sigma = torch.full((len(clean),), self.config.sigma.center)
        return self._images(clean, noise, sigma)

    def validate(self, net: Any, val: Any) -> Any:
        return {"bits_per_dim": bits_per_dim(net, val)}

    def score(self, table: Any) -> float:
        return -table["bits_per_dim"]

    def show(self, table: Any) -> Any:
        return "bits/dim", f"{table['bits_per_dim']:.3f}"

    def card(self, table: Any, val: Any) -> Any:
        validation = {}
        if table:
            # Fitted to the validation slices themselves: the best they can do.
            table = {"PixelCNN": table["bits_per_dim"], **trivial_bits(self.net, val)}
            rounded = {k: round(v, 3) for k, v in table.items()}
            validation = {"bits per dimension": rounded}
        return {
            "kind": "density",
            "sigma_range": None,
            "sigma": self.config.sigma.center,
            "validation": validation,
        }


class EnergyObjective(Objective):
    """Denoising score matching; PSNR of validation slices after one gradient step."""

    def _denoised(self, model, noisy, sigma, train):
        """The step that by Tweedie's formula is a denoiser."""
        with torch.enable_grad():
            noisy = noisy.requires_grad_(True)
            energy = model(density_channels(noisy, self.net.channels)).sum()
            (grad,) = torch.autograd.grad(energy, noisy, create_graph=train)
        variance = channel_sigma(sigma).square()[:, None, None, None]
        return noisy - variance * grad

    def loss(self, model: Any, batch: Batch) -> Any:
        noisy = add_noise(batch.x, batch.noise, batch.sigma)
        with self._autocast(noisy.device):
            out = self._denoised(model, noisy, batch.sigma, True)
        error = (out.float() - batch.x).square().mean(dim=(1, 2, 3))
        return (error / channel_sigma(batch.sigma).square()).mean()

    def validate(self, net: Any, val: Any) -> Any:
        device = next(net.parameters()).device
        sigma = torch.full((1,), self.config.sigma.center, device=device)
        found = {"noisy": [], "denoised": []}
        for x, n in zip(*val):
            x, n = x[None].to(device), n[None].to(device)
            noisy = add_noise(x, n, sigma)
            out = self._denoised(net, noisy.clone(), sigma, False)
            for name, image in (("noisy", noisy), ("denoised", out.detach())):
                mse = (image - x).square().sum(dim=1).mean()
                found[name].append(psnr_of_mse(mse.item()))
        return {f"psnr/{k}": sum(v) / len(v) for k, v in found.items()}

    def score(self, table: Any) -> float:
        return table["psnr/denoised"]

    def show(self, table: Any) -> Any:
        return "PSNR", f"{table['psnr/denoised']:.2f}"

    def card(self, table: Any, val: Any) -> Any:
        rounded = {k.partition("/")[2]: round(v, 2) for k, v in (table or {}).items()}
        what = f"PSNR in dB at sigma {self.config.sigma.center:g}"
        return {
            "kind": "energy",
            "sigma_range": None,
            "sigma": self.config.sigma.center,
            "validation": {what: rounded} if rounded else {},
        }


OBJECTIVES = {
    "denoiser": DenoiserObjective,
    "density": DensityObjective,
    "energy": EnergyObjective,
}
