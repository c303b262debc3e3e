"""Raw scanner data (ISMRMRD) as Cartesian k-space.

Only what must happen before any reconstruction: lines go to their place, averages
are averaged, those of echo-planar imaging are corrected by their navigators, and
readout oversampling is removed. Lines that were not acquired are 0. What the noise
scan tells goes along: maps have to be whitened together with k-space.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import sigpy as sp

from sigpy_priors.io.epi import remove_ghost
from sigpy_priors.io.files import check_memory, h5_dataset, open_h5, reading
from sigpy_priors.io.geometry import Geometry, of_lines
from sigpy_priors.io.h5_heap import check_heaps
from sigpy_priors.io.ismrmrd_lines import Line, Measured, place, sort_lines
from sigpy_priors.io.oversampling import crop_readout

__all__ = ["RawScan", "assemble", "read_ismrmrd"]

_SPARSE = 64  # lines are not left out more than this
_ZERO_FILLED = 0.9  # of a matrix that is larger than what was measured
# Calibration lines of these modes are of the image.
_OF_IMAGE = {"embedded", "interleaved"}


@dataclass(frozen=True, eq=False)
class RawScan:
    """What an ISMRMRD file holds.

    Attributes:
        kspace (array): complex64, (slices, coils, H, W), W along the readout;
            without the slice axis if there is one image.
        noise (array or None): covariance of the coils' noise (coils, coils), up to a
            factor: the noise scan has a bandwidth of its own.
        calibration (list or None): for each slice k-space (coils, H, W) that was
            measured for coil maps only, or None.
        shape (tuple of int): (H, W) of the image that the scanner makes of it, less
            where more than its field of view was encoded.
        geometry (Geometry or None): where the slices lie.
    """

    kspace: np.ndarray
    noise: np.ndarray | None
    calibration: list | None
    shape: tuple[int, int]
    geometry: Geometry | None = None


def read_ismrmrd(path: str | Path, group: str | None = None) -> RawScan:
    """Read an ISMRMRD file.

    Args:
        path (str or Path): HDF5 file, ``.h5`` or ``.mrd``.
        group (str or None): the HDF5 group with ``xml`` and ``data``; None is the
            only one with lines of an image.

    Returns:
        RawScan: k-space, and what belongs to it.

    Raises:
        ValueError: if the header is unreadable, there are several measurements,
            data are not 2-D Cartesian, or a line does not fit the encoded matrix.
    """
    group, groups = measurement(path, group)
    header, acquisitions = read_group(path, group)
    others = (read_group(path, other)[1] for other in groups if other != group)
    return assemble(path, header, _xml(path, group), acquisitions, others)


def assemble(
    path: str | Path,
    header: Any,
    xml: str,
    acquisitions: Sequence[Any],
    others: Iterable[Sequence[Any]] = (),
) -> RawScan:
    """K-space of one measurement, from whatever file its lines were read.

    Args:
        path (str or Path): named in errors.
        header (object): ISMRMRD's.
        xml (str): the same as text.
        acquisitions (sequence of Acquisition): all of the measurement.
        others (iterable of sequences): other measurements of the file, among which a
            noise scan may be; looked at if this one has none.

    Returns:
        RawScan: k-space, and what belongs to it.

    Raises:
        ValueError: as :func:`read_ismrmrd`.
    """
    parallel = [e.parallelImaging for e in header.encoding if e.parallelImaging]
    if any(p.multiband and p.multiband.multiband_factor > 1 for p in parallel):
        raise ValueError(
            f"{path}: got slices that were excited together (multiband), expected one "
            f"at a time: sigpy_priors.io.ismrmrd_multiband.read_multiband reads them."
        )
    modes = {_word(p.calibrationMode).lower() for p in parallel}
    measured = sort_lines(acquisitions, bool(modes & _OF_IMAGE))
    if not measured.image:
        raise ValueError(
            f"{path}: got {len(acquisitions)} acquisitions, none of an image; "
            f"expected Cartesian imaging lines."
        )
    if measured.corrections:
        warnings.warn(
            f"{path}: {measured.corrections} lines of a surface coil correction scan "
            f"were left out.",
            stacklevel=2,
        )
    encoding = encoding_of(path, header, measured.image)
    keys = sorted({line_key(a) for a in measured.image})
    ksp = place_kspace(path, encoding, measured, measured.image, keys)
    noise = measured.noise
    for other in others if not noise else ():
        noise = noise or sort_lines(other, True).noise
    return RawScan(
        ksp if len(ksp) > 1 else ksp[0],
        noise_covariance_of(path, noise, ksp.shape[1]),
        _calibration(path, header, encoding, measured, keys, ksp.shape[-2:]),
        _image_shape(encoding, ksp.shape[-2:]),
        of_lines(encoding, measured.image, keys, line_key, xml),
    )


def measurement(path: str | Path, group: str | None) -> tuple[str, list[str]]:
    """The HDF5 group to read, and all that are measurements.

    Args:
        path (str or Path): HDF5 file.
        group (str or None): the one that was asked for.

    Returns:
        tuple: its name, and all names.

    Raises:
        ValueError: if there is none, or several with images.
    """
    with open_h5(path) as file:
        names: list[str] = list(file)
        groups = [g for g in names if _is_measurement(file, g)]
        for name in [group] if group else groups:
            for part in ("xml", "data"):
                h5_dataset(file, f"{name}/{part}")
    return _only_image(path, groups) if group is None else group, groups


def _is_measurement(file: Any, name: str) -> bool:
    item: Any = h5_dataset(file, name)
    return hasattr(item, "keys") and {"xml", "data"} <= set(item)


def read_group(path: str | Path, group: str) -> tuple[Any, list]:
    # The XML parser raises many kinds.
    check_heaps(path)
    with (
        reading(path, "an ISMRMRD header with data", "convert it again"),
        ismrmrd.File(path, "r") as file,
    ):
        header = file[group].header
        acquisitions = list(file[group].acquisitions)
        sizes = [e.encodedSpace.matrixSize for e in header.encoding]
        if not all(type(n) is int and n > 0 for m in sizes for n in (m.x, m.y)):
            raise ValueError("an encoded matrix whose sizes are no whole numbers > 0")
    return header, acquisitions


def _xml(path: str | Path, group: str) -> str:
    """The header as it is written there."""
    with open_h5(path) as file:
        text: Any = file[f"{group}/xml"]
        return bytes(text[0]).decode(errors="replace")


def _only_image(path: str | Path, groups: list[str]) -> str:
    """The measurement that is one; others are adjustments, such as noise scans."""
    if len(groups) == 1:
        return groups[0]
    images = [g for g in groups if sort_lines(read_group(path, g)[1], True).image]
    if len(images) > 1:
        raise ValueError(
            f"{path}: got {len(images)} measurements, {', '.join(images)}, expected "
            f"one; choose it by {path}/{images[-1]}."
        )
    return (images or groups)[0]


def _word(value: Any) -> str:
    # The parser leaves a text that it does not know as it is.
    return str(getattr(value, "value", value))


def line_key(a: Any) -> tuple[int, ...]:
    return Line(a, 0, 0, np.empty(0), False).key()


def encoding_of(path: str | Path, header: Any, lines: Sequence[Any]) -> Any:
    spaces = {a.encoding_space_ref for a in lines}
    if len(spaces) > 1 or max(spaces) >= len(header.encoding):
        raise ValueError(
            f"{path}: got lines of encoding spaces {sorted(spaces)}, expected one; "
            f"split the file."
        )
    encoding = header.encoding[spaces.pop()]
    trajectory = _word(encoding.trajectory)
    if trajectory.lower() not in ("cartesian", "epi"):
        raise ValueError(
            f"{path}: got a {trajectory} trajectory, expected cartesian; save its "
            f"k-space and coordinates as .npy and give --coord."
        )
    _check_ramps(path, encoding)
    partitions = len({a.idx.kspace_encode_step_2 for a in lines})
    if partitions > 1:
        raise ValueError(
            f"{path}: got 3-D data with {partitions} partitions, expected 2-D slices; "
            f"transform along the partitions and save the slices as .npy."
        )
    return encoding


def _check_ramps(path: str | Path, encoding: Any) -> None:
    """Refuse lines that were sampled while the gradient rose or fell."""
    description = encoding.trajectoryDescription
    if description is None:
        return
    values = {
        p.name: float(p.value)
        for of_kind in ("userParameterLong", "userParameterDouble")
        for p in getattr(description, of_kind, None) or []
    }
    if {"acqDelayTime", "rampUpTime"} <= set(values):
        if values["acqDelayTime"] < values["rampUpTime"]:
            raise ValueError(
                f"{path}: got EPI that was sampled on the ramps of its gradient, "
                f"expected samples at equal distances; regrid them when the file is "
                f"converted."
            )


def place_kspace(
    path: str | Path,
    encoding: Any,
    measured: Measured,
    acquisitions: Sequence[Any],
    keys: Sequence[tuple],
) -> np.ndarray:
    """K-space (images, coils, H, W) of the field of view of the image."""
    size = encoding.encodedSpace.matrixSize
    limits = encoding.encodingLimits.kspace_encoding_step_1
    centre = limits.center if limits is not None else size.y // 2
    _check_matrix(path, size, acquisitions)
    lines = place(path, acquisitions, size.x, size.y, centre)
    if measured.navigators and any(line.turned for line in lines):
        navigators = [a for a in measured.navigators if _is_whole(a, acquisitions)]
        # Their counters need not be those of a line.
        at_centre = [_at_row(a, centre) for a in navigators]
        navigators = place(path, at_centre, size.x, size.y, centre) if at_centre else []
    else:
        navigators = []
    echo_planar = _word(encoding.trajectory).lower() == "epi"
    lines = remove_ghost(path, lines, navigators, size.x, echo_planar)
    shape = (len(keys), acquisitions[0].active_channels, size.y, size.x)
    check_memory(path, 16 * math.prod(shape), f"k-space of shape {shape}")
    ksp = np.zeros(shape, np.complex64)
    count = np.zeros((len(keys), size.y, size.x), np.int32)
    numbers = {key: i for i, key in enumerate(keys)}
    for line in lines:
        i = numbers[line.key()]
        columns = slice(line.start, line.start + line.data.shape[1])
        ksp[i, :, line.row, columns] += line.data
        count[i, line.row, columns] += 1
    ksp /= np.maximum(count, 1)[:, None]
    if not any(a.discard_pre or a.discard_post for a in acquisitions):
        _warn_if_zero_filled(path, count > 0)
    keep = _fraction(encoding, "x", size.x)
    return crop_readout(ksp, count > 0, keep) if keep < size.x else ksp


def _is_whole(a: Any, acquisitions: Sequence[Any]) -> bool:
    return (
        a.number_of_samples == acquisitions[0].number_of_samples
        and a.active_channels == acquisitions[0].active_channels
    )


def _at_row(a: Any, row: int) -> Any:
    a.idx.kspace_encode_step_1 = row
    return a


def _check_matrix(path: str | Path, size: Any, lines: Sequence[Any]) -> None:
    rows = len({a.idx.kspace_encode_step_1 for a in lines})
    samples = max(a.number_of_samples for a in lines)
    if size.y > _SPARSE * rows or size.x > _SPARSE * samples:
        raise ValueError(
            f"{path}: got {rows} different lines of {samples} samples in a matrix of "
            f"{size.y} x {size.x}, expected a matrix at most {_SPARSE} times as large; "
            f"the header's encoded matrix is wrong."
        )


def _warn_if_zero_filled(path: str | Path, measured: np.ndarray) -> None:
    """A readout that is short on both sides is no asymmetric echo."""
    columns = np.nonzero(measured.any(axis=(0, 1)))[0]
    width = measured.shape[-1]
    reach = max(width // 2 - columns[0], columns[-1] + 1 - width // 2)
    if reach < _ZERO_FILLED * width / 2:
        warnings.warn(
            f"{path}: the readout has {columns[-1] + 1 - columns[0]} samples in a "
            f"matrix of {width}: the rest of k-space is taken as not measured.",
            stacklevel=2,
        )


def _fraction(encoding: Any, axis: str, size: int) -> int:
    """Pixels of the encoded field of view that are of the image's."""
    encoded = getattr(encoding.encodedSpace.fieldOfView_mm, axis)
    wanted = getattr(encoding.reconSpace.fieldOfView_mm, axis)
    keep = round(size * wanted / encoded) if encoded > 0 else size
    return keep if 0 < keep < size else size


