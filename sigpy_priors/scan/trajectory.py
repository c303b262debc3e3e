"""What a trajectory tells of the image."""

from __future__ import annotations

import math

import sigpy as sp

from sigpy_priors.backend.arrays import Array

__all__ = ["check_units", "image_shape"]

# No image is this small: coordinates that reach no farther than pi are in cycles or
# radians per pixel, or relative to the edge of k-space.
_OTHER_UNITS = 3.2
# A trajectory that reaches as far in all directions, up to this, is of a square image:
# the few spokes of a scan seldom lie along its axes.
_ROUND = 0.9
# Rounding errors of coordinates, in their units.
_SLACK = 0.02


def check_units(coord: Array, size: tuple[int, ...] | None = None) -> None:
    """Check that coordinates are in units of 1 / field of view.

    Args:
        coord (array): (..., ndim).
        size (tuple of int or None): of the image, if it is known.

    Raises:
        ValueError: if they are in cycles or radians per pixel.
    """
    reach = float(abs(coord).max()) if coord.size else 0.0
    if reach <= _OTHER_UNITS and (size is None or min(size) > 2 * _OTHER_UNITS + 1):
        factor = "the number of pixels"
        if size is not None:
            factor = str(size[0] if len(set(size)) == 1 else size)
        raise ValueError(
            f"coord (--coord): expected coordinates in 1 / field of view, from -N/2 to "
            f"N/2 for N pixels, got at most {reach:.3g}: in cycles per pixel? Multiply "
            f"them by {factor}; in radians, by that / (2 pi)."
        )


def image_shape(coord: Array) -> tuple[int, ...]:
    """The nominal size of the image that a trajectory was made for.

    A trajectory of N pixels reaches N/2, or less by up to a sample: SigPy's
    ``radial`` reaches 31.5 for 64, BART's ``traj -r`` too.

    Args:
        coord (array): (..., ndim), in 1 / field of view.

    Returns:
        tuple of int: an even number of pixels along each axis.

    Raises:
        ValueError: if the coordinates are in other units, or not finite.
    """
    check_units(coord)
    xp = sp.get_array_module(coord)
    flat = xp.abs(coord).reshape(-1, coord.shape[-1])
    reach = [float(r) for r in flat.max(axis=0)]
    far = float(xp.linalg.norm(coord.reshape(-1, coord.shape[-1]), axis=-1).max())
    if not math.isfinite(far):
        raise ValueError("coord (--coord): has NaN or infinite values.")
    if min(reach) > _ROUND * far:
        reach = [far] * len(reach)
    return tuple(2 * max(math.ceil(r - _SLACK), 1) for r in reach)
