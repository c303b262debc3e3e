"""K-space, coil maps and what belongs to them, in SigPy's layout.

K-space and maps are (coils, H, W), volumes (slices, coils, H, W), with the
centred orthonormal FFT of :func:`sigpy.fft`. Non-Cartesian k-space is
(coils, ...) with coordinates (..., 2). Files hold

- ``.npy``: these arrays;
- ``.cfl``/``.hdr`` (BART): READ is W, PHS1 is H, then COIL and SLICE
  (dimensions 0, 1, 3 and 13); trajectories as from ``bart traj``;
- HDF5 (``.h5``, or any other ending): fastMRI's dataset ``kspace``, maps as dataset
  ``maps``, or ISMRMRD (``.h5``, ``.mrd``); ``FILE/GROUP`` is one of the measurements
  of a file;
- ``.dat``: raw data of Siemens (twix); ``FILE/NUMBER`` is one of its measurements.

Volumes are read slice by slice where the format allows it. In place of a file an
array or a list of slices may be given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.io.axes import coils_are_last
from sigpy_priors.io.cfl import bart_to_slices, read_cfl
from sigpy_priors.io.files import check_file, check_memory, load_npy, reading
from sigpy_priors.io.geometry import Geometry
from sigpy_priors.io.kspace_h5 import file_of, is_hdf5, open_scan

if TYPE_CHECKING:
    import h5py

__all__ = [
    "Source",
    "Slices",
    "open_kspace",
    "open_maps",
    "read_array",
    "read_coord",
]

Source: TypeAlias = str | Path | Array | Sequence[Array]
"""The name of a file, an array, or a list of the arrays of slices."""

_ENDINGS = (".npy", ".cfl", ".hdr", ".h5", ".mrd", ".dat")


class Slices:
    """K-space or maps, slice by slice: ``slices[i]``, ``len(slices)``.

    Args:
        data (array-like): shape (slices, coils, ...), or (coils, ...) if
            ``volume`` is false; an array, a memory map or an open dataset.
        path (str or Path): named in errors; "kspace" or "maps" for an array.
        volume (bool): whether there is a slice axis.
        cartesian (bool): whether the last two axes are (H, W).
        noise (array or None): covariance of the coils' noise, up to a factor.
        calibration (list or None): of each slice, k-space for its maps or None.
        image_shape (tuple or None): (H, W) of the field of view that is wanted.
        geometry (Geometry or None): where the slices lie.

    Attributes:
        shape (tuple of int): (slices, coils, ...).
        noise, calibration, image_shape, geometry: as given.

    Items are complex64 arrays (coils, ...) that are finite and not zero.
    """

    def __init__(
        self,
        data: np.ndarray | h5py.Dataset,
        path: str | Path,
        volume: bool,
        cartesian: bool = True,
        noise: np.ndarray | None = None,
        calibration: list | None = None,
        image_shape: tuple[int, int] | None = None,
        geometry: Geometry | None = None,
    ) -> None:
        if np.dtype(data.dtype).kind != "c":
            raise ValueError(
                f"{path}: got {data.dtype} numbers, expected complex ones; "
                f"k-space and maps are complex."
            )
        self._data, self.path = data, path
        self.volume, self.cartesian = volume, cartesian
        self.noise, self.calibration = noise, calibration
        self.image_shape, self.geometry = image_shape, geometry
        self.shape = tuple(data.shape) if volume else (1,) + tuple(data.shape)
        if 0 in self.shape:
            raise ValueError(f"{path}: got an empty array of shape {data.shape}.")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, i: int) -> np.ndarray:
        if not 0 <= i < len(self):
            raise IndexError(i)
        where = f"{self.path}, slice {i}" if self.volume else self.path
        shape = self.shape[1:]
        nbytes = math.prod(shape) * np.dtype(self._data.dtype).itemsize
        check_memory(where, nbytes, f"an array of shape {shape}")
        with reading(where, "data that can be read"):
            item = np.asarray(self._data[i] if self.volume else self._data[:])
        bad = item.size - int(np.isfinite(item).sum())
        if bad:
            raise ValueError(
                f"{where}: {bad} of {item.size} numbers are NaN or infinite, "
                f"expected none; write 0 where nothing was sampled."
            )
        if not item.any():
            raise ValueError(f"{where}: all zero, expected data; was it exported?")
        return item.astype(np.complex64)


def open_kspace(source: Source, coord: Array | None = None) -> Slices:
    """Open k-space.

    Args:
        source (str, Path or array): ``.npy``, ``.cfl``, ``.hdr`` or ``.h5``
            file, or an array.
        coord (array or None): coordinates (..., 2) of non-Cartesian data.

    Returns:
        Slices: items (coils, H, W), or (coils, ...) with ``coord``.

    Raises:
        ValueError: one line on what is wrong with the file.
    """
    if coord is None:
        return _open(source, "kspace", "coils, H, W", 3)
    inner = coord.shape[:-1]
    axes = f"coils, {', '.join(map(str, inner))}"
    slices = _open(source, "kspace", axes, 1 + len(inner), cartesian=False)
    if slices.shape[2:] != inner:
        raise ValueError(
            f"{slices.path}: samples {slices.shape[2:]} do not match the coordinates "
            f"{coord.shape}, expected ({axes}); give the file they belong to."
        )
    return slices


def open_maps(source: Source, kspace: Slices | None = None) -> Slices:
    """Open coil sensitivity maps.

    Args:
        source (str, Path or array): ``.npy``, ``.cfl``, ``.hdr``, or ``.h5``
            with a dataset ``maps``, or an array.
        kspace (Slices or None): k-space that they must match.

    Returns:
        Slices: items (coils, H, W).

    Raises:
        ValueError: one line on what is wrong with the file.
    """
    maps = _open(source, "maps", "coils, H, W", 3, checked=kspace is None)
    if kspace is None:
        return maps
    # Non-Cartesian samples say nothing about the shape of the image.
    n = 4 if kspace.cartesian else 2
    if maps.shape[:n] != kspace.shape[:n]:
        raise ValueError(
            f"{maps.path}: maps {maps.shape} do not match the k-space "
            f"{kspace.shape} of {kspace.path}, both (slices, coils, H, W); "
            f"make maps from this k-space, or have them estimated from it."
        )
    return maps


def _open(
    source: Source,
    key: str,
    axes: str,
    ndim: int,
    cartesian: bool = True,
    checked: bool = True,
) -> Slices:
    path, data, extra = key, source, {}
    if isinstance(source, str | Path):
        path = Path(source)
        data, extra, known = _open_data(path, key, cartesian)
        checked = checked and not known
    else:
        data = _array_like(source, key)
    shape = tuple(data.shape)
    if cartesian and len(shape) == 2:
        raise ValueError(
            f"{path}: no coil axis: got shape {shape}, expected ({axes}); a single "
            f"coil has it too: np.load(...)[None]."
        )
    if len(shape) not in (ndim, ndim + 1):
        raise ValueError(
            f"{path}: got shape {shape}, expected ({axes}) or "
            f"(slices, {axes}); reorder or pick the axes with numpy."
        )
    volume = len(shape) == ndim + 1
    if cartesian and checked and 0 not in shape and _looks_coils_last(data, volume):
        raise ValueError(
            f"{path}: got shape {shape}, expected ({axes}): these look like coils "
            f"in the last axis; np.moveaxis(ksp, -1, -3) puts them first."
        )
    return Slices(data, path, volume, cartesian, **extra)


class _Listed:
    """A list of arrays of one shape, sliced like an array."""

    def __init__(self, arrays: Sequence[Array], key: str) -> None:
        shapes = sorted({tuple(np.shape(a)) for a in arrays})
        if len(shapes) != 1:
            raise ValueError(
                f"{key}: got a list of {len(arrays)} slices of shapes {shapes}, expected "
                f"some of one shape."
            )
        self._arrays = arrays
        self.shape = (len(arrays), *shapes[0])
        self.dtype = np.result_type(*(a.dtype for a in arrays))

    def __len__(self) -> int:
        return len(self._arrays)

    def __getitem__(self, i: int) -> np.ndarray:
        return np.asarray(sp.to_device(self._arrays[i], sp.cpu_device))


def _array_like(source: Any, key: str) -> Any:
    if isinstance(source, list | tuple):
        return _Listed(source, key)
    if isinstance(source, Iterator):
        raise ValueError(
            f"{key}: got {type(source).__name__}, expected slices that can be read again "
            f"where a run goes on: an array, a list, or a file."
        )
    return sp.to_device(source, sp.cpu_device)


def _looks_coils_last(data: Any, volume: bool) -> bool:
    shape = data.shape[-3:]
    if 2 * shape[-1] >= min(shape[:-1]):
        return False  # nothing is read for what cannot be
    return coils_are_last(np.asarray(data[len(data) // 2] if volume else data[:]))


def _open_data(
    path: Path, key: str, cartesian: bool
) -> tuple[np.ndarray | h5py.Dataset, dict[str, Any], bool]:
    """Data, what else belongs to the scan, and whether the format tells the axes."""
    ending = _ending(path)
    if ending == ".npy":
        return load_npy(path), {}, False
    if ending == ".h5":
        return open_scan(path, key)
    if ending == ".dat":
        return _open_twix(path, key)
    return bart_to_slices(path, read_cfl(path), cartesian), {}, True


def _open_twix(path: Path, key: str) -> tuple[np.ndarray, dict[str, Any], bool]:
    if key != "kspace":
        raise ValueError(f"{path}: raw data of Siemens have no {key}; leave them out.")
    from sigpy_priors.io.twix import read_twix

    scan = read_twix(*file_of(path))
    extra = dict(
        noise=scan.noise, calibration=scan.calibration, image_shape=scan.shape,
        geometry=scan.geometry,
    )  # fmt: skip
    return scan.kspace, extra, True


def _ending(path: Path) -> str:
    """The ending of an input that exists; ".h5" for whatever holds HDF5."""
    ending = path.suffix.lower()
    file, group = file_of(path)
    if file.suffix.lower() == ".dat" and not is_hdf5(file):
        check_file(file)
        return ".dat"
    if group is not None or (ending not in _ENDINGS and is_hdf5(file)):
        check_file(file)
        return ".h5"
    if ending not in _ENDINGS:
        raise ValueError(
            f"{path}: unknown ending {ending!r}, expected one of "
            f"{', '.join(_ENDINGS)}; convert it with numpy or BART."
        )
    if ending in (".cfl", ".hdr"):
        for p in map(path.with_suffix, (".cfl", ".hdr")):
            if not p.exists():
                raise ValueError(
                    f"{p}: no such file; a BART array is two files, .cfl and .hdr, "
                    f"side by side."
                )
            check_file(p)
        return ending
    check_file(path)
    if ending == ".mrd" and not is_hdf5(path):
        raise ValueError(
            f"{path}: no HDF5 file, expected ISMRMRD's; a stream of MRD is converted "
            f"by mrd_stream_to_hdf5."
        )
    return ".h5" if ending == ".mrd" else ending


def read_array(source: Source) -> np.ndarray:
    """Read an array of any shape, such as k-space weights.

    Args:
        source (str, Path or array): ``.npy``, BART's without its axes of
            length 1, or an array.

    Returns:
        array: as stored; from BART complex64, axes reversed.

    Raises:
        ValueError: one line on what is wrong with the file.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        ending = _ending(path)
        if ending in (".h5", ".dat"):
            raise ValueError(
                f"{path}: got {ending}, expected .npy or .cfl for this array."
            )
        data = load_npy(path) if ending == ".npy" else np.squeeze(read_cfl(path))
        check_memory(path, data.nbytes, f"an array of shape {data.shape}")
        data = np.array(data)
    else:
        given: Any = source
        path, data = "array", sp.to_device(given, sp.cpu_device)
    if data.dtype.kind not in "buifc":
        raise ValueError(f"{path}: expected numbers, got {data.dtype}.")
    if not np.isfinite(data).all():
        raise ValueError(f"{path}: expected finite numbers, got {data.dtype} with NaN.")
    return data


