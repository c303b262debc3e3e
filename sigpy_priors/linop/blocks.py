"""Blocks of an array as the draws of a prior: patches, and structured matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_count, check_shape

__all__ = ["Hankel", "Patches"]


class _Blocks(sp.linop.Compose):
    r"""Abstract: pixels are repeated, so that :math:`W^H W` counts them."""

    def _counts(self) -> Array:
        return self.H(np.ones(self.oshape))

    @property
    def pinv(self) -> sp.linop.Linop:
        """Linop: the average over the blocks that have a pixel."""
        return _PixelWeights(self.ishape, 1 / self._counts()) * self.H

    def _normal_linop(self):
        return _PixelWeights(self.ishape, self._counts())


class _PixelWeights(sp.linop.Multiply):
    """Real weights of pixels, in the precision of the image."""

    def _apply(self, input):
        return super()._apply(input).astype(input.dtype, copy=False)

    def _adjoint_linop(self):
        return self


class Patches(_Blocks):
    r"""Square patches of an image that is periodic, overlapping or not.

    With a stride that divides the image, every pixel is in as many patches: a tight
    frame. With one of the patch's size this is a partition, and a random shift in
    every iteration hides its seams.

    Args:
        shape (tuple of int): image (H, W).
        size (int): of a patch, at most the image's.
        stride (int or None): pixels from patch to patch, at most the size; None for
            patches that do not overlap.
        shift (tuple of int): where the first patch begins.

    Output: (patches, size, size).

    Raises:
        ValueError: if the patches are larger than the image or leave gaps.

    References:
        Hu, J., et al. (2024). Learning image priors through patch-based diffusion
        models for solving inverse problems. NeurIPS.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        size: int,
        stride: int | None = None,
        shift: tuple[int, int] = (0, 0),
    ) -> None:
        shape = check_shape("shape", shape)
        size = check_count("size", size, high=min(shape))
        stride = size if stride is None else check_count("stride", stride, high=size)
        counts = [-(-n // stride) for n in shape]
        padded = [(n - 1) * stride + size for n in counts]
        shifted = sp.linop.Circshift(shape, [-int(s) for s in shift], axes=(-2, -1))
        blocks = sp.linop.ArrayToBlocks(padded, [size] * 2, [stride] * 2)
        out = (int(np.prod(counts)), size, size)
        super().__init__(
            [
                sp.linop.Reshape(out, blocks.oshape),
                blocks,
                _Periodic(padded, shape),
                shifted,
            ]
        )


class _Periodic(sp.linop.Linop):
    """Go on beyond the last row and column with the first ones, or end before."""

    def __init__(self, oshape: Any, ishape: Any) -> None:
        super().__init__(list(oshape), list(ishape))

    def _apply(self, input):
        xp = sp.get_array_module(input)
        for axis, n in enumerate(self.oshape):
            input = xp.take(input, xp.arange(n) % self.ishape[axis], axis)
        return input

    def _adjoint_linop(self):
        return _Folded(self)


class _Folded(sp.linop.Linop):
    """Add what is beyond the last row and column to the first ones."""

    def __init__(self, periodic: _Periodic) -> None:
        self.periodic = periodic
        super().__init__(periodic.ishape, periodic.oshape)

    def _apply(self, input):
        xp = sp.get_array_module(input)
        for axis, n in enumerate(self.oshape):
            x = xp.moveaxis(input, axis, 0)
            out = xp.zeros((n, *x.shape[1:]), x.dtype)
            for start in range(0, len(x), n):
                part = x[start : start + n]
                out[: len(part)] += part
            input = xp.moveaxis(out, 0, axis)
        return input

    def _adjoint_linop(self):
        return self.periodic


class Hankel(_Blocks):
    r"""Every window of k-space as one row of a block-Hankel matrix.

    Where an image has a support, a smooth phase or smooth coils, this matrix has a low
    rank; with :class:`sigpy_priors.prox.LowRankProj` as its prox that is SAKE, and, on
    k-space with its conjugate mirror image as further coils, LORAKS.

    Args:
        shape (tuple of int): k-space (coils, H, W) or (H, W).
        size (int): of the window.

    Output: (windows, coils * size * size).

    References:
        Shin, P. J., et al. (2014). Calibrationless parallel imaging reconstruction
        based on structured low-rank matrix completion. MRM, 72(4), 959-970.

        Haldar, J. P. (2014). Low-rank modeling of local k-space neighborhoods
        (LORAKS) for constrained MRI. IEEE TMI, 33(3), 668-681.
    """

    def __init__(self, shape: tuple[int, ...], size: int) -> None:
        shape = check_shape("shape", shape)
        size = check_count("size", size, high=min(shape[-2:]))
        window = [*shape[:-2], size, size]
        blocks = sp.linop.ArrayToBlocks(shape, window, [1] * len(shape))
        matrix = (int(np.prod(blocks.oshape[: len(shape)])), int(np.prod(window)))
        super().__init__([sp.linop.Reshape(matrix, blocks.oshape), blocks])
