r"""Simultaneous multislice: several slices, one k-space.

Slices that are excited together add up in every coil. Each has coil maps of its own,
and CAIPIRINHA gives it a phase of its own in every phase-encoded line, so that in the
image the slices are shifted against each other and the coils tell them apart better.

References:
    Larkman, D. J., Hajnal, J. V., Herlihy, A. H., Coutts, G. A., Young, I. R., &
    Ehnholm, G. (2001). Use of multicoil arrays for separation of signal from multiple
    slices simultaneously excited. JMRI, 13(2), 313-317.
    Breuer, F. A., Blaimer, M., Heidemann, R. M., Mueller, M. F., Griswold, M. A., &
    Jakob, P. M. (2005). Controlled aliasing in parallel imaging results in higher
    acceleration (CAIPIRINHA) for multi-slice imaging. MRM, 53(3), 684-691.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.linop.multicoil import fft_module, varies

__all__ = ["Sms"]


class Sms(sp.linop.Linop):
    r"""Multi-coil k-space of slices that were excited together.

    .. math::
        y_c(k) = m(k) \sum_s e^{2 \pi i \phi_s(k_p)}\, (F\, S_{s c}\, x_s)(k),
        \quad \phi_s(k_p) = k_p\, d_s

    with the line :math:`k_p` along the phase encoding, 0 at the centre of k-space, and
    the orthonormal, centred Fourier transform of :class:`sigpy.mri.linop.Sense`, which
    this is for one slice without a shift. In the image of the sum slice s appears
    :math:`d_s` fields of view towards lower indices. Of CAIPIRINHA with MB slices,
    in-plane acceleration R and FOV/n shifts, which are those of the aliased image of
    FOV/R, :math:`d_s = s / (n R)`.

    Lines that were not acquired are zeros of the mask: in-plane acceleration, partial
    Fourier, any pattern.

    Args:
        mps (array): maps (MB, coils, H, W), each slice at its own place.
        shifts (array): :math:`d_s` in fields of view (MB,), or, for blips that are no
            ramp, the phase :math:`\phi_s` of every line in cycles, (MB, lines).
        mask (array or None): where k-space was sampled, or the root of weights; of
            shape (H, W) or one that broadcasts to (coils, H, W); None is everywhere.
        axis (int): of the phase encoding, -2 (H) or -1 (W); ISMRMRD files are read
            with the readout along W.

    Raises:
        ValueError: naming the argument whose shape or values do not fit.
    """

    def __init__(
        self,
        mps: Array,
        shifts: Any,
        mask: Array | float | None = None,
        axis: int = -2,
    ) -> None:
        if getattr(mps, "ndim", 0) != 4:
            raise ValueError(
                f"mps: expected maps of every slice, (MB, coils, H, W), got shape "
                f"{getattr(mps, 'shape', None)}; maps (coils, H, W) of one slice are "
                f"mps[None], and np.stack puts several together."
            )
        if axis not in (-2, -1):
            raise ValueError(
                f"axis: expected -2 or -1, that of the phase encoding in (H, W), got "
                f"{axis!r}."
            )
        xp = sp.get_array_module(mps)
        self.mps, self.axis = mps, axis
        self.phases = _phases(shifts, len(mps), mps.shape[axis])
        # Of lines only, (MB, 1, lines, 1) or (MB, 1, 1, lines).
        ramps = np.exp(2j * np.pi * self.phases).astype(mps.dtype)
        self._ramps = xp.asarray(np.expand_dims(ramps, (1, -3 - axis)))
        self.mask = _mask(xp, mask, mps)
        super().__init__(mps.shape[1:], (len(mps), *mps.shape[2:]))

    @property
    def _readout(self):
        return -3 - self.axis

    def _apply(self, input):
        ksp: Any = 0
        for x, mps, ramp in zip(input, self.mps, self._ramps):
            ksp = ksp + ramp * sp.fft(mps * x, axes=(self.axis,))
        return self.mask * sp.fft(ksp, axes=(self._readout,))

    def _adjoint_linop(self):
        return _SmsAdjoint(self)

    def _normal_linop(self):
        return _SmsNormal(self)


class _SmsAdjoint(sp.linop.Linop):
    """Adjoint of :class:`Sms`: the image of every slice, its own shift taken back."""

    def __init__(self, parent: Sms) -> None:
        self.parent = parent
        super().__init__(parent.ishape, parent.oshape)

    def _apply(self, input):
        p = self.parent
        xp = sp.get_array_module(input)
        ksp = sp.ifft(p.mask.conj() * input, axes=(p._readout,))
        return xp.stack([
            (mps.conj() * sp.ifft(ramp.conj() * ksp, axes=(p.axis,))).sum(axis=0)
            for mps, ramp in zip(p.mps, p._ramps)
        ])  # fmt: skip

    def _adjoint_linop(self):
        return self.parent


class _SmsNormal(sp.linop.Linop):
    """Normal operator of :class:`Sms`, without FFT shifts and needless transforms.

    Maps, phases and mask are shifted once instead of all coil images four times. Slices
    are added up before the transform along the readout, which is left out where the
    mask does not change along it.
    """

    def __init__(self, parent: Sms) -> None:
        xp = sp.get_array_module(parent.mps)
        weights = xp.abs(parent.mask) ** 2
        self.phase, self.readout = parent.axis, parent._readout
        self.transforms_readout = varies(xp, weights, self.readout)
        axes = (self.phase,)
        if self.transforms_readout:
            axes = (-2, -1)
        else:
            weights = xp.take(weights, xp.asarray([0]), self.readout)
        self.axes = axes
        self.mps = xp.fft.ifftshift(parent.mps, axes=axes)
        # Axes of length one broadcast; shifting leaves them as they are.
        self.weights = xp.fft.ifftshift(weights, axes=axes)
        self.ramps = xp.fft.ifftshift(parent._ramps, axes=axes)
        self._mps_conj, self._ramps_conj = self.mps.conj(), self.ramps.conj()
        super().__init__(parent.ishape, parent.ishape)

    def _apply(self, input):
        xp = sp.get_array_module(input)
        fft = fft_module(xp)
        inplace = {"overwrite_x": True} if fft is not xp.fft else {}
        along, across = (
            {"axis": self.phase, **inplace},
            {"axis": self.readout, **inplace},
        )
        ksp: Any = 0
        for x, mps, ramp in zip(
            xp.fft.ifftshift(input, axes=self.axes), self.mps, self.ramps
        ):
            part = fft.fft(mps * x, **along)
            part *= ramp
            ksp = ksp + part
        if self.transforms_readout:
            ksp = fft.fft(ksp, **across)
        ksp *= self.weights
        if self.transforms_readout:
            ksp = fft.ifft(ksp, **across)
        out = []
        for mps, ramp in zip(self._mps_conj, self._ramps_conj):
            part = fft.ifft(ramp * ksp, **along)
            part *= mps
            out.append(part.sum(axis=0))
        return xp.fft.fftshift(xp.stack(out), axes=self.axes).astype(
            input.dtype, copy=False
        )

    def _adjoint_linop(self):
        return self


def _phases(shifts: Any, slices: int, lines: int) -> np.ndarray:
    """Phase of every line of every slice in cycles, (MB, lines)."""
    shifts = sp.to_device(shifts, sp.cpu_device) if hasattr(shifts, "dtype") else shifts
    try:
        shifts = np.asarray(shifts, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"shifts: expected real numbers, got {type(shifts).__name__}."
        ) from None
    if shifts.shape not in ((slices,), (slices, lines)):
        raise ValueError(
            f"shifts: expected one for each of the {slices} slices of mps, ({slices},), "
            f"in fields of view, or the phase of each line in cycles, ({slices}, "
            f"{lines}), got shape {shifts.shape}."
        )
    if not np.isfinite(shifts).all():
        raise ValueError("shifts: some are NaN or infinite, expected none.")
    if shifts.ndim == 2:
        return shifts
    return shifts[:, None] * (np.arange(lines) - lines // 2)


def _mask(xp: Any, mask: Any, mps: Array) -> Array:
    """Three axes that broadcast to k-space, in the precision of the maps."""
    mask = xp.asarray(1.0 if mask is None else mask)
    fits = mask.ndim <= 3 and all(
        n in (1, m) for n, m in zip(mask.shape[::-1], mps.shape[:0:-1])
    )
    if not fits:
        raise ValueError(
            f"mask: expected a shape that broadcasts to k-space {mps.shape[1:]}, got "
            f"{mask.shape}; of lines along H it is mask[:, None]."
        )
    mask = mask.reshape((1,) * (3 - mask.ndim) + mask.shape)
    return mask.astype(mps.dtype if mask.dtype.kind == "c" else mps.real.dtype)