def fields_of_view(encoding: Any) -> tuple[float, float]:
    """Of k-space as it is read: in the readout of the image, else as encoded."""
    encoded, wanted = encoding.encodedSpace, encoding.reconSpace
    x = min(encoded.fieldOfView_mm.x, wanted.fieldOfView_mm.x)
    return x, encoded.fieldOfView_mm.y


def _image_shape(encoding: Any, shape: tuple[int, int]) -> tuple[int, int]:
    return _fraction(encoding, "y", shape[0]), shape[1]


def _calibration(
    path: str | Path,
    header: Any,
    image: Any,
    measured: Measured,
    keys: Sequence[tuple],
    shape: tuple[int, ...],
) -> list | None:
    """Of each image the k-space that was measured for its maps.

    It may have a matrix of its own; of the same field of view its samples are at the
    same places of k-space.
    """
    if not measured.calibration:
        return None
    own = sorted({line_key(a) for a in measured.calibration})
    try:
        encoding = encoding_of(path, header, measured.calibration)
        ksp = place_kspace(path, encoding, measured, measured.calibration, own)
        sizes = fields_of_view(image), fields_of_view(encoding)
        if not np.allclose(*sizes, rtol=0.01):
            raise ValueError(f"{path}: fields of view {sizes[1]} and {sizes[0]} mm")
    except ValueError as e:
        warnings.warn(f"calibration lines are left out: {e}", stacklevel=2)
        return None
    ksp = sp.resize(ksp, ksp.shape[:2] + tuple(shape))
    # The slice is the last counter; others differ between the two scans.
    by_key, by_slice = dict(zip(own, ksp)), {k[-1]: y for k, y in zip(own, ksp)}
    return [by_key.get(key, by_slice.get(key[-1])) for key in keys]


def noise_covariance_of(
    path: str | Path, noise: Sequence[Any], coils: int
) -> np.ndarray | None:
    """Covariance of the coils in a noise scan."""
    scans = [a.data for a in noise if a.active_channels == coils]
    samples = np.concatenate(scans, axis=1) if scans else np.empty((coils, 0))
    if samples.shape[1] <= coils:
        if noise:
            warnings.warn(
                f"{path}: the noise scan has {samples.shape[1]} samples of {coils} "
                f"coils, expected more samples than coils; it is not used.",
                stacklevel=2,
            )
        return None
    samples = samples.astype(complex)
    return samples @ samples.conj().T / samples.shape[1]
