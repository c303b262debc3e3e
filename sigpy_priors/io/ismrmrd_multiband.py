r"""Raw scanner data (ISMRMRD) of slices that were excited together.

The header's ``multiband`` says how many, their distances ``dZ`` in mm from one to the
next, ``deltaKz`` in 1/mm, and the encoding space of the single-band lines for coil
maps. A line at step :math:`k_z` of the second encoding (0 at the centre of its limits)
gives the slice at z the phase :math:`e^{2 \pi i k_z \Delta k_z z}`: the blips of
CAIPIRINHA. Of G groups the slices of group g are g, g + G, g + 2G, ... of the
single-band lines, as in the usual interleaving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.io.ismrmrd import (
    encoding_of,
    fields_of_view,
    line_key,
    measurement,
    noise_covariance_of,
    place_kspace,
    read_group,
)
from sigpy_priors.io.ismrmrd_lines import Measured, sort_lines

__all__ = ["MultibandScan", "read_multiband"]

# Calibrations of single slices; of the others the slices are still to be told apart.
_SINGLE = "separable2D"


@dataclass(frozen=True, eq=False)
class MultibandScan:
    """What an ISMRMRD file with a multiband encoding holds.

    Attributes:
        kspace (array): complex64, (groups, coils, H, W), W along the readout.
        calibration (array): single-band k-space (groups, MB, coils, H, W), zero where
            it was not measured.
        phases (array): of every line of every slice in cycles, (MB, H): ``shifts`` of
            :class:`sigpy_priors.linop.Sms`.
        noise (array or None): covariance of the coils' noise (coils, coils), up to a
            factor.
    """

    kspace: np.ndarray
    calibration: np.ndarray
    phases: np.ndarray
    noise: np.ndarray | None


def read_multiband(path: str | Path, group: str | None = None) -> MultibandScan:
    """Read an ISMRMRD file whose header has a multiband encoding.

    >>> scan = read_multiband("scan.h5")
    >>> mps = calibration_maps(scan.calibration[0])
    >>> problem = sms_problem(scan.kspace[0], mps, scan.phases, noise=scan.noise)

    Args:
        path (str or Path): HDF5 file, ``.h5`` or ``.mrd``.
        group (str or None): the HDF5 group; None is the only one with an image.

    Returns:
        MultibandScan: one k-space for each group of slices.

    Raises:
        ValueError: if there is no multiband encoding, its calibration is not of single
            slices, or numbers of the header and lines do not fit each other.
    """
    group, _ = measurement(path, group)
    header, acquisitions = read_group(path, group)
    index, band = _multiband(path, header)
    lines = [a for a in acquisitions if a.encoding_space_ref == index]
    measured = sort_lines(lines, False)
    if not measured.image:
        raise ValueError(f"{path}: got no lines of encoding space {index}, an image's.")
    steps = _steps_along_z(path, header.encoding[index], measured.image)
    ksp, keys = _images(path, header, measured, measured.image)
    calibration = _single_bands(path, header, band, acquisitions, ksp.shape, keys)
    height = header.encoding[index].encodedSpace.matrixSize.y
    centre = _centre(header.encoding[index], "1", height)
    kz = np.zeros(height)
    for row, step in steps.items():
        kz[row - centre + height // 2] = step
    z = np.cumsum([0.0, *_distances(path, band)])
    noise = sort_lines(acquisitions, False).noise
    return MultibandScan(
        ksp,
        calibration,
        z[:, None] * float(band.deltaKz) * kz,
        noise_covariance_of(path, noise, ksp.shape[1]),
    )


def _multiband(path: str | Path, header: Any) -> tuple[int, Any]:
    """The encoding space with several bands, and what its header says."""
    for index, encoding in enumerate(header.encoding):
        band = encoding.parallelImaging and encoding.parallelImaging.multiband
        if not band or band.multiband_factor < 2:
            continue
        kind = str(getattr(band.calibration, "value", band.calibration))
        single = band.calibration_encoding
        if kind != _SINGLE or single == index or not 0 <= single < len(header.encoding):
            raise ValueError(
                f"{path}: got a multiband calibration {kind!r} in encoding space "
                f"{single}, expected {_SINGLE!r} in one of its own: coil maps need "
                f"single-band lines."
            )
        return index, band
    raise ValueError(
        f"{path}: the header has no multiband encoding; read_ismrmrd reads slices that "
        f"were excited one by one."
    )


def _distances(path: str | Path, band: Any) -> list[float]:
    """From each slice to the next in mm; one number stands for all of them."""
    given = [float(d) for spacing in band.spacing for d in spacing.dZ]
    count = band.multiband_factor - 1
    if len(given) == 1:
        given = given * count
    if len(given) != count or not np.isfinite(given).all():
        raise ValueError(
            f"{path}: got distances {given} mm of slices excited together, expected "
            f"{count} for a multiband factor of {count + 1}, or one for all."
        )
    return given


def _centre(encoding: Any, step: str, default: int) -> int:
    limits = getattr(encoding.encodingLimits, f"kspace_encoding_step_{step}")
    return default // 2 if limits is None else limits.center


def _steps_along_z(
    path: str | Path, encoding: Any, lines: Sequence[Any]
) -> dict[int, int]:
    """The step in kz of every line; afterwards they count as lines of 2-D k-space."""
    centre = _centre(encoding, "2", 0)
    found: dict[int, int] = {}
    for a in lines:
        row, step = a.idx.kspace_encode_step_1, a.idx.kspace_encode_step_2 - centre
        if found.setdefault(row, step) != step:
            raise ValueError(
                f"{path}: got line {row} at steps {found[row]} and {step} along kz, "
                f"expected one: fully encoded data are 3-D, and no multiband."
            )
        a.idx.kspace_encode_step_2 = 0
    return found


def _images(
    path: str | Path, header: Any, measured: Measured, lines: Sequence[Any]
) -> tuple[np.ndarray, list]:
    keys = sorted({line_key(a) for a in lines})
    encoding = encoding_of(path, header, lines)
    return place_kspace(path, encoding, measured, lines, keys), keys


def _single_bands(
    path: str | Path,
    header: Any,
    band: Any,
    acquisitions: Sequence[Any],
    shape: tuple[int, ...],
    groups: Sequence[tuple],
) -> np.ndarray:
    """Single-band k-space of every slice of every group, in the image's matrix."""
    single = band.calibration_encoding
    sizes = [
        fields_of_view(header.encoding[i])
        for i in (_multiband(path, header)[0], single)
    ]
    if not np.allclose(*sizes, rtol=0.01):
        raise ValueError(
            f"{path}: got a field of view of {sizes[1]} mm in the single-band lines, "
            f"expected that of the others, {sizes[0]}."
        )
    lines = [a for a in acquisitions if a.encoding_space_ref == single]
    measured = sort_lines(lines, True)
    numbers = sorted({key[-1] for key in groups})
    wanted = [
        [g + s * len(numbers) for s in range(band.multiband_factor)] for g in numbers
    ]
    have = {a.idx.slice for a in measured.image}
    if missing := sorted({n for of_group in wanted for n in of_group} - have):
        raise ValueError(
            f"{path}: got single-band lines of slices {sorted(have)}, expected those of "
            f"{missing} too: {len(numbers)} groups of {band.multiband_factor} slices."
        )
    ksp, keys = _images(path, header, measured, measured.image)
    by_slice = {key[-1]: y for key, y in zip(keys, ksp)}
    of_group = {
        g: np.stack([by_slice[n] for n in slices]) for g, slices in zip(numbers, wanted)
    }
    stacked = np.stack([of_group[key[-1]] for key in groups])
    return sp.resize(stacked, stacked.shape[:-2] + tuple(shape[-2:]))
