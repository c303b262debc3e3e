"""Images for training, from the formats that MR groups have.

Every reader gives the 2-D slices of one file, magnitude or complex, in the
file's own units. A reader more is a function and a row in :data:`READERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sigpy_priors.backend.extras import require
from sigpy_priors.io.files import FileError, load_npy, open_h5

__all__ = ["READERS", "read_slices", "find_images"]

# Readers return slices (N, H, W); read_slices puts the file's name before what
# they complain about.


def _from_array(a: np.ndarray) -> np.ndarray:
    """Slices (N, H, W) of an array: complex, real pairs (..., 2), or magnitude."""
    if a.ndim >= 3 and a.shape[-1] == 2 and not np.iscomplexobj(a):
        a = a.astype(np.float32)
        a = a[..., 0] + 1j * a[..., 1]
    if a.ndim < 2:
        raise ValueError(f"expected images (..., H, W), got shape {a.shape}")
    return a.reshape((-1,) + a.shape[-2:])


def _read_npy(path: Path) -> np.ndarray:
    # A copy: training must not see a file that changes on the disk.
    return _from_array(np.array(load_npy(path)))


def _read_npz(path: Path) -> np.ndarray:
    # Opened here: numpy leaves a damaged file open.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as f:
        arrays = {k: f[k] for k in f.files}
    images = [k for k, a in arrays.items() if a.ndim >= 2 and a.dtype.kind in "uifc"]
    if "img" in images:
        images = ["img"]
    if len(images) != 1:
        raise ValueError(
            f"expected one image array, or one named 'img', got {list(arrays)}"
        )
    return _from_array(arrays[images[0]])


def _read_nifti(path: Path) -> np.ndarray:
    [nibabel] = require("nibabel", extra="train")
    vol = np.asanyarray(nibabel.load(path).dataobj)
    if vol.ndim < 2:
        raise ValueError(f"expected images (x, y, ...), got shape {vol.shape}")
    # NIfTI is (x, y, z, t): every z of every t is a slice.
    return np.moveaxis(vol.reshape(vol.shape[:2] + (-1,)), -1, 0)


def _read_dicom(path: Path) -> np.ndarray:
    [pydicom] = require("pydicom", extra="train")
    file = pydicom.dcmread(path)
    if "PixelData" not in file:
        raise ValueError("a DICOM file without an image")
    if file.SamplesPerPixel != 1:
        raise ValueError("a colour image")
    return _from_array(pydicom.pixels.apply_rescale(file.pixel_array, file))


def _read_fastmri(path: Path) -> np.ndarray:
    """fastMRI: k-space, many coils combined by root sum of squares.

    The images are cropped to the size of the reconstruction in the file, which
    removes the oversampled part of the field of view.
    """
    import h5py
    import sigpy as sp

    with open_h5(path) as f:
        ksp = f.get("kspace")
        if not isinstance(ksp, h5py.Dataset):
            raise ValueError(f"no dataset 'kspace', got {list(f)}")
        if "mask" in f:
            raise ValueError("undersampled (has a 'mask'): no image to learn from")
        if ksp.ndim not in (3, 4) or ksp.dtype.kind != "c":
            raise ValueError(
                f"expected complex 'kspace' of shape (slices, [coils,] H, W), "
                f"got {ksp.dtype} of shape {ksp.shape}"
            )
        sizes = [
            item.shape[-2:]
            for name, item in f.items()
            if name.startswith("reconstruction_") and isinstance(item, h5py.Dataset)
        ]
        size = sizes[0] if sizes else ksp.shape[-2:]
        slices = []
        for k in ksp:
            img = sp.ifft(k, axes=(-2, -1))
            img = sp.resize(img, img.shape[:-2] + tuple(size))
            slices.append(sp.rss(img, axes=(0,)) if img.ndim == 3 else img)
    return np.stack(slices)


READERS: dict[str, Callable[[Path], np.ndarray]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".nii": _read_nifti,
    ".nii.gz": _read_nifti,
    ".dcm": _read_dicom,
    ".ima": _read_dicom,
    ".h5": _read_fastmri,
}
"""dict: ending of a file to the function that reads its slices."""


def _ending(path: Path) -> str | None:
    """The key of a file's reader, or None; DICOM series often have no ending."""
    name = path.name.lower()
    known = next((e for e in READERS if name.endswith(e)), None)
    if known or not path.is_file() or name == "dicomdir":
        return known
    with open(path, "rb") as f:
        return ".dcm" if f.read(132)[128:] == b"DICM" else None


def read_slices(path: str | Path) -> np.ndarray:
    """Read all slices of one file.

    Args:
        path (str or Path): a file with an ending in :data:`READERS`, or DICOM.

    Returns:
        array: shape (N, H, W), real or complex.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    ending = _ending(path)
    if ending is None:
        raise ValueError(
            f"{path}: unknown image format, expected one of {', '.join(READERS)}."
        )
    try:
        slices = READERS[ending](path)
    except FileError:
        raise
    except ImportError as e:
        raise ValueError(f"{path}: reading {ending}: {e}") from e
    except Exception as e:
        why = " ".join(str(e).split()).rstrip(".")  # some libraries break lines
        raise ValueError(f"{path}: cannot be read as {ending}: {why}.") from e
    if slices.dtype.kind not in "uifc" or not slices.size:
        raise ValueError(
            f"{path}: expected images of numbers, got {slices.dtype} of shape "
            f"{slices.shape}."
        )
    # Compared in the file's own type: a cast here would copy a whole data set.
    if slices.dtype.kind in "fc" and not np.isfinite(slices).all():
        raise ValueError(f"{path}: contains NaN or infinite pixels.")
    return slices


def find_images(patterns: Sequence[str], root: str | Path) -> list[Path]:
    """Find the image files that patterns match.

    Args:
        patterns (sequence of str): globs relative to ``root``; a folder
            stands for all readable files below it.
        root (str or Path): data folder.

    Returns:
        list of Path: for each pattern, files in the order of their names.

    Raises:
        ValueError: if a pattern is not relative, or matches no image file.
    """
    root, found = Path(root), []
    for pattern in patterns:
        try:
            matches = set(root.glob(pattern))
        except (ValueError, NotImplementedError) as e:
            raise ValueError(f"data: {pattern!r} is no relative pattern: {e}.") from e
        matches |= {f for d in matches if d.is_dir() for f in d.rglob("*")}
        files = sorted(f for f in matches if f.is_file() and _ending(f))
        if not files:
            raise ValueError(
                f"data: no image file ({', '.join(READERS)}) matches {pattern!r} "
                f"in {root}; set the data folder with --data."
            )
        found += files
    return found
