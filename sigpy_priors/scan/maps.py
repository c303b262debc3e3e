"""Coil sensitivity maps from undersampled k-space, with SigPy's estimators."""

from __future__ import annotations

from typing import Any

import sigpy as sp
from sigpy.mri.app import EspiritCalib, JsenseRecon

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_count
from sigpy_priors.scan.checks import check_array, check_cartesian, check_coord
from sigpy_priors.scan.noise import sampling_mask
from sigpy_priors.scan.trajectory import image_shape

__all__ = ["ESPIRIT_WIDTH", "KERNEL_WIDTH", "calibration_width", "estimate_maps"]

KERNEL_WIDTH = 6
ESPIRIT_WIDTH = 2 * KERNEL_WIDTH  # of the calibration region, at least


def estimate_maps(
    y: Array,
    coord: Array | None = None,
    calib_width: int = 24,
    device: Any = sp.cpu_device,
    weights: Array | None = None,
    shape: tuple[int, ...] | None = None,
) -> Array:
    """Estimate maps with unit root sum of squares.

    ESPIRiT on Cartesian k-space, from the largest fully sampled square at its
    centre; JSENSE on non-Cartesian; ones for a single coil.

    Args:
        y (array): k-space (coils, H, W), zeros where not sampled, or
            (coils, ...) with ``coord``.
        coord (array or None): coordinates (..., 2), in 1 / field of view.
        calib_width (int): greatest width of the calibration region.
        device (Device): where to compute.
        weights (array or None): of the samples, for JSENSE.
        shape (tuple of int or None): H and W of non-Cartesian data; None is the
            nominal size of the trajectory.

    Returns:
        array: maps (coils, H, W) on ``device``, like ``y``.

    Raises:
        ValueError: if too little of the centre is sampled for ESPIRiT, or k-space,
            coordinates and shape are not what they should be.
    """
    check_array("y", y)
    calib_width = check_count("calib_width", calib_width)
    device = sp.Device(device)
    if coord is None:
        check_cartesian(y)
        shape = tuple(y.shape[1:])
    else:
        shape = tuple(
            image_shape(check_array("coord", coord, "fiu")) if shape is None else shape
        )
        coord = check_coord(coord, y.shape, (len(y), *shape))
    if len(y) == 1:
        with device:
            return device.xp.ones((1, *shape), y.dtype)
    if coord is not None:
        mps = JsenseRecon(
            y, coord=coord, weights=weights, device=device, show_pbar=False,
            img_shape=shape,
        ).run()  # fmt: skip
        with device:
            return mps / device.xp.maximum(sp.rss(mps, axes=(0,)), 1e-12)
    width = calibration_width(y, calib_width)
    if width < ESPIRIT_WIDTH:
        raise ValueError(
            f"the centre of k-space is fully sampled over {width} x {width} only, "
            f"expected at least {ESPIRIT_WIDTH} to estimate coil maps; give maps, or let "
            f"JointRecon find them with the image."
        )
    mps = EspiritCalib(
        y, width, kernel_width=KERNEL_WIDTH, device=device, show_pbar=False
    ).run()
    if not device.xp.isfinite(mps).all():
        raise ValueError(
            "y: no coil maps can be estimated from it, the calibration region has the "
            "rank of noise or none; give maps."
        )
    return mps


def calibration_width(y: Array, limit: int) -> int:
    """Width of the largest fully sampled square at the centre of k-space.

    Args:
        y (array): k-space (coils, H, W), zero where not sampled.
        limit (int): greatest width that is looked for.

    Returns:
        int: its width; 0 if not even the centre is sampled.
    """
    y = sp.to_device(y, sp.cpu_device)
    mask = sampling_mask(y) > 0
    for width in range(min(limit, *mask.shape), 0, -1):
        if sp.resize(mask, (width, width)).all():
            return width
    return 0
