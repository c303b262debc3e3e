"""mri-nufft: its operators as SigPy's, for PriorRecon and PosteriorSampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import sigpy as sp

__all__ = ["linop"]


def linop(operator: Any) -> sp.linop.Linop:
    """An operator of mri-nufft as a Linop.

    >>> A = spp.interop.mrinufft.linop(operator)
    >>> spp.app.PriorRecon.from_linop(A, y, prior, noise_std).run()

    Density compensation belongs into the weights of the data, not into the operator.

    Args:
        operator (FourierOperatorBase): ``mrinufft.get_operator(...)(samples, shape,
            n_coils=..., smaps=...)``, of one batch and without a density.

    Returns:
        Linop: from (H, W) with coil maps, else from (coils, H, W), to (coils, samples).

    Raises:
        ValueError: if it has several batches or a density compensation, with which
            its adjoint is none.
    """
    if operator.n_batchs != 1:
        raise ValueError(f"operator: has {operator.n_batchs} batches, expected one.")
    if operator.uses_density:
        raise ValueError(
            "operator: has a density compensation, with which it has no adjoint; make it "
            "with density=None."
        )
    return _Nufft(operator)


class _Nufft(sp.linop.Linop):
    def __init__(self, operator: Any) -> None:
        self.operator = operator
        shape = tuple(map(int, operator.shape))
        coils = [int(operator.n_coils)]
        ishape = shape if operator.uses_sense else (*coils, *shape)
        oshape = [*coils, int(operator.n_samples)]
        super().__init__(oshape, list(ishape))

    def _apply(self, input: Any) -> Any:
        out = self.operator.op(_single(input).reshape(self._image()))
        return out.reshape(self.oshape)

    def _adjoint_linop(self) -> sp.linop.Linop:
        return _Adjoint(self)

    def _image(self) -> list[int]:
        """(batch, coils or 1, H, W)."""
        n = len(self.operator.shape)
        coils = 1 if self.operator.uses_sense else self.ishape[0]
        return [1, coils, *self.ishape[-n:]]


class _Adjoint(sp.linop.Linop):
    def __init__(self, forward: _Nufft) -> None:
        self.forward = forward
        super().__init__(forward.ishape, forward.oshape)

    def _apply(self, input: Any) -> Any:
        data = _single(input).reshape([1, *self.ishape])
        return self.forward.operator.adj_op(data).reshape(self.oshape)

    def _adjoint_linop(self) -> sp.linop.Linop:
        return self.forward


def _single(x: Any) -> Any:
    """mri-nufft computes in the precision of its samples, which is single."""
    return sp.get_array_module(x).ascontiguousarray(x, np.complex64)
