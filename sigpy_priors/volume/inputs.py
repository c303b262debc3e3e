"""What a volume is computed from: opened and checked, and told apart from others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.io.kspace_h5 import file_of
from sigpy_priors.io.slices import (
    Slices,
    Source,
    open_kspace,
    open_maps,
    read_array,
    read_coord,
)

__all__ = ["Inputs", "fingerprint"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """K-space of a volume and what belongs to it.

    Attributes:
        kspace (Slices): items (coils, ...).
        maps (Slices or None): items (coils, H, W).
        weights (array or None): shaped like the samples, with or without coils.
        coord (array or None): (..., 2).
        numbers (sequence of int): the slices that were chosen.
        noise (array or None): how the coils' noise differs, as of
            :func:`sigpy_priors.scan.sense.sense_problem`.
    """

    kspace: Slices
    maps: Slices | None
    weights: np.ndarray | None
    coord: np.ndarray | None
    numbers: Sequence[int]
    noise: np.ndarray | None = None

    @classmethod
    def open(
        cls,
        kspace: Source,
        maps: Source | None,
        weights: Source | None,
        coord: Source | None,
        slices: slice,
        noise: Source | None = None,
        shape: tuple[int, int] | None = None,
    ) -> Inputs:
        """Open files or take arrays, and check that they fit each other.

        Args:
            kspace (str, Path or array): as of :class:`sigpy_priors.volume.Job`.
            maps (str, Path, array or None): likewise.
            weights (str, Path, array or None): likewise.
            coord (str, Path, array or None): likewise.
            slices (slice): those to compute.
            noise (str, Path, array or None): likewise.
            shape (tuple of int or None): likewise.

        Returns:
            Inputs: read slice by slice where the formats allow it.

        Raises:
            ValueError: if one is damaged or does not fit, or no slice is chosen.
        """
        xy = None if coord is None else read_coord(coord)
        ksp = open_kspace(kspace, xy)
        w = None if weights is None else np.real(read_array(weights))
        if w is not None and w.dtype.kind == "b":
            w = w.astype(np.float32)
        if w is not None and w.shape not in (ksp.shape[1:], ksp.shape[2:]):
            name = weights if isinstance(weights, str | Path) else "weights"
            raise ValueError(
                f"{name}: got weights of shape {w.shape}, expected that of the "
                f"samples of one coil, {ksp.shape[2:]}."
            )
        mps = None if maps is None else open_maps(maps, ksp)
        _check_shape(shape, xy, mps)
        numbers = range(len(ksp))[slices]
        if not numbers:
            raise ValueError(
                f"{ksp.path}: no slice chosen by {slices}, it has {len(ksp)}."
            )
        covariance = None if noise is None else read_array(noise)
        return cls(ksp, mps, w, xy, numbers, covariance)

    def load(self, i: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """K-space, maps and k-space for maps of slice ``i``."""
        calibration = self.kspace.calibration
        return (
            self.kspace[i],
            None if self.maps is None else self.maps[i],
            None if calibration is None else calibration[i],
        )

    def load_all(self, numbers: Sequence[int]) -> tuple:
        """The same of several slices, one for each."""
        return tuple(self.load(i) for i in numbers)


def _check_shape(
    shape: tuple[int, int] | None, coord: np.ndarray | None, maps: Slices | None
) -> None:
    if shape is None:
        return
    if coord is None:
        raise ValueError(
            f"shape {tuple(shape)}: is only for data with coordinates (--coord); on a "
            f"grid k-space has the shape of the image."
        )
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape {tuple(shape)}: expected H and W, at least 1.")
    if maps is not None and maps.shape[2:] != tuple(shape):
        raise ValueError(
            f"shape {tuple(shape)}: expected that of the maps, {maps.shape[2:]}; leave "
            f"one of them out."
        )


def fingerprint(source: Source | None) -> list | None:
    """Tell an input from others, and a file from what it was.

    Args:
        source (str, Path, array or None): an input.

    Returns:
        list or None: JSON-able; name, size and SHA-256 of a file, type, shape and
        SHA-256 of an array.
    """
    if source is None:
        return None
    if isinstance(source, str | Path):
        path, group = file_of(source)
        if path.suffix == ".hdr":
            path = path.with_suffix(".cfl")  # the data of a BART pair
        name = str(path.resolve()) + (f"/{group}" if group else "")
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return [name, path.stat().st_size, digest]
    listed = isinstance(source, list | tuple)
    parts: Any = source if listed else [source]
    shape = [len(parts)] * listed + list(parts[0].shape)
    digest = hashlib.sha256()
    for part in parts:  # one at a time, and the same for the array of all
        array = np.ascontiguousarray(sp.to_device(part, sp.cpu_device))
        digest.update(array.tobytes())
    return [str(array.dtype), shape, digest.hexdigest()]
