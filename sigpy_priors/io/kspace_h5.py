"""HDF5 files of k-space and maps: fastMRI's and ISMRMRD's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sigpy_priors.io.files import check_file, check_memory, h5_dataset, open_h5, reading

__all__ = ["file_of", "is_hdf5", "open_scan"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def file_of(source: str | Path) -> tuple[Path, str | None]:
    """Tell a file from a measurement within one, ``FILE/GROUP``.

    Args:
        source (str or Path): what was given.

    Returns:
        tuple: the file, and the name of the group or None.
    """
    path = Path(source)
    if not path.exists() and path.parent.is_file():
        return path.parent, path.name
    return path, None


def is_hdf5(path: Path) -> bool:
    """Tell a file of HDF5 by its first bytes."""
    if not path.is_file():
        return False
    with open(check_file(path), "rb") as f:
        return f.read(len(_SIGNATURE)) == _SIGNATURE


def open_scan(
    path: Path, key: str
) -> tuple[np.ndarray | h5py.Dataset, dict[str, Any], bool]:
    """Open k-space or maps.

    Args:
        path (Path): the file, or ``FILE/GROUP``.
        key (str): "kspace" or "maps": the dataset.

    Returns:
        tuple: data, other arguments of :class:`sigpy_priors.io.slices.Slices`, and
        whether the format tells which axis is which.

    Raises:
        ValueError: if it is neither a dataset of this name nor ISMRMRD.
    """
    path, group = file_of(path)
    file = open_h5(path)
    data = None if group else h5_dataset(file, key)
    if isinstance(data, h5py.Dataset):
        extra = {"image_shape": _reconstructed(file)} if key == "kspace" else {}
        # fastMRI's single-coil files have (slices, H, W).
        if key != "kspace" or data.ndim != 3:
            return data, extra, False
        check_memory(path, data.size * data.dtype.itemsize, f"k-space {data.shape}")
        with reading(path, "data that can be read"):
            return data[:][:, None], extra, True
    with reading(path, "an HDF5 file that can be read"):
        names: list[str] = list(file)
        groups = [
            name
            for name in names
            if isinstance(item := h5_dataset(file, name), h5py.Group)
            and {"xml", "data"} <= set(item)
        ]
        file.close()
    if key == "kspace" and groups and group in (None, *groups):
        from sigpy_priors.io.ismrmrd import read_ismrmrd

        scan = read_ismrmrd(path, group)
        extra = dict(
            noise=scan.noise, calibration=scan.calibration, image_shape=scan.shape,
            geometry=scan.geometry,
        )  # fmt: skip
        return scan.kspace, extra, True
    raise ValueError(
        f"{path}: got datasets {', '.join(names) or '(none)'}, expected "
        f"{group or key!r}"
        + (", or ISMRMRD's group with 'xml' and 'data'." if key == "kspace" else ".")
    )


def _reconstructed(file: h5py.File) -> tuple[int, int] | None:
    """(H, W) of fastMRI's own reconstruction, without the oversampled readout."""
    names: list[str] = list(file)
    for name in names:
        if name.startswith("reconstruction_"):
            item = h5_dataset(file, name)
            if isinstance(item, h5py.Dataset) and item.ndim >= 2:
                return tuple(item.shape[-2:])
    return None
