"""One image as several channels: copies of it, or what coils see."""

from __future__ import annotations

import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_count, check_shape

__all__ = ["Coils", "Copies"]


class Copies(sp.linop.Tile):
    r"""The same image several times, :math:`W^H W = K`.

    Args:
        shape (tuple of int): image (..., H, W).
        count (int): K.

    Output: (K, ..., H, W).

    References:
        Quan, C., et al. (2021). Homotopic gradients of generative density priors for
        MR image reconstruction. IEEE TMI, 40(12). Three copies.
    """

    def __init__(self, shape: tuple[int, ...], count: int) -> None:
        shape = check_shape("shape", shape)
        super().__init__((check_count("count", count), *shape), (0,))

    @property
    def pinv(self) -> sp.linop.Linop:
        """Linop: their mean."""
        return (1 / self.oshape[0]) * self.H

    def _normal_linop(self):
        return self.oshape[0] * sp.linop.Identity(self.ishape)


class Coils(sp.linop.Multiply):
    r"""Coil images :math:`S_j x`, with maps divided by their root sum of squares.

    So :math:`W^H W = 1` where the maps are not zero, and 0 elsewhere.

    Args:
        mps (array): sensitivity maps (coils, H, W).

    Output: (coils, H, W).
    """

    def __init__(self, mps: Array) -> None:
        xp = sp.get_array_module(mps)
        rss = xp.sqrt((xp.abs(mps) ** 2).sum(axis=0))
        super().__init__(mps.shape[1:], mps / xp.where(rss > 0, rss, 1))

    @property
    def pinv(self) -> sp.linop.Linop:
        """Linop: the adjoint."""
        return self.H
