"""The real k-space that every benchmark reconstructs, and its references.

The data are not part of the project: set SIGPY_PRIORS_DATA to their folder,
or put them beside the checkout as ``../shared/data``.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sigpy as sp
import sigpy.mri as mr

ROOT = Path(__file__).parents[2]


def data_folder():
    """Folder of the data; SystemExit says how to set it."""
    folder = Path(os.environ.get("SIGPY_PRIORS_DATA", ROOT.parent / "shared/data"))
    if not folder.is_dir():
        raise SystemExit(f"no data in {folder}: set SIGPY_PRIORS_DATA.")
    return folder


def poisson(shape, accel):
    """Variable-density Poisson-disc mask with a 24 x 24 centre."""
    mask = mr.poisson(shape, accel, calib=(24, 24), seed=0, dtype=np.float32)
    return np.abs(mask)


def lines(shape, accel, center=20, seed=0):
    """1-D variable density along the first axis, Gaussian, full centre."""
    n = shape[0]
    rng = np.random.default_rng(seed)
    density = np.exp(-0.5 * ((np.arange(n) - n // 2) / (0.18 * n)) ** 2)
    middle = slice(n // 2 - center // 2, n // 2 + center // 2)
    density[middle] = 0
    mask = np.zeros(shape, np.float32)
    mask[middle] = 1
    drawn = rng.choice(
        n, int(n / accel) - center, replace=False, p=density / density.sum()
    )
    mask[drawn] = 1
    return mask


@dataclass
class Case:
    """Undersampled k-space with maps from it, and the image of the full data."""

    name: str
    y: np.ndarray
    mps: np.ndarray
    mask: np.ndarray
    reference: np.ndarray


def sense_combine(ksp, mps):
    """Least-squares combination of fully sampled coil images."""
    img = sp.ifft(ksp, axes=(-2, -1))
    return (mps.conj() * img).sum(0) / np.maximum((np.abs(mps) ** 2).sum(0), 1e-9)


def brain8():
    """8-coil T1 brain, 180 x 230: Poisson R = 4 and 8, 1-D R = 4."""
    full = np.load(data_folder() / "kspace/brain8_espirit_full_8x180x230.npy")
    maps = mr.app.EspiritCalib(full, show_pbar=False).run()
    reference = sense_combine(full, maps)
    shape = full.shape[1:]
    masks = {
        "Poisson R=4": poisson(shape, 4),
        "Poisson R=8": poisson(shape, 8),
        "1-D R=4": lines(shape, 4),
    }
    for name, mask in masks.items():
        y = full * mask
        mps = mr.app.EspiritCalib(y, show_pbar=False).run()
        yield Case(name, y, mps, mask, reference)


def one_coil():
    """T1 brain, 256 x 256 sagittal, and fat-saturated knee, 332 x 640: R = 3."""
    scans = {"T1": "t1sag_1ch_larson_256", "knee": "knee_fs_1ch_larson_332x640"}
    for name, file in scans.items():
        full = np.load(data_folder() / f"kspace/{file}.npy").astype(np.complex64)
        full = full.reshape((1,) + full.shape[-2:])
        mps = np.ones_like(full)
        reference = sense_combine(full, mps)
        shape = full.shape[1:]
        masks = {"Poisson R=3": poisson(shape, 3), "1-D R=3": lines(shape, 3)}
        for kind, mask in masks.items():
            yield Case(f"{name}, {kind}", full * mask, mps, mask, reference)


SCANS = {"brain8": brain8, "one_coil": one_coil}
