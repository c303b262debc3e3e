r"""Random phase of magnitude images, drawn for a whole batch where its images are.

"smooth": a constant, a few cycles at most over the image, and now and then a bounded
function of the magnitude.

"measured": what gives scans their phase, with constants whose statistics are those of
measured phase (``tests/benchmarks/phase.py`` has them side by side):

- echo shift: a linear phase;
- background field (shim, eddy currents, coils): a Gaussian field with the spectrum
  :math:`(k^2 + k_0^2)^{-\alpha/2}`, k in cycles per field of view;
- air: the field :math:`1/3 - (k \cdot B_0)^2 / k^2` of the mask of air, with
  :math:`B_0` at a random angle in the plane. With :math:`k = |k|(\cos\phi, \sin\phi)` it is
  :math:`-1/6 - \cos 2a \cos(2\phi)/2 - \sin 2a \sin(2\phi)/2`: two fields of a slice,
  computed once, give it at every angle a;
- all of that times a strength, from spin echo to late gradient echo;
- chemical shift: a step of any size between dark and bright tissue.

References:
    Salomir, R., de Senneville, B. D., & Moonen, C. T. (2003). A fast calculation method for
    magnetic field inhomogeneity due to an arbitrary distribution of bulk susceptibility.
    Concepts in Magnetic Resonance B, 19(1), 26-34.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from sigpy_priors.train.config import PhaseConfig

__all__ = [
    "KNOTS",
    "Background",
    "air_fields",
    "chemical_shift",
    "linear",
    "smooth_basis",
    "smooth_fields",
    "tissue_phase",
]

# Side of the stored background fields, which are periodic.
_SIDE = 256
KNOTS = (2, 3, 4, 5)
"""tuple of int: knots per axis that smooth fields may have."""
_COARSE = 2  # the field of air is stored at this fraction of the resolution


def smooth_basis(size: int, device: torch.device) -> torch.Tensor:
    """Bicubic interpolation between knots as matrices.

    Args:
        size (int): number of pixels along an axis.
        device (device): where to.

    Returns:
        Tensor: (4, size, 5), for 2 to 5 knots, the unused columns zero.
    """
    out = torch.zeros(len(KNOTS), size, KNOTS[-1], device=device)
    for row, knots in zip(out, KNOTS):
        each = torch.eye(knots, device=device)[None, :, :, None].expand(
            -1, -1, -1, knots
        )
        field = F.interpolate(each, (size, 2), mode="bicubic", align_corners=True)
        row[:, :knots] = field[0, :, :, 0].T
    return out


def smooth_fields(
    basis: torch.Tensor, orders: torch.Tensor, knots: torch.Tensor
) -> torch.Tensor:
    """Smooth random fields, about unit variance.

    Args:
        basis (Tensor): of :func:`smooth_basis`.
        orders (Tensor): which of :data:`KNOTS` (B,).
        knots (Tensor): unit normal numbers (B, 25).

    Returns:
        Tensor: (B, size, size).
    """
    each = basis[orders]
    return each @ knots.reshape(-1, KNOTS[-1], KNOTS[-1]) @ each.mT


def _blurred(x: torch.Tensor, weight: float) -> torch.Tensor:
    """Images (B, H, W) smoothed by [w, 1 - 2 w, w] along both axes."""
    kernel = torch.tensor([weight, 1 - 2 * weight, weight], device=x.device)
    x = F.pad(x[:, None], (1, 1, 1, 1), mode="reflect")
    return F.conv2d(F.conv2d(x, kernel.view(1, 1, 3, 1)), kernel.view(1, 1, 1, 3))[:, 0]


def tissue_phase(
    magnitude: torch.Tensor, level: torch.Tensor, size: torch.Tensor
) -> torch.Tensor:
    """A bounded phase that follows the tissue, as of "smooth".

    Args:
        magnitude (Tensor): (B, H, W).
        level (Tensor): magnitude between the tissues (B, 1, 1).
        size (Tensor): radians (B, 1, 1).

    Returns:
        Tensor: radians (B, H, W).
    """
    return size * torch.tanh((magnitude - level) / 0.1)


def chemical_shift(
    magnitude: torch.Tensor, level: torch.Tensor, size: torch.Tensor
) -> torch.Tensor:
    """Phase of what is brighter than a level, as fat often is.

    Args:
        magnitude (Tensor): (B, H, W).
        level (Tensor): (B, 1, 1).
        size (Tensor): radians (B, 1, 1).

    Returns:
        Tensor: radians (B, H, W).
    """
    return size * torch.sigmoid((_blurred(magnitude, 0.2) - level) / 0.06)


def air_fields(magnitude: torch.Tensor, level: float) -> torch.Tensor:
    """The two fields of a slice that give the phase of its air at every angle.

    Args:
        magnitude (Tensor): slices (B, H, W), scale 1.
        level (float): air is darker.

    Returns:
        Tensor: (B, 2, H', W') at half the resolution: the mask of air times
        cos(2 phi)/2 and sin(2 phi)/2 in k-space.
    """
    h, w = magnitude.shape[-2:]
    coarse = F.avg_pool2d(magnitude[:, None], _COARSE, ceil_mode=True)[:, 0]
    air = (_blurred(coarse, 0.15) < level).float()
    h, w = air.shape[-2:]
    side = 2 * max(h, w)
    fy = torch.fft.fftfreq(side, device=air.device)[:, None]
    fx = torch.fft.rfftfreq(side, device=air.device)[None]
    k2 = (fx**2 + fy**2).clamp_min(1e-12)
    air = torch.fft.rfft2(air, (side, side))[:, None]
    both = torch.stack([(fx**2 - fy**2) / k2 / 2, fx * fy / k2])
    return torch.fft.irfft2(air * both, (side, side))[..., :h, :w]


class Background:
    """A store of background fields, windows of which are drawn.

    Args:
        config (PhaseConfig): their spectrum, and how many.
        seed (int): of the fields.
        device (device): where they are.
    """

    def __init__(self, config: PhaseConfig, seed: int, device: torch.device) -> None:
        rng = np.random.default_rng((seed, 2**32))
        f = np.fft.fftfreq(_SIDE) * _SIDE
        k2 = torch.from_numpy(f[:, None] ** 2 + f[None, : _SIDE // 2 + 1] ** 2)
        k2 = k2.float().to(device)
        fields = []
        for _ in range(config.fields):
            white = rng.standard_normal((_SIDE, _SIDE), dtype=np.float32)
            decay, knee = rng.uniform(*config.decay), rng.uniform(*config.knee)
            spectrum = torch.fft.rfft2(torch.from_numpy(white).to(device))
            spectrum = spectrum * (k2 + knee**2) ** (-decay / 2) * (k2 > 0)
            field = torch.fft.irfft2(spectrum, (_SIDE, _SIDE))
            fields.append((field / field.std()).half())
        self._flat = torch.stack(fields).flatten()
        self.count = config.fields

    def __call__(
        self, field: torch.Tensor, start: torch.Tensor, step: torch.Tensor, size: int
    ) -> torch.Tensor:
        """Windows of fields, bilinear between their samples.

        Args:
            field (Tensor): which one (B,).
            start (Tensor): first sample along both axes (B, 2), in fields of view.
            step (Tensor): pixel along both axes (B, 2), in fields of view; negative
                ones run backwards.
            size (int): height and width of the windows.

        Returns:
            Tensor: (B, size, size), unit variance over a field of view.
        """
        t = torch.arange(size, device=step.device)
        at = _SIDE * (start[..., None] + step[..., None] * t)  # (B, 2, size)
        low = at.floor()
        part = at - low
        low = low.long()
        rows = (low[:, 0] % _SIDE, (low[:, 0] + 1) % _SIDE)
        columns = (low[:, 1] % _SIDE, (low[:, 1] + 1) % _SIDE)
        base = (field * _SIDE**2)[:, None, None]
        y, x = part[:, 0, :, None], part[:, 1, None, :]
        out = torch.zeros((), device=step.device)
        for row, wy in zip(rows, (1 - y, y)):
            for column, wx in zip(columns, (1 - x, x)):
                index = base + (row * _SIDE)[:, :, None] + column[:, None, :]
                out = out + wy * wx * self._flat[index].float()
        return out


def linear(size: int, step: torch.Tensor) -> torch.Tensor:
    """Linear phase of echo shifts.

    Args:
        size (int): height and width.
        step (Tensor): cycles per pixel along both axes (B, 2).

    Returns:
        Tensor: radians (B, size, size).
    """
    t = torch.arange(size, device=step.device)
    ramps = 2 * math.pi * step[..., None] * t
    return ramps[:, 0, :, None] + ramps[:, 1, None, :]
