r"""A density without its normalisation, :math:`p(x) \propto e^{-E(x)}`.

Learned convex penalties, and every other regulariser of which nothing is known but
its value and gradient, are priors by this: L-BFGS finds the maximum of the posterior,
Markov chains draw from it, both of which need differences of :math:`\log p` only, and
BART takes the loss. Bits per number would need the integral of :math:`e^{-E}`, so that
:meth:`~sigpy_priors.priors.base.DensityPrior.bits_per_dim` refuses.

References:
    LeCun, Y., et al. (2006). A tutorial on energy-based learning. MIT Press.
"""

from __future__ import annotations

from typing import Any

from sigpy_priors.priors.card import PriorCard
from sigpy_priors.priors.density import ChannelDensity
from sigpy_priors.priors.module import ChannelEnergy, exportable

__all__ = ["EnergyPrior"]


class EnergyPrior(ChannelDensity):
    r"""A torch module's energy as a prior, :math:`\log p = -E + \text{const}`.

    Args:
        energy (Module): E of images as channels (N, C, H, W), in nats: (N,), or terms
            (N, ...) that are summed. C is its attribute ``channels``: 2, the default,
            for real and imaginary part, 1 for the magnitude.
        card (PriorCard or None): what it was trained on.

    Raises:
        ValueError: if ``energy`` is no module, or of other channels.
    """

    normalised = False

    def __init__(self, energy: Any, card: PriorCard | None = None) -> None:
        from torch import nn

        if not isinstance(energy, nn.Module):
            raise ValueError(
                f"energy: expected a torch.nn.Module from channels (N, 2, H, W) to "
                f"(N,), got {type(energy).__name__}."
            )
        channels = getattr(energy, "channels", 2)
        if channels not in (1, 2):
            raise ValueError(f"energy: expected 1 or 2 channels, got {channels}.")
        super().__init__(ChannelEnergy(energy, channels), channels, card)
        self.model = energy

    def module(self) -> Any:
        return exportable(ChannelEnergy(self.model, self.channels))

    def _nats(self, channels):
        model = self.to(channels.device, channels.dtype)
        self.evaluations += len(channels)
        # Differences of it decide whether a chain moves.
        return -model.terms(channels).double().sum(dim=1)
