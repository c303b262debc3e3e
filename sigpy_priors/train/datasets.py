"""Training images from the formats that MR groups have.

Every reader yields 2-D slices, magnitude or complex. Scale does not matter:
each slice is divided by its own 99.8th percentile magnitude, the scale at
which priors are called (see :mod:`sigpy_priors.scan.noise`).
"""

import math
from pathlib import Path

import numpy as np
import torch

from sigpy_priors.train.augment import complex_crop

__all__ = ["SliceDataset", "read_slices", "open_slices", "READERS"]


# Readers return slices (N, H, W); read_slices puts the file's name before what
# they complain about.


def _from_array(a):
    """Slices (N, H, W) of an array: complex, real pairs (..., 2), or magnitude."""
    if a.ndim >= 3 and a.shape[-1] == 2 and not np.iscomplexobj(a):
        a = a.astype(np.float32)
        a = a[..., 0] + 1j * a[..., 1]
    if a.ndim < 2:
        raise ValueError(f"expected images (..., H, W), got shape {a.shape}")
    return a.reshape((-1,) + a.shape[-2:])


def _read_npy(path):
    return _from_array(np.load(path, allow_pickle=False))


def _read_npz(path):
    with np.load(path, allow_pickle=False) as f:
        arrays = {k: f[k] for k in f.files}
    images = [k for k, a in arrays.items() if a.ndim >= 2 and a.dtype.kind in "uifc"]
    if "img" in images:
        images = ["img"]
    if len(images) != 1:
        raise ValueError(
            f"expected one image array, or one named 'img', got {list(arrays)}"
        )
    return _from_array(arrays[images[0]])


def _read_nifti(path):
    import nibabel

    vol = np.asanyarray(nibabel.load(path).dataobj)
    if vol.ndim < 2:
        raise ValueError(f"expected images (x, y, ...), got shape {vol.shape}")
    # NIfTI is (x, y, z, t): every z of every t is a slice.
    return np.moveaxis(vol.reshape(vol.shape[:2] + (-1,)), -1, 0)


def _read_dicom(path):
    import pydicom

    file = pydicom.dcmread(path)
    if "PixelData" not in file:
        raise ValueError("a DICOM file without an image")
    if file.SamplesPerPixel != 1:
        raise ValueError("a colour image")
    return _from_array(pydicom.pixels.apply_rescale(file.pixel_array, file))


def _read_fastmri(path):
    """fastMRI: k-space, many coils combined by root sum of squares.

    The images are cropped to the size of the reconstruction in the file, which
    removes the oversampled part of the field of view.
    """
    import h5py
    import sigpy as sp

    with h5py.File(path, "r") as f:
        if "kspace" not in f:
            raise ValueError(f"no dataset 'kspace', got {list(f)}")
        if "mask" in f:
            raise ValueError("undersampled (has a 'mask'): no image to learn from")
        ksp = f["kspace"]
        if ksp.ndim not in (3, 4) or ksp.dtype.kind != "c":
            raise ValueError(
                f"expected complex 'kspace' of shape (slices, [coils,] H, W), "
                f"got {ksp.dtype} of shape {ksp.shape}"
            )
        target = [f[k].shape[-2:] for k in f if k.startswith("reconstruction_")]
        size = target[0] if target else ksp.shape[-2:]
        slices = []
        for k in ksp:
            img = sp.ifft(k, axes=(-2, -1))
            img = sp.resize(img, img.shape[:-2] + tuple(size))
            slices.append(sp.rss(img, axes=(0,)) if img.ndim == 3 else img)
    return np.stack(slices)


READERS = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".nii": _read_nifti,
    ".nii.gz": _read_nifti,
    ".dcm": _read_dicom,
    ".ima": _read_dicom,
    ".h5": _read_fastmri,
}


def _ending(path):
    """The key of a file's reader, or None; DICOM series often have no ending."""
    name = path.name.lower()
    known = next((e for e in READERS if name.endswith(e)), None)
    if known or not path.is_file() or name == "dicomdir":
        return known
    with open(path, "rb") as f:
        return ".dcm" if f.read(132)[128:] == b"DICM" else None


def read_slices(path):
    """Read all slices of one file.

    Args:
        path (str or Path): a file with an ending in ``READERS``, or DICOM.

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
    except ImportError as e:
        raise ValueError(
            f"{path}: reading {ending} needs the package {e.name!r}: "
            f"pip install 'sigpy-priors[train]'."
        ) from e
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


def open_slices(patterns, root, min_signal=0.05):
    """Read every file that matches, and keep slices that show something.

    Args:
        patterns (sequence of str): globs relative to ``root``; a folder
            stands for all readable files below it.
        root (str or Path): data folder.
        min_signal (float): least fraction of pixels above 5 % of the peak.

    Returns:
        tuple: list of 2-D arrays, and array of their 99.8th percentiles.

    Raises:
        ValueError: if a pattern matches nothing, or no slice is left.
    """
    root = Path(root)
    images, peaks = [], []
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
        for file in files:
            for img in read_slices(file):
                mag = np.abs(img)
                peak = float(np.percentile(mag, 99.8))
                if peak > 0 and (mag > 0.05 * peak).mean() >= min_signal:
                    images.append(img)
                    peaks.append(peak)
    if not images:
        raise ValueError(f"data: no slice in {root} has enough signal.")
    return images, np.array(peaks)


class SliceDataset(torch.utils.data.Dataset):
    """Noisy-image training pairs, each a function of (seed, index) only.

    Args:
        images (list of array): 2-D slices.
        peaks (array): their 99.8th percentile magnitudes.
        config (TrainConfig): augmentation, noise levels and seed.

    Items are (x, n, sigma): clean image and unit per-channel noise
    (2, crop, crop), and the complex noise level.
    """

    def __init__(self, images, peaks, config):
        self.images, self.peaks, self.config = images, peaks, config

    def __len__(self):
        return self.config.optim.steps * self.config.optim.batch_size

    def __getitem__(self, index):
        c = self.config
        rng = np.random.default_rng((c.seed, index))
        k = rng.integers(len(self.images))
        img = self.images[k] / np.float32(self.peaks[k])
        step = index // c.optim.batch_size  # one size within a batch
        crop = c.data.crop[step * len(c.data.crop) // c.optim.steps]
        x = complex_crop(img, crop, rng, c.data.affine, c.data.add_phase)
        log_sigma = rng.normal(math.log(c.sigma.center), c.sigma.spread)
        sigma = np.clip(np.exp(log_sigma), c.sigma.min, c.sigma.max)
        noise = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
        return x, noise, torch.tensor(sigma, dtype=torch.float32)
