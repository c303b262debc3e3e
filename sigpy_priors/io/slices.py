"""K-space, coil maps and images in files, in SigPy's layout.

K-space and maps are (coils, H, W), volumes (slices, coils, H, W), with the
centred orthonormal FFT of :func:`sigpy.fft`. Non-Cartesian k-space is
(coils, ...) with coordinates (..., 2). Files hold

- ``.npy``: these arrays;
- ``.cfl``/``.hdr`` (BART): READ is W, PHS1 is H, then COIL and SLICE
  (dimensions 0, 1, 3 and 13); trajectories as from ``bart traj``;
- ``.h5``: fastMRI's dataset ``kspace``, maps as dataset ``maps``, or ISMRMRD.

Volumes are read slice by slice where the format allows it.
"""

from pathlib import Path

import numpy as np

from sigpy_priors.io.cfl import bart_to_slices, image_to_bart, read_cfl, write_cfl

__all__ = [
    "Slices",
    "open_kspace",
    "open_maps",
    "read_array",
    "read_coord",
    "write_image",
    "check_output",
]

_ENDINGS = (".npy", ".cfl", ".hdr", ".h5")
_OUTPUTS = (".npy", ".cfl")


class Slices:
    """K-space or maps of a file, slice by slice: ``slices[i]``, ``len(slices)``.

    Args:
        data (array-like): shape (slices, coils, ...), or (coils, ...) if
            ``volume`` is false; an array, a memory map or an open dataset.
        path (str or Path): named in errors.
        volume (bool): whether there is a slice axis.
        cartesian (bool): whether the last two axes are (H, W).

    Attributes:
        shape (tuple of int): (slices, coils, ...).

    Items are complex64 arrays (coils, ...) that are finite and not zero.
    """

    def __init__(self, data, path, volume, cartesian=True):
        if np.dtype(data.dtype).kind != "c":
            raise ValueError(
                f"{path}: got {data.dtype} numbers, expected complex ones; "
                f"k-space and maps are complex."
            )
        self._data, self.path = data, path
        self.volume, self.cartesian = volume, cartesian
        self.shape = tuple(data.shape) if volume else (1,) + tuple(data.shape)
        if 0 in self.shape:
            raise ValueError(f"{path}: got an empty array of shape {data.shape}.")

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, i):
        if not 0 <= i < len(self):
            raise IndexError(i)
        where = f"{self.path}, slice {i}" if self.volume else self.path
        try:
            item = np.asarray(self._data[i] if self.volume else self._data[:])
        except OSError as e:
            raise ValueError(f"{where}: cannot be read, damaged file? ({e})") from e
        bad = item.size - int(np.isfinite(item).sum())
        if bad:
            raise ValueError(
                f"{where}: {bad} of {item.size} numbers are NaN or infinite, "
                f"expected none; write 0 where nothing was sampled."
            )
        if not item.any():
            raise ValueError(f"{where}: all zero, expected data; was it exported?")
        return item.astype(np.complex64)


def open_kspace(path, coord=None):
    """Open k-space.

    Args:
        path (str or Path): ``.npy``, ``.cfl``, ``.hdr`` or ``.h5`` file.
        coord (array or None): coordinates (..., 2) of non-Cartesian data.

    Returns:
        Slices: items (coils, H, W), or (coils, ...) with ``coord``.

    Raises:
        ValueError: one line on what is wrong with the file.
    """
    if coord is None:
        return _open(path, "kspace", "(coils, H, W)", 3)
    inner = coord.shape[:-1]
    text = f"(coils, {', '.join(map(str, inner))})"
    slices = _open(path, "kspace", text, 1 + len(inner), cartesian=False)
    if slices.shape[2:] != inner:
        raise ValueError(
            f"{path}: samples {slices.shape[2:]} do not match the coordinates "
            f"{coord.shape}, expected {text}; give the file they belong to."
        )
    return slices


def open_maps(path, kspace=None):
    """Open coil sensitivity maps.

    Args:
        path (str or Path): ``.npy``, ``.cfl``, ``.hdr``, or ``.h5`` with a
            dataset ``maps``.
        kspace (Slices or None): k-space that they must match.

    Returns:
        Slices: items (coils, H, W).

    Raises:
        ValueError: one line on what is wrong with the file.
    """
    maps = _open(path, "maps", "(coils, H, W)", 3)
    if kspace is None:
        return maps
    # Non-Cartesian samples say nothing about the shape of the image.
    n = 4 if kspace.cartesian else 2
    if maps.shape[:n] != kspace.shape[:n]:
        raise ValueError(
            f"{path}: maps {maps.shape} do not match the k-space "
            f"{kspace.shape} of {kspace.path}, both (slices, coils, H, W); "
            f"make maps from this k-space, or leave out --maps."
        )
    return maps


def _open(path, key, text, ndim, cartesian=True):
    path = Path(path)
    ending = _ending(path)
    if ending == ".npy":
        data = _load_npy(path)
    elif ending == ".h5":
        data = _open_h5(path, key)
    else:
        data = bart_to_slices(path, read_cfl(path), cartesian)
    shape = tuple(data.shape)
    if cartesian and len(shape) == 2:
        raise ValueError(
            f"{path}: no coil axis: got shape {shape}, expected {text}; a single "
            f"coil has it too: np.load(...)[None]."
        )
    if len(shape) not in (ndim, ndim + 1):
        raise ValueError(
            f"{path}: got shape {shape}, expected {text} or (slices, "
            f"{text[1:]}; reorder or pick the axes with numpy."
        )
    if cartesian and 2 * min(shape[-2:]) < shape[-3] and min(shape[-2:]) <= 64:
        raise ValueError(
            f"{path}: got shape {shape}, expected {text}: these look like coils "
            f"in the last axis; np.moveaxis(ksp, -1, -3) puts them first."
        )
    return Slices(data, path, len(shape) == ndim + 1, cartesian)


