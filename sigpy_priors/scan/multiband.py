"""From k-space of slices that were excited together to a :class:`Problem`."""

from __future__ import annotations

from typing import Any

import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.linop import Sms
from sigpy_priors.scan.checks import check_array, check_cartesian
from sigpy_priors.scan.maps import estimate_maps
from sigpy_priors.scan.problem import Problem
from sigpy_priors.scan.sense import problem_with

__all__ = ["calibration_maps", "sms_problem"]


def sms_problem(
    y: Array,
    mps: Array,
    shifts: Any,
    weights: Array | float | None = None,
    noise_std: float | None = None,
    noise: Array | None = None,
    axis: int = -2,
    device: Any = sp.cpu_device,
) -> Problem:
    r"""The problem of simultaneous multislice k-space, of a stack of images.

    As :func:`sigpy_priors.scan.sense.sense_problem` of one slice: units do not
    matter, coils that are zero, repeated or noisy are treated as they should, and the
    noise level comes from what the data leave unexplained. ``PriorRecon.of`` and
    ``PosteriorSampling.of`` take it; the prior sees each slice.

    Args:
        y (array): k-space of the sum (coils, H, W), zero where not sampled.
        mps (array): maps (MB, coils, H, W), each slice at its own place, such as
            :func:`calibration_maps` of a single-band scan.
        shifts (array): of the slices, as of :class:`sigpy_priors.linop.Sms`.
        weights (float, array or None): relative precisions of the data; None is the
            mask of what was sampled.
        noise_std (float or None): standard deviation of the complex noise of
            ``y``; None estimates it.
        noise (array or None): covariance, deviations or a noise scan of the coils.
        axis (int): of the phase encoding, -2 or -1.
        device (Device): to compute on.

    Returns:
        Problem: of images (MB, H, W).

    Raises:
        ValueError: naming the argument that is wrong, and what to do.

    References:
        Barth, M., Breuer, F., Koopmans, P. J., Norris, D. G., & Poser, B. A. (2016).
        Simultaneous multislice (SMS) imaging techniques. MRM, 75(1), 63-81.
    """
    y, mps = check_array("y", y), check_array("mps", mps)
    if y.ndim != 3 or mps.ndim != 4 or mps.shape[1:] != y.shape:
        raise ValueError(
            f"y and mps: expected k-space (coils, H, W) and maps (MB, coils, H, W), got "
            f"{y.shape} and {mps.shape}; one multiband group at a time."
        )
    if not sp.get_array_module(mps).any(mps):
        raise ValueError("mps: all values are zero, nothing to reconstruct.")
    check_cartesian(y)
    Sms(mps, shifts, axis=axis)  # before anything is computed

    def operator(mps: Array, weights: Any, coord: None) -> tuple:
        # Coils first is how everything else knows coils.
        return Sms(mps.swapaxes(0, 1), shifts, weights**0.5, axis), None

    return problem_with(
        operator, y, mps.swapaxes(0, 1), weights, None, noise_std, noise, device,
        finer=True,
    )  # fmt: skip


def calibration_maps(calibration: Array, **options: Any) -> Array:
    """Coil maps of every slice, from its own single-band k-space.

    Args:
        calibration (array): k-space (MB, coils, H, W), of which the centre is enough;
            in the matrix of the multiband scan.
        **options: of :func:`sigpy_priors.scan.maps.estimate_maps`.

    Returns:
        array: maps (MB, coils, H, W).

    Raises:
        ValueError: if it has other axes, or too little of a centre.
    """
    if getattr(calibration, "ndim", 0) != 4:
        raise ValueError(
            f"calibration: expected single-band k-space of every slice, (MB, coils, H, "
            f"W), got shape {getattr(calibration, 'shape', None)}."
        )
    maps = [estimate_maps(of_slice, **options) for of_slice in calibration]
    return sp.get_array_module(maps[0]).stack(maps)
