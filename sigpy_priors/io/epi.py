r"""Echo-planar lines, corrected by their navigators.

Lines from right to left come with a delay and a phase against the others: their
profiles differ by :math:`e^{i(a + b x)}`, and an image of both has a ghost half of
the field of view away. Navigators are the same line, measured in both directions.

References:
    Bruder, H., Fischer, H., Reinfelder, H. E., & Schmitt, F. (1992). Image
    reconstruction for echo planar imaging with nonequidistant k-space sampling.
    Magnetic Resonance in Medicine, 23(2), 311-323.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import sigpy as sp

from sigpy_priors.io.ismrmrd_lines import IMAGES, Line

__all__ = ["remove_ghost"]

# Counters that navigators may share with an image, from the most to the least.
_KINSHIP = (
    (*IMAGES, "segment"),
    IMAGES,
    ("contrast", "set", "slice"),
    ("slice",),
    (),
)


def remove_ghost(
    path: str | Path,
    lines: Sequence[Line],
    navigators: Sequence[Line],
    width: int,
    echo_planar: bool,
) -> list[Line]:
    """Bring lines of both directions into agreement.

    Args:
        path (str or Path): named in warnings.
        lines (sequence of Line): of all images.
        navigators (sequence of Line): lines at the centre of k-space.
        width (int): of the encoded matrix.
        echo_planar (bool): whether the file says that it is of EPI.

    Returns:
        list of Line: as they are, where an image has lines of one direction only, or
        nothing to correct them by; of EPI, with a warning then.
    """
    directions: dict[tuple, set] = {}
    for line in lines:
        directions.setdefault(line.key(), set()).add(line.turned)
    both = {key for key, found in directions.items() if len(found) == 2}
    if not both:
        return list(lines)
    if {n.turned for n in navigators} != {True, False}:
        if echo_planar:
            warnings.warn(
                f"{path}: EPI with lines of both directions, but no navigators of both "
                f"to correct their delay by: unless it was corrected before, there "
                f"will be a ghost half of the field of view away.",
                stacklevel=2,
            )
        return list(lines)
    found: dict[tuple, np.ndarray] = {}
    out = []
    for line in lines:
        if line.turned and line.key() in both:
            key = line.key(_KINSHIP[0])
            if key not in found:
                found[key] = _phase(_nearest(line, navigators), width)
            line = line._replace(data=_turn_back(line, found[key], width))
        out.append(line)
    return out


def _nearest(line: Line, navigators: Sequence[Line]) -> list[Line]:
    """The navigators that share most counters with a line."""
    for names in _KINSHIP:
        near = [n for n in navigators if n.key(names) == line.key(names)]
        if {n.turned for n in near} == {True, False}:
            return near
    raise AssertionError("there are navigators of both directions")


def _profile(line: Line, width: int) -> np.ndarray:
    wide = np.zeros((len(line.data), width), complex)
    wide[:, line.start : line.start + line.data.shape[1]] = line.data
    return sp.ifft(wide, axes=(-1,))


def _phase(navigators: Sequence[Line], width: int) -> np.ndarray:
    """a + b x of lines that were turned against those that were not, (width,)."""
    # Those before and after: their mean is at the time of the one between.
    forward, turned = (
        np.mean([_profile(n, width) for n in navigators if n.turned == t], axis=0)
        for t in (False, True)
    )
    product = (forward.conj() * turned).sum(axis=0)
    x = np.arange(width) - width // 2
    # From one pixel to the next there is nothing to unwrap.
    slope = np.angle((product[1:] * product[:-1].conj()).sum())
    phase = slope * x
    phase += np.angle((product * np.exp(-1j * phase)).sum())
    # What is left is small: a straight line through it.
    left, weight = np.angle(product * np.exp(-1j * phase)), np.abs(product)
    return phase + np.polyval(np.polyfit(x, left, 1, w=weight), x)


def _turn_back(line: Line, phase: np.ndarray, width: int) -> np.ndarray:
    straight = sp.fft(_profile(line, width) * np.exp(-1j * phase), axes=(-1,))
    return straight[:, line.start : line.start + line.data.shape[1]]
