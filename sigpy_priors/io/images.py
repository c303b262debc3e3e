"""Images for training, from the formats that MR groups have.

Every reader gives the 2-D slices of one file, magnitude or complex, in the
file's own units. A reader more is a function and a row in :data:`READERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sigpy_priors.backend.extras import require
from sigpy_priors.io.files import (
    DEFLATE,
    FileError,
    check_file,
    check_memory,
    check_ratio,
    h5_dataset,
    load_npy,
    load_npz,
    open_h5,
)

__all__ = ["READERS", "NoImage", "find_images", "read_slices", "slice_sources"]


class NoImage(ValueError):
    """A sound file without an image to learn from, such as a report of an exam."""


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
    data = load_npy(path)
    check_memory(path, data.nbytes, f"an array of shape {data.shape}")
    return _from_array(np.array(data))


def _read_npz(path: Path) -> np.ndarray:
    arrays = load_npz(path)
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
    header = nibabel.load(path)
    # nibabel asks for as much as the header says, whatever the file holds.
    shape, dtype = header.shape, header.get_data_dtype()
    nbytes, what = math.prod(shape) * dtype.itemsize, f"a volume of shape {shape}"
    packed = path.name.lower().endswith(".gz")
    check_ratio(path, nbytes, path.stat().st_size, what, DEFLATE if packed else 1)
    check_memory(path, 2 * nbytes, what)
    vol = np.asanyarray(header.dataobj)
    if vol.ndim < 2:
        raise ValueError(f"expected images (x, y, ...), got shape {vol.shape}")
    if vol.ndim > 2 and 1 in vol.shape[:2] and vol.shape[2] > 1:
        # One sagittal or coronal slice: the axis of length 1 is that of slices.
        vol = np.moveaxis(vol, vol.shape.index(1), 2)
    # NIfTI is (x, y, z, t): every z of every t is a slice.
    return np.moveaxis(vol.reshape(vol.shape[:2] + (-1,)), -1, 0)


def _read_dicom(path: Path) -> np.ndarray:
    [pydicom] = require("pydicom", extra="train")
    meta = pydicom.filereader.read_file_meta_info(path)
    syntax = pydicom.uid.UID(meta.get("TransferSyntaxUID", "1.2.840.10008.1.2"))
    if syntax.is_deflated:
        raise ValueError("a deflated DICOM file; expand it with dcmconv")
    file = pydicom.dcmread(path)
    if "PixelData" not in file:
        raise NoImage("a DICOM file without an image")
    if file.get("SamplesPerPixel", 1) != 1:
        raise NoImage("a colour image")
    shape = file.get("NumberOfFrames", 1) or 1, file.Rows, file.Columns
    nbytes, what = 8 * math.prod(map(int, shape)), f"an image of shape {shape}"
    # Eight bytes are allowed for each pixel here, of which one at least is stored.
    packed = DEFLATE if syntax.is_compressed else 8
    check_ratio(path, nbytes, path.stat().st_size, what, packed)
    check_memory(path, 2 * nbytes, what)
    return _from_array(pydicom.pixels.apply_rescale(file.pixel_array, file))


def _read_fastmri(path: Path) -> np.ndarray:
    """fastMRI: k-space, many coils combined by root sum of squares.

    The images are cropped to the size of the reconstruction in the file, which
    removes the oversampled part of the field of view.
    """
    import h5py
    import sigpy as sp

    with open_h5(path) as f:
        ksp = h5_dataset(f, "kspace")
        if not isinstance(ksp, h5py.Dataset):
            raise ValueError(f"no dataset 'kspace', got {list(f)}")
        if "mask" in f:
            raise ValueError("undersampled (has a 'mask'): no image to learn from")
        if ksp.ndim not in (3, 4) or ksp.dtype.kind != "c":
            raise ValueError(
                f"expected complex 'kspace' of shape (slices, [coils,] H, W), "
                f"got {ksp.dtype} of shape {ksp.shape}"
            )
        names: list[str] = list(f)
        sizes = [
            item.shape[-2:]
            for name in names
            if name.startswith("reconstruction_")
            and isinstance(item := h5_dataset(f, name), h5py.Dataset)
        ]
        size = sizes[0] if sizes else ksp.shape[-2:]
        nbytes = 16 * math.prod(ksp.shape[1:]) + 4 * len(ksp) * math.prod(size)
        check_memory(path, nbytes, f"images of 'kspace' {ksp.shape}")
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
        NoImage: if the file is sound, but holds no grey image.
        ValueError: naming the file and what is wrong with it.
    """
    path = check_file(path)
    ending = _ending(path)
    if ending is None:
        raise ValueError(
            f"{path}: unknown image format, expected one of {', '.join(READERS)}."
        )
    try:
        slices = READERS[ending](path)
    except FileError:
        raise
    except NoImage as e:
        raise NoImage(f"{path}: cannot be read as {ending}: {e}.") from e
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


def slice_sources(path: str | Path, count: int) -> list[tuple[str, ...]]:
    """Where each slice of a file comes from.

    Args:
        path (str or Path): a file that :func:`read_slices` reads.
        count (int): number of its slices.

    Returns:
        list of tuple: the rows of the array ``meta`` of an ``.npz`` file that has one
        for each slice, the first column being the source; of other files their name.
    """
    path = Path(path)
    if _ending(path) == ".npz":
        meta = load_npz(path, "meta").get("meta")
        if meta is not None and meta.dtype.kind == "U" and meta.shape[:1] == (count,):
            return [tuple(map(str, row)) for row in meta.reshape(count, -1)]
    return [(path.name,)] * count


def find_images(patterns: Sequence[str], root: str | Path) -> list[Path]:
    """Find the image files that patterns match.

    Args:
        patterns (sequence of str): globs relative to ``root``; a folder, such as
            ".", stands for all readable files below it.
        root (str or Path): data folder.

    Returns:
        list of Path: for each pattern, files in the order of their names.

    Raises:
        ValueError: if a pattern is not relative, or matches no image file.
    """
    root, found = Path(root), []
    for pattern in patterns:
        try:
            whole = pattern and not Path(pattern).parts  # pathlib globs no "."
            matches = {root} if whole else set(root.glob(pattern))
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