def _ending(path):
    """The ending of an input that exists."""
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        raise ValueError(
            f"{path}: unknown ending {ending!r}, expected one of "
            f"{', '.join(_ENDINGS)}; convert it with numpy or BART."
        )
    if ending in (".cfl", ".hdr"):
        missing = [
            p for p in map(path.with_suffix, (".cfl", ".hdr")) if not p.is_file()
        ]
        if missing:
            raise ValueError(
                f"{missing[0]}: no such file; a BART array is two files, .cfl and "
                f".hdr, side by side."
            )
    elif not path.is_file():
        raise ValueError(f"{path}: no such file; check the path.")
    return ending


def _load_npy(path):
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as e:
        raise ValueError(
            f"{path}: not a numpy array file, or cut short ({e}); save it again "
            f"with np.save."
        ) from e


def _open_h5(path, key):
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as e:
        raise ValueError(
            f"{path}: not an HDF5 file, or cut short ({e}); copy it again."
        ) from e
    if isinstance(file.get(key), h5py.Dataset):
        data = file[key]
        # fastMRI's single-coil files have (slices, H, W).
        return data[:][:, None] if key == "kspace" and data.ndim == 3 else data
    groups = [g for g in file if isinstance(file[g], h5py.Group)]
    groups = [g for g in groups if {"xml", "data"} <= set(file[g])]
    names = list(file)
    file.close()
    if key == "kspace" and groups:
        from sigpy_priors.io.raw import read_ismrmrd

        return read_ismrmrd(path, groups[0])
    raise ValueError(
        f"{path}: got datasets {', '.join(names) or '(none)'}, expected {key!r}"
        + (", or ISMRMRD's group with 'xml' and 'data'." if key == "kspace" else ".")
    )


def read_array(path):
    """Read an array of any shape, such as k-space weights.

    Args:
        path (str or Path): ``.npy``, or BART's without its axes of length 1.

    Returns:
        array: as stored; from BART complex64, axes reversed.

    Raises:
        ValueError: one line on what is wrong with the file.
    """
    path = Path(path)
    ending = _ending(path)
    if ending == ".h5":
        raise ValueError(f"{path}: got .h5, expected .npy or .cfl for this array.")
    data = _load_npy(path) if ending == ".npy" else np.squeeze(read_cfl(path))
    data = np.array(data)
    if data.dtype.kind not in "uifc" or not np.isfinite(data).all():
        raise ValueError(f"{path}: expected finite numbers, got {data.dtype} with NaN.")
    return data


def read_coord(path):
    """Read k-space coordinates, in units of 1 / field of view.

    Args:
        path (str or Path): ``.npy`` (..., 2), or BART's (3, samples, spokes).

    Returns:
        array: float32, shape (..., 2), in SigPy's order: along H, along W.

    Raises:
        ValueError: if they are not two-dimensional coordinates.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        coord = read_array(path)
    else:
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
        coord = coord.reshape(spokes, samples, 3)[..., 1::-1]
    if coord.ndim < 2 or coord.shape[-1] != 2 or coord.dtype.kind == "c":
        raise ValueError(
            f"{path}: got {coord.dtype} coordinates of shape {coord.shape}, expected "
            f"real ones (..., 2), from -N/2 to N/2."
        )
    return coord.astype(np.float32)


def check_output(path):
    """Check the name of an output before any work is done.

    Raises:
        ValueError: if the ending is unknown or the folder does not exist.
    """
    path = Path(path)
    if path.suffix.lower() not in _OUTPUTS:
        raise ValueError(
            f"{path}: unknown ending {path.suffix!r}, expected one of "
            f"{', '.join(_OUTPUTS)} for the output."
        )
    if not path.parent.is_dir():
        raise ValueError(f"{path}: no folder {path.parent}; make it first.")


def write_image(path, image, samples=False):
    """Write an image or a volume, in place of an older file at once.

    Args:
        path (str or Path): ``.npy`` or ``.cfl`` (and ``.hdr``).
        image (array): (H, W) or (slices, H, W).
        samples (bool): there is an axis of samples before H: (samples, H, W)
            or (slices, samples, H, W).

    Raises:
        ValueError: if the ending is unknown or the shape is another.
    """
    from sigpy_priors.io.atomic import write_atomic

    check_output(path)
    path = Path(path)
    inner = "samples, H, W" if samples else "H, W"
    if image.ndim - samples not in (2, 3):
        raise ValueError(
            f"{path}: got shape {image.shape}, expected ({inner}) or (slices, {inner})."
        )
    if path.suffix.lower() == ".cfl":
        write_cfl(path, image_to_bart(image, samples))
        return

    def save(tmp):
        with open(tmp, "wb") as f:  # given a path, np.save appends .npy to it
            np.save(f, image)

    write_atomic(path, save)
