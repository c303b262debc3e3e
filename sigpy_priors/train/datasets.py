"""Slices from a folder of images: which, how often each is drawn, how noisy each is.

The files are read by :mod:`sigpy_priors.io.images`. Their scale does not matter:
each slice is divided by its own, at which priors are called
(:func:`sigpy_priors.scan.noise.estimate_scale`).
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sigpy_priors.io.images import NoImage, find_images, read_slices, slice_sources
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.train.slice_noise import estimate_slice_noise

if TYPE_CHECKING:
    from sigpy_priors.train.config import DataConfig

__all__ = ["Slices", "open_slices", "open_training", "open_validation"]

# Share of an image's power below zero that is no ringing any more.
_SIGNED = 0.05


def open_slices(
    patterns: Sequence[str], root: str | Path, min_signal: float = 0.05
) -> tuple[list[np.ndarray], np.ndarray]:
    """Read every file that matches, and keep slices that show something.

    An exam is more than its images: files without one, in colour or with signed
    pixels (phase images) are left out, and a warning counts them.

    Args:
        patterns (sequence of str): as of :func:`sigpy_priors.io.images.find_images`.
        root (str or Path): data folder.
        min_signal (float): least fraction of pixels above 5 % of the scale.

    Returns:
        tuple: list of 2-D arrays, and array of their scales.

    Raises:
        ValueError: if a pattern matches nothing, a file is damaged, or no
            slice is left.
    """
    images, scales, _ = _open(patterns, root, min_signal)
    return images, scales


def _open(patterns, root, min_signal):
    """As :func:`open_slices`, and the name of each slice's source."""
    images, scales, sources, left_out = [], [], [], []
    for file in find_images(patterns, root):
        try:
            slices = read_slices(file)
            _check_unsigned(file, slices)
        except NoImage as e:
            left_out.append(str(e))
            continue
        names = slice_sources(file, len(slices))
        for img, name in zip(slices, names):
            if not img.any():
                continue
            scale = estimate_scale(img)
            if (np.abs(img) > 0.05 * scale).mean() >= min_signal:
                images.append(img)
                scales.append(scale)
                sources.append(name)
    if left_out:
        warnings.warn(
            f"data: {len(left_out)} files were left out, the first: {left_out[0]}",
            stacklevel=2,
        )
    if not images:
        why = f"; {left_out[0]}" if left_out else ""
        raise ValueError(f"data: no slice in {root} has enough signal{why}.")
    return images, np.array(scales), sources


@dataclass(frozen=True)
class Slices:
    """What a prior is trained on.

    Attributes:
        images (list of array): 2-D slices, magnitude or complex.
        scales (array): what each is divided by (N,).
        weights (array): how often each is drawn, of a sum of 1 (N,).
        noise (array): complex noise level of each, in units of its scale (N,); zeros
            where nobody asked.
    """

    images: list[np.ndarray]
    scales: np.ndarray
    weights: np.ndarray
    noise: np.ndarray

    def digest(self) -> str:
        """SHA-256 of everything, in this order: a run belongs to its images."""
        sha = hashlib.sha256()
        for array in (*self.images, self.weights, self.noise):
            sha.update(f"{array.dtype}:{array.shape};".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()


def open_training(data: DataConfig, root: str | Path) -> Slices:
    """Read the training slices of a config.

    Args:
        data (DataConfig): names the files, their weights, and what else is asked.
        root (str or Path): data folder.

    Returns:
        Slices: of all sources.

    Raises:
        ValueError: as :func:`open_slices`.
    """
    images: list[np.ndarray] = []
    scales, weights, noise = [], [], []
    for source in data.sources:
        found, each, names = _open(source.patterns, root, data.min_signal)
        first = len(found) - _count_aside(found, data)
        found, each, names = found[:first], each[:first], names[:first]
        count = Counter(name[0] for name in names)
        share = np.array([count[name[0]] ** (source.balance - 1.0) for name in names])
        images += found
        scales.append(each)
        weights.append(share * (source.weight / share.sum()))
        aware = data.noise_aware and source.noise
        noise.append(_noise(found, each, names) if aware else np.zeros(len(found)))
    images = images[: data.slices]
    scale, weight, own = (
        np.concatenate(v)[: len(images)] for v in (scales, weights, noise)
    )
    return Slices(images, scale, weight / weight.sum(), own)


def _count_aside(images, data):
    """How many of the last slices are kept aside; some are left to train on."""
    count = math.ceil(data.aside * len(images))
    if count == len(images):
        raise ValueError(
            f"data.aside: {data.aside:g} of {len(images)} slices leaves none to train on."
        )
    return count


def open_validation(
    data: DataConfig, root: str | Path
) -> tuple[list[np.ndarray], np.ndarray]:
    """Read the validation slices of a config.

    Args:
        data (DataConfig): names files of their own, or what is kept aside of others.
        root (str or Path): data folder.

    Returns:
        tuple: as of :func:`open_slices`.

    Raises:
        ValueError: as :func:`open_slices`.
    """
    if data.val:
        return open_slices(data.val, root, data.min_signal)
    images: list[np.ndarray] = []
    scales = []
    for source in data.sources:
        found, each = open_slices(source.patterns, root, data.min_signal)
        first = len(found) - _count_aside(found, data)
        images += found[first:]
        scales.append(each[first:])
    return images, np.concatenate(scales)


def _noise(images, scales, names):
    """Noise levels: of a slice, or the median of its series where that is less.

    A series, slices with the same row of ``meta``, has one noise level in its own units;
    a slice that seems to have more has structure, one that does not tell has the median.
    """
    level = scales * np.array(
        [estimate_slice_noise(m / np.float32(s)) for m, s in zip(images, scales)]
    )
    series: dict[tuple, list[int]] = {}
    for k, name in enumerate(names):
        series.setdefault(name, []).append(k)
    for members in series.values():
        told = level[members][np.isfinite(level[members])]
        middle = np.median(told) if len(told) else 0.0
        level[members] = np.fmin(level[members], middle)
    return level / scales


def _check_unsigned(file: Path, slices: np.ndarray) -> None:
    """Refuse what is no magnitude; interpolation leaves a few values below zero."""
    if slices.dtype.kind in "if" and slices.min() < 0:
        negative = np.minimum(slices, 0).astype(np.float32)
        power = (
            float((negative**2).sum()),
            float((slices.astype(np.float32) ** 2).sum()),
        )
        if power[0] > _SIGNED * power[1]:
            raise NoImage(
                f"{file}: {power[0] / power[1]:.0%} of its power is below zero, expected "
                f"magnitudes: is it a phase image?"
            )
