r"""Learning of clean images from noisy ones: ambient score matching.

A training image :math:`x_1 = x_0 + n_0` has noise of level :math:`s_0` of its own. With
noise of level s added to it, :math:`x_t` has :math:`s_t^2 = s_0^2 + s^2` in all, and since
both noises are Gaussian, :math:`E[n | x_t] = (s^2 / s_t^2) E[n_0 + n | x_t]`, that is

.. math:: E[x_1 | x_t] = x_t + (s^2 / s_t^2) (E[x_0 | x_t] - x_t).

A network D that is to be :math:`E[x_0 | x_t]` at the level :math:`s_t` is therefore trained
by the squared error of the right hand side against the noisy image: its minimum over D is
the posterior mean of the *clean* image. Below :math:`s_0` the image has nothing to say: the
factor is zero there. It all holds for every pixel alone, so that :math:`s_0` may vary over
the image, as it does where augmentation has changed the gain; s then varies as well, and
:math:`s_t` not.

References:
    Daras, G., Shah, K., Dagan, Y., Gollakota, A., Dimakis, A., & Klivans, A. (2023).
    Ambient diffusion: learning clean distributions from corrupted data. NeurIPS.

    Daras, G., Dimakis, A., & Daskalakis, C. (2024). Consistent diffusion meets Tweedie:
    training exact ambient diffusion models with noisy data. ICML. Lemma 3.1.
"""

from __future__ import annotations

import math
from typing import Any

import torch

__all__ = ["LEAST_SHARE", "added_level", "lowest_level", "noisy_estimate"]

# A slice is drawn at levels of which its own noise leaves at least this part (as power)
# to be added: below, it would say next to nothing.
LEAST_SHARE = 0.2


def lowest_level(own: Any) -> Any:
    """The lowest total level at which images of this own noise level are shown."""
    return own / math.sqrt(1 - LEAST_SHARE)


def added_level(sigma: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Level of the noise that makes the total one ``sigma``.

    Args:
        sigma (Tensor): total complex noise levels (B,).
        own (Tensor): complex noise that the images have, (B, 1, H, W).

    Returns:
        Tensor: complex noise levels like ``own``, zero where it is above the total.
    """
    total = sigma.reshape(-1, 1, 1, 1)
    return (total.square() - own.square()).clamp_min(0).sqrt()


def noisy_estimate(
    noisy: torch.Tensor, clean: torch.Tensor, sigma: torch.Tensor, added: torch.Tensor
) -> torch.Tensor:
    """The estimate of the noisy training image that belongs to one of the clean image.

    Args:
        noisy (Tensor): network input (B, 2, H, W).
        clean (Tensor): estimate of the clean image, likewise.
        sigma (Tensor): total complex noise levels (B,).
        added (Tensor): of :func:`added_level`.

    Returns:
        Tensor: like ``clean``.
    """
    share = (added / sigma.reshape(-1, 1, 1, 1)).square()
    return noisy + share * (clean - noisy)