def read_coord(source: Source) -> np.ndarray:
    """Read k-space coordinates, in units of 1 / field of view.

    Args:
        source (str, Path or array): ``.npy`` (..., 2), BART's (3, samples,
            spokes), or an array (..., 2).

    Returns:
        array: float32, shape (..., 2), in SigPy's order: along H, along W.

    Raises:
        ValueError: if they are not two-dimensional coordinates.
    """
    name, coord = "coord", None
    if isinstance(source, str | Path):
        name = Path(source)
        if name.suffix.lower() != ".npy":
            coord = _read_trajectory(name)
    coord = read_array(source) if coord is None else coord
    if coord.ndim < 2 or coord.shape[-1] != 2 or coord.dtype.kind == "c":
        raise ValueError(
            f"{name}: got {coord.dtype} "
            f"coordinates of shape {coord.shape}, expected real ones (..., 2), from "
            f"-N/2 to N/2."
        )
    return coord.astype(np.float32)


def _read_trajectory(path: Path) -> np.ndarray:
    """Coordinates (spokes, samples, 2) of a trajectory as from ``bart traj``."""
    _ending(path)
    coord = read_cfl(path).real
    if coord.shape[-1] != 3 or coord[..., 2].any():
        raise ValueError(
            f"{path}: got dimension 0 of {coord.shape[-1]}, expected 3 with kz "
            f"= 0, as from `bart traj`; only 2-D trajectories are supported."
        )
    samples, spokes = coord.shape[-2], coord.shape[-3]
    if coord.size != 3 * samples * spokes:
        raise ValueError(
            f"{path}: got dimensions {coord.shape[::-1]}, expected (3, samples, "
            f"spokes); one trajectory serves all slices."
        )
    return coord.reshape(spokes, samples, 3)[..., 1::-1]
