"""What every app asks of its input: one clear error for each misfit."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.io.axes import coils_are_last, profiles
from sigpy_priors.scan.trajectory import check_units

__all__ = [
    "check_array",
    "check_cartesian",
    "check_coord",
    "check_data",
    "check_finite",
    "check_sets",
    "check_weights",
]

# Energy of k-space around another place than the middle, over that around it,
# beyond which the middle cannot be its centre.
_OFF_CENTRE = 4.0
# Greatest over median mean power of lines: spokes are more alike than the first, and
# have the centre of k-space in each of them, beyond the second.
_ALIKE = 6.0
_PEAKED = 100.0
# Mean cosine of the angle between sets of maps beyond which they are of other kinds:
# eigenvectors have none, but for rounding and masks.
_PARALLEL = 0.1
# The same of coils, if the three highest are those in the middle.
_PARTITIONS = 30.0


def check_finite(name: str, v: Array) -> None:
    """Raise a ValueError that counts the NaN and infinite values of an array."""
    bad = v.size - int(sp.get_array_module(v).isfinite(v).sum())
    if bad:
        raise ValueError(f"{name}: {bad} of {v.size} values are NaN or infinite.")


def check_array(name: str, v: Array, kinds: str = "c") -> Array:
    """A finite numpy or cupy array of numbers, in this machine's byte order.

    Args:
        name (str): of the argument, for the message.
        v (array): what was given.
        kinds (str): numpy's letters of the types that may be: "c" complex, "f"
            float, "iu" whole, "b" boolean.

    Returns:
        array: ``v``, copied only if its bytes are in another order.

    Raises:
        ValueError: if it is something else, or has NaN or infinite values.
    """
    if type(v).__module__.partition(".")[0] not in ("numpy", "cupy", "fake_cupy"):
        raise ValueError(
            f"{name}: expected a numpy or cupy array, got {type(v).__module__}."
            f"{type(v).__name__}; convert it, as for SigPy's own apps."
        )
    if v.dtype.kind not in kinds:
        words = {"c": "complex", "f": "real", "i": "integer", "b": "boolean"}
        wanted = " or ".join(words[k] for k in kinds if k in words)
        raise ValueError(f"{name}: expected a {wanted} array, got {v.dtype}.")
    if not v.dtype.isnative:
        v = v.astype(v.dtype.newbyteorder("="))
    check_finite(name, v)
    return v


def check_data(
    y: Array, mps: Array, coord: Array | None = None, three_d: bool = False
) -> None:
    """Check that k-space, maps and trajectory are sound and fit each other.

    Args:
        y (array): k-space (coils, ...).
        mps (array): sensitivity maps (coils, H, W), or (coils, D, H, W) of 3-D
            k-space.
        coord (array or None): trajectory (..., ndim).
        three_d (bool): whether k-space is three-dimensional.

    Raises:
        ValueError: on NaN or infinite values, real arrays, maps that are all
            zero, shapes that do not fit, k-space whose centre is not in the
            middle, or an axis too many without the word that it is meant.
    """
    y, mps = check_array("y", y), check_array("mps", mps)
    ndim = 4 if three_d else 3
    if mps.ndim != ndim:
        _wrong_ndim(y, mps, coord, three_d)
    if not sp.get_array_module(mps).any(mps):
        raise ValueError("mps: all values are zero, nothing to reconstruct.")
    if coord is not None:
        check_coord(coord, y.shape, mps.shape)
        return
    if y.shape != mps.shape:
        raise ValueError(
            f"y and mps must have the same shape (coils, H, W), got {y.shape} and "
            f"{mps.shape}; non-Cartesian k-space needs its coordinates, coord=."
        )
    if mps.ndim == 3 and coils_are_last(y):
        raise ValueError(
            f"y and mps: got shape {mps.shape}, expected (coils, H, W): these look like "
            f"coils in the last axis; np.moveaxis(y, -1, 0) puts them first."
        )
    check_cartesian(y)


def check_sets(y: Array, mps: Array) -> None:
    """Check several sets of maps of one slice, as of ESPIRiT for a small field of view.

    Those of a pixel are orthogonal: they are eigenvectors. Maps of several slices, which
    have as many axes, are nearly parallel.

    Args:
        y (array): k-space (coils, H, W).
        mps (array): maps (sets, coils, H, W).

    Raises:
        ValueError: as :func:`check_data`, or if the sets are not orthogonal.
    """
    y, mps = check_array("y", y), check_array("mps", mps)
    if mps.shape[1:] != y.shape:
        raise ValueError(
            f"mps: expected sets of maps (sets, coils, H, W) of y's {y.shape}, got "
            f"{mps.shape}."
        )
    xp = sp.get_array_module(mps)
    if not xp.any(mps):
        raise ValueError("mps: all values are zero, nothing to reconstruct.")
    scaled = mps / float(xp.abs(mps).max())
    for i, j in itertools.combinations(range(len(mps)), 2):
        across = xp.abs((scaled[i].conj() * scaled[j]).sum(axis=0))
        both = sp.rss(scaled[i], axes=(0,)) * sp.rss(scaled[j], axes=(0,))
        if float(across.sum()) > _PARALLEL * float(both.sum()):
            raise ValueError(
                f"mps: got {mps.shape} with k-space {y.shape}, where sets {i} and {j} are "
                f"not orthogonal, as those of ESPIRiT are: if they are maps of several "
                f"slices, give those of this one, (coils, H, W)."
            )
    check_cartesian(y)


def _wrong_ndim(y: Array, mps: Array, coord: Array | None, three_d: bool) -> None:
    if three_d:
        raise ValueError(
            f"mps: expected shape (coils, D, H, W) with three_d=True, got {mps.shape}."
        )
    if mps.ndim == 4:
        raise ValueError(
            f"mps: got shape {mps.shape}, expected (coils, H, W). Slices are "
            f"reconstructed one by one, for y, mps in zip(slices, maps), with slices=True "
            f"of PriorRecon, or by sigpy_priors.volume; k-space that is three-dimensional "
            f"itself, (coils, D, H, W), is told by three_d=True."
        )
    raise ValueError(f"mps: expected shape (coils, H, W), got {mps.shape}.")


def check_cartesian(y: Array) -> None:
    """Check that k-space is on a grid, with its centre in the middle.

    Args:
        y (array): k-space (coils, ...), zero where not sampled.

    Raises:
        ValueError: if its centre is elsewhere, or if these look like the spokes of a
            trajectory.
    """
    _check_grid(y)
    _check_centre(y)


def _check_grid(y: Array) -> None:
    """Raise where all lines along one axis are alike, and peaked along the other.

    On a grid power falls along both axes; every spoke passes the centre. It does not
    fall along the coils, unless they are the partitions of a 3-D scan.
    """
    if y.ndim != 3 or min(y.shape[1:]) < 8:
        return
    of_coils, *of_image = profiles(y)
    n = len(of_coils)
    highest = np.argsort(of_coils)[-3:]
    if n >= 8 and set(highest.tolist()) == {n // 2 - 1, n // 2, n // 2 + 1}:
        if of_coils.max() > _PARTITIONS * np.median(of_coils):
            raise ValueError(
                f"y: got {y.shape}, whose power along the first axis is that of k-space, "
                f"expected coils there: of a 3-D scan give slices (slices, coils, H, W), "
                f"after a Fourier transform along the partitions, or three_d=True to "
                f"the apps."
            )
    peaks = [float(p.max() / np.median(p[p > 0])) for p in of_image if p.any()]
    if len(peaks) == 2 and min(peaks) < _ALIKE and max(peaks) > _PEAKED:
        raise ValueError(
            f"y: got {y.shape}, whose lines along one axis all pass the centre of "
            f"k-space, like radial spokes, expected k-space on a grid (coils, H, W): "
            f"give the coordinates of the samples, coord= (--coord)."
        )


def _check_centre(y: Array) -> None:
    """Raise where the energy of k-space is around an edge of the array.

    Half of the array in each direction, around the middle or around the edge: of
    a scan by far the most is around the middle.
    """
    xp = sp.get_array_module(y)
    power = (xp.abs(y / max(float(xp.abs(y).max()), 1e-38)) ** 2).sum(axis=0)
    if min(power.shape) < 8:
        return
    energy = {}
    for shifted in itertools.product((False, True), repeat=power.ndim):
        part = power
        for axis, edge in enumerate(shifted):
            n = part.shape[axis]
            part = xp.roll(part, n // 2, axis) if edge else part
            part = xp.take(part, xp.arange(n // 4, n // 4 + n // 2), axis)
        energy[shifted] = float(part.sum())
    middle = energy[(False,) * power.ndim]
    best = max(energy, key=lambda k: energy[k])
    if energy[best] > _OFF_CENTRE * middle:
        axes = tuple(a - power.ndim for a, edge in enumerate(best) if edge)
        raise ValueError(
            f"y: the centre of k-space is at the edge of the array, expected it in the "
            f"middle, as sigpy.fft has it: np.fft.fftshift(y, axes={axes}) puts it "
            f"there."
        )


def check_coord(coord: Array, y_shape: tuple, mps_shape: tuple) -> Array:
    """Check coordinates against k-space and maps.

    Args:
        coord (array): trajectory (..., ndim), in 1 / field of view.
        y_shape (tuple of int): (coils, samples...).
        mps_shape (tuple of int): (coils, ...).

    Returns:
        array: ``coord`` in float.

    Raises:
        ValueError: if they are not finite, of another shape, in other units or
            beyond the image's k-space.
    """
    coord = check_array("coord", coord, "fiu")
    size = mps_shape[1:]
    if coord.ndim < 2 or coord.shape[-1] != len(size):
        raise ValueError(
            f"coord: expected {len(size)} coordinates per sample, (..., {len(size)}), "
            f"got shape {coord.shape}."
        )
    expected = mps_shape[:1] + coord.shape[:-1]
    if y_shape != expected:
        raise ValueError(
            f"y must have shape (coils, samples...) = {expected} of coord and mps, got "
            f"{y_shape}."
        )
    reach = abs(coord).reshape(-1, len(size)).max(axis=0)
    check_units(coord, size)
    for k, (r, n) in enumerate(zip(reach, size)):
        if float(r) > n / 2 + 1:
            raise ValueError(
                f"coord: reaches {float(r):.4g} along axis {k}, expected at most "
                f"{n / 2:g} for maps of {n} pixels there: give maps of the trajectory's "
                f"own size, or leave out the samples beyond."
            )
    return coord


def check_weights(weights: Any, y_shape: tuple) -> None:
    """Check weights of the data.

    Args:
        weights (array or float): relative precisions.
        y_shape (tuple of int): of the data that they belong to.

    Raises:
        ValueError: if they are negative, not finite, all zero, or do not
            broadcast to the data.
    """
    xp = sp.get_array_module(weights)
    weights = check_array("weights", xp.asarray(weights), "fiub")
    shape = weights.shape
    trailing = tuple(y_shape[len(y_shape) - len(shape) :])
    if len(shape) > len(y_shape) or any(
        a not in (1, b) for a, b in zip(shape, trailing)
    ):
        raise ValueError(
            f"weights: expected a shape that broadcasts to y's {y_shape}, got {shape}."
        )
    if not (weights >= 0).all():
        raise ValueError(
            f"weights: expected numbers >= 0, got {float(weights.min()):.3g}."
        )
