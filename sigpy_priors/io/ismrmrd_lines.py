"""Lines of raw scanner data (ISMRMRD): what each is for, and where it goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ismrmrd
import numpy as np

__all__ = ["IMAGES", "Line", "Measured", "place", "sort_lines"]

IMAGES = ("repetition", "contrast", "phase", "set", "slice")
"""Each combination of these counters is an image of its own."""

# Measured for something else than an image.
_OTHER = (
    ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
)
_CORRECTION = ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA
_CALIBRATION = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
_BOTH = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING


class Measured(NamedTuple):
    """Acquisitions by what they are for.

    Attributes:
        image (list): imaging lines.
        calibration (list): lines for coil maps only.
        navigators (list): of the delay between odd and even lines.
        noise (list): noise scans.
        corrections (int): scans for surface coil correction that were left out.
    """

    image: list
    calibration: list
    navigators: list
    noise: list
    corrections: int


class Line(NamedTuple):
    """One line in the order of k-space.

    Attributes:
        source (Acquisition): its counters.
        row (int): in the encoded matrix.
        start (int): column of the first sample.
        data (array): (coils, samples).
        turned (bool): whether it was measured from right to left.
    """

    source: Any
    row: int
    start: int
    data: np.ndarray
    turned: bool

    def key(self, names: Iterable[str] = IMAGES) -> tuple[int, ...]:
        """Its counters of these names."""
        return tuple(getattr(self.source.idx, name) for name in names)


def sort_lines(acquisitions: Sequence[Any], of_image: bool) -> Measured:
    """Tell what acquisitions are for, by their flags.

    Args:
        acquisitions (sequence): all of a measurement.
        of_image (bool): whether calibration lines are of the image too, as in the
            calibration modes "embedded" and "interleaved".

    Returns:
        Measured: a surface coil correction scan is left out of an image that has
        other lines; the flag is on whole scans of some converters, too.
    """
    image, calibration = [], []
    for a in acquisitions:
        if any(a.is_flag_set(flag) for flag in _OTHER):
            continue
        extra = a.is_flag_set(_CALIBRATION) and not a.is_flag_set(_BOTH)
        (calibration if extra and not of_image else image).append(a)
    plain = {_key(a) for a in image if not a.is_flag_set(_CORRECTION)}
    kept = [a for a in image if not a.is_flag_set(_CORRECTION) or _key(a) not in plain]
    return Measured(
        kept,
        calibration,
        _flagged(acquisitions, ismrmrd.ACQ_IS_PHASECORR_DATA),
        _flagged(acquisitions, ismrmrd.ACQ_IS_NOISE_MEASUREMENT),
        len(image) - len(kept),
    )


def _key(a: Any) -> tuple[int, ...]:
    return tuple(getattr(a.idx, name) for name in IMAGES)


def _flagged(acquisitions: Sequence[Any], flag: int) -> list:
    return [a for a in acquisitions if a.is_flag_set(flag)]


def place(
    path: str | Path, acquisitions: Sequence[Any], width: int, height: int, centre: int
) -> list[Line]:
    """Put acquisitions in the order and at the place of k-space.

    Args:
        path (str or Path): named in errors.
        acquisitions (sequence): lines of one encoding space.
        width (int): samples of a line of the encoded matrix.
        height (int): its lines.
        centre (int): counter of the line at the centre of k-space.

    Returns:
        list of Line: one for each.

    Raises:
        ValueError: if one does not fit the matrix, or has other coils.
    """
    standard = _counts_as_standard(acquisitions, width)
    lines = []
    for a in acquisitions:
        data = a.data[:, a.discard_pre : a.number_of_samples - a.discard_post]
        turned = a.is_flag_set(ismrmrd.ACQ_IS_REVERSE)
        start = _start(a, width, standard)
        row = a.idx.kspace_encode_step_1 - centre + height // 2
        inside = 0 <= row < height and 0 <= start <= width - data.shape[1]
        if not inside or len(data) != acquisitions[0].active_channels:
            raise ValueError(
                f"{path}: line {a.idx.kspace_encode_step_1} has {data.shape[1]} "
                f"samples of {len(data)} coils from column {start} of row {row}, "
                f"expected to fit {acquisitions[0].active_channels} coils of {height} "
                f"x {width}; the header's encoded matrix or the line's center_sample "
                f"is wrong."
            )
        lines.append(Line(a, row, start, data[:, ::-1] if turned else data, turned))
    return lines


def _start(a: Any, width: int, standard: bool) -> int:
    """Column of the first sample, in the order of k-space."""
    if not a.is_flag_set(ismrmrd.ACQ_IS_REVERSE):
        # An asymmetric echo has its centre early in the line.
        return width // 2 - (a.center_sample - a.discard_pre)
    last = a.number_of_samples - a.discard_post
    if standard:
        return width // 2 + 1 + a.center_sample - last
    return width - width // 2 + a.center_sample - last


def _counts_as_standard(acquisitions: Sequence[Any], width: int) -> bool:
    """How center_sample of a line that was turned round is counted in this file.

    By the standard it is the sample at the centre. Siemens' converter writes that of
    a line that was not turned. They differ by one sample where the width is even.
    """
    forward: set[tuple] = set()
    back: set[tuple] = set()
    for a in acquisitions:
        turned = a.is_flag_set(ismrmrd.ACQ_IS_REVERSE)
        of = (a.number_of_samples, a.center_sample, a.discard_pre, a.discard_post)
        (back if turned else forward).add(of)
        if turned and not _fits(a, width, False):
            return True
    # A line that is shorter than the matrix fits in both ways.
    mirrored = {(n, n - 1 - c, post, pre) for n, c, pre, post in forward}
    return bool(back) and not back & forward and bool(back & mirrored)


def _fits(a: Any, width: int, standard: bool) -> bool:
    start = _start(a, width, standard)
    samples = a.number_of_samples - a.discard_pre - a.discard_post
    return 0 <= start <= width - samples
