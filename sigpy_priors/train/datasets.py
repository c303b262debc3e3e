"""Training images from the formats that MR groups have.

Every reader yields 2-D slices, magnitude or complex. Scale does not matter:
each slice is divided by its own 99.8th percentile magnitude, the scale at
which priors are called (see :mod:`sigpy_priors.noise`).
"""

import math
from pathlib import Path

import numpy as np
import torch

from sigpy_priors.train.augment import complex_crop

__all__ = ["SliceDataset", "read_slices", "open_slices", "READERS"]


def _from_array(a, name):
    """Slices (N, H, W) of an array: complex, real pairs (..., 2), or magnitude."""
    if a.ndim >= 3 and a.shape[-1] == 2 and not np.iscomplexobj(a):
        a = a.astype(np.float32)
        a = a[..., 0] + 1j * a[..., 1]
    if a.ndim < 2:
        raise ValueError(f"{name}: expected images (..., H, W), got shape {a.shape}.")
    return a.reshape((-1,) + a.shape[-2:])


def _read_npy(path):
    return _from_array(np.load(path, allow_pickle=False), path)


def _read_npz(path):
    with np.load(path, allow_pickle=False) as f:
        keys = [k for k in f.files if f[k].ndim >= 2 and f[k].dtype.kind in "uifc"]
        if "img" in keys:
            keys = ["img"]
        if len(keys) != 1:
            raise ValueError(
                f"{path}: expected one image array, or one named 'img', "
                f"got {f.files}."
            )
        return _from_array(f[keys[0]], path)


def _read_nifti(path):
    import nibabel

    vol = np.asanyarray(nibabel.load(path).dataobj)
    vol = vol[..., None] if vol.ndim == 2 else vol
    # NIfTI is (x, y, z, t): every z of every t is a slice.
    return np.moveaxis(vol.reshape(vol.shape[:2] + (-1,)), -1, 0)


def _read_dicom(path):
    import pydicom

    return _from_array(pydicom.dcmread(path).pixel_array.astype(np.float32), path)


def _read_fastmri(path):
    """fastMRI h5: multi-coil k-space, combined by root sum of squares."""
    import h5py
    import sigpy as sp

    with h5py.File(path, "r") as f:
        if "kspace" not in f:
            raise ValueError(f"{path}: no dataset 'kspace', got {list(f)}.")
        ksp = f["kspace"]
        if ksp.ndim == 3:
            return np.stack([sp.ifft(k, axes=(-2, -1)) for k in ksp])
        return np.stack([sp.rss(sp.ifft(k, axes=(-2, -1)), axes=(0,)) for k in ksp])


READERS = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".nii": _read_nifti,
    ".nii.gz": _read_nifti,
    ".dcm": _read_dicom,
    ".ima": _read_dicom,
    ".h5": _read_fastmri,
}


def read_slices(path):
    """Read all slices of one file.

    Args:
        path (str or Path): a file with an ending in ``READERS``.

    Returns:
        array: shape (N, H, W), real or complex.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    path = Path(path)
    name = path.name.lower()
    ending = next((e for e in READERS if name.endswith(e)), None)
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
    except ValueError:
        raise
    except Exception as e:
        raise ValueError(f"{path}: cannot be read as {ending}: {e}") from e
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
        files = sorted(root.glob(pattern))
        files += [f for d in files if d.is_dir() for f in sorted(d.rglob("*"))]
        files = [f for f in files if str(f).lower().endswith(tuple(READERS))]
        if not files:
            raise ValueError(
                f"data: nothing matches {pattern!r} in {root}; set the data "
                f"folder with --data."
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
        crop = c.data.crop[index * len(c.data.crop) // len(self)]
        x = complex_crop(img, crop, rng, c.data.affine, c.data.add_phase)
        log_sigma = rng.normal(math.log(c.sigma.center), c.sigma.spread)
        sigma = np.clip(np.exp(log_sigma), c.sigma.min, c.sigma.max)
        noise = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
        return x, noise, torch.tensor(sigma, dtype=torch.float32)
