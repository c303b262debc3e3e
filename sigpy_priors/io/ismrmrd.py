"""Raw scanner data (ISMRMRD) as Cartesian k-space.

Only what must happen before any reconstruction: lines go to their place,
averages are averaged, coils are whitened with the noise scan where there is
one, and readout oversampling is removed. Lines that were not acquired are 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import sigpy as sp
from sigpy.mri.util import get_cov, whiten

from sigpy_priors.io.h5_heap import check_heaps
from sigpy_priors.io.files import check_memory, h5_dataset, open_h5, reading

__all__ = ["read_ismrmrd"]

# Each combination of these is an image of its own.
_IMAGES = ("repetition", "contrast", "phase", "set", "slice")
_OTHER = (
    ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
)
_SPARSE = 64  # lines are not left out more than this
_Lines = Sequence[Any]  # acquisitions; their fields are known at run time only
_CALIBRATION = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
_BOTH = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING


def read_ismrmrd(path: str | Path, group: str = "dataset") -> np.ndarray:
    """Read an ISMRMRD file.

    Args:
        path (str or Path): ``.h5`` file.
        group (str): the HDF5 group with ``xml`` and ``data``.

    Returns:
        array: complex64, (slices, coils, H, W), W along the readout; without
        the slice axis if there is one image.

    Raises:
        ValueError: if the header is unreadable, data are not 2-D Cartesian,
            or a line does not fit the encoded matrix.
    """
    check_heaps(path)
    with open_h5(path) as file:
        for name in ("xml", "data"):
            h5_dataset(file, f"{group}/{name}")
    # The XML parser raises many kinds.
    with (
        reading(path, "an ISMRMRD header with data", "convert it again"),
        ismrmrd.File(path, "r") as file,
    ):
        header = file[group].header
        acquisitions = list(file[group].acquisitions)
        sizes = [e.encodedSpace.matrixSize for e in header.encoding]
        if not all(type(n) is int and n > 0 for m in sizes for n in (m.x, m.y)):
            raise ValueError("an encoded matrix whose sizes are no whole numbers > 0")
    parallel = [e.parallelImaging for e in header.encoding if e.parallelImaging]
    modes = {getattr(p.calibrationMode, "value", None) for p in parallel}
    noise = [a for a in acquisitions if a.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    lines = [a for a in acquisitions if _is_image_line(a, "embedded" in modes)]
    if not lines:
        raise ValueError(
            f"{path}: got {len(acquisitions)} acquisitions, none of an image; "
            f"expected Cartesian imaging lines."
        )
    encoding = _encoding(path, header, lines)
    ksp = _fill(path, encoding, lines)
    if noise and noise[0].active_channels == ksp.shape[1]:
        samples = np.concatenate([a.data for a in noise], axis=1)
        covariance = get_cov(samples) / samples.shape[1]  # SigPy gives the sum
        if np.linalg.matrix_rank(covariance) == len(covariance):
            ksp = np.stack([whiten(k, covariance) for k in ksp])
    ksp = _remove_oversampling(encoding, lines, ksp).astype(np.complex64)
    return ksp if len(ksp) > 1 else ksp[0]


def _is_image_line(a: Any, embedded: bool) -> bool:
    if any(a.is_flag_set(flag) for flag in _OTHER):
        return False
    # Lines measured only for calibration are of the same image if embedded.
    return embedded or not a.is_flag_set(_CALIBRATION) or a.is_flag_set(_BOTH)


def _encoding(path: str | Path, header: Any, lines: _Lines) -> Any:
    spaces = {a.encoding_space_ref for a in lines}
    if len(spaces) > 1 or max(spaces) >= len(header.encoding):
        raise ValueError(
            f"{path}: got lines of encoding spaces {sorted(spaces)}, expected one; "
            f"split the file."
        )
    encoding = header.encoding[spaces.pop()]
    # The parser leaves a text that it does not know as it is.
    trajectory = str(getattr(encoding.trajectory, "value", encoding.trajectory))
    if trajectory.lower() not in ("cartesian", "epi"):
        raise ValueError(
            f"{path}: got a {trajectory} trajectory, expected cartesian; save its "
            f"k-space and coordinates as .npy and give --coord."
        )
    partitions = len({a.idx.kspace_encode_step_2 for a in lines})
    if partitions > 1:
        raise ValueError(
            f"{path}: got 3-D data with {partitions} partitions, expected 2-D slices; "
            f"transform along the partitions and save the slices as .npy."
        )
    return encoding


def _fill(path: str | Path, encoding: Any, lines: _Lines) -> np.ndarray:
    """K-space (images, coils, H, W), averaged where lines repeat."""
    size = encoding.encodedSpace.matrixSize
    keys = [tuple(getattr(a.idx, name) for name in _IMAGES) for a in lines]
    images = {key: i for i, key in enumerate(sorted(set(keys)))}
    limits = encoding.encodingLimits.kspace_encoding_step_1
    center = limits.center if limits is not None else size.y // 2
    shape = (len(images), lines[0].active_channels, size.y, size.x)
    rows = len({a.idx.kspace_encode_step_1 for a in lines})
    samples = max(a.number_of_samples for a in lines)
    if size.y > _SPARSE * rows or size.x > _SPARSE * samples:
        raise ValueError(
            f"{path}: got {rows} different lines of {samples} samples in a matrix of "
            f"{size.y} x {size.x}, expected a matrix at most {_SPARSE} times as large; "
            f"the header's encoded matrix is wrong."
        )
    check_memory(path, 24 * math.prod(shape), f"k-space of shape {shape}")
    ksp = np.zeros(shape, complex)
    count = np.zeros((len(images), size.y, size.x), int)
    for key, a in zip(keys, lines):
        data = a.data[:, a.discard_pre : a.number_of_samples - a.discard_post]
        row = a.idx.kspace_encode_step_1 - center + size.y // 2
        # An asymmetric echo has its centre early in the line.
        start = size.x // 2 - (a.center_sample - a.discard_pre)
        stop = start + data.shape[1]
        if a.is_flag_set(ismrmrd.ACQ_IS_REVERSE):
            data, start, stop = data[:, ::-1], size.x - stop, size.x - start
        inside = 0 <= row < size.y and 0 <= start and stop <= size.x
        if not inside or len(data) != ksp.shape[1]:
            raise ValueError(
                f"{path}: line {a.idx.kspace_encode_step_1} has {data.shape[1]} "
                f"samples of {len(data)} coils from column {start} of row {row}, "
                f"expected to fit {ksp.shape[1]} coils of {size.y} x {size.x}; the "
                f"header's encoded matrix is wrong."
            )
        ksp[images[key], :, row, start:stop] += data
        count[images[key], row, start:stop] += 1
    return ksp / np.maximum(count, 1)[:, None]


def _remove_oversampling(encoding: Any, lines: _Lines, ksp: np.ndarray) -> np.ndarray:
    """Crop the readout to the field of view of the image."""
    width = ksp.shape[-1]
    fov = encoding.encodedSpace.fieldOfView_mm.x, encoding.reconSpace.fieldOfView_mm.x
    keep = round(width * fov[1] / fov[0]) if fov[0] > 0 else width
    complete = all(a.number_of_samples == width for a in lines)
    # Unsampled ends of a readout would no longer be 0 after the crop.
    if not complete or not 0 < keep < width:
        return ksp
    x = sp.ifft(ksp, axes=(-1,))
    # Orthonormal on fewer samples: the noise level per sample stays the same.
    return sp.fft(sp.resize(x, ksp.shape[:-1] + (keep,)), axes=(-1,))
