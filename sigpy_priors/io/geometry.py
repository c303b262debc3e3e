"""Where the slices of a scan lie, passed from raw data to files of images.

Directions and positions are those of ISMRMRD and DICOM: millimetres, to the patient's
left, posterior and superior. NIfTI's are to the right, anterior and superior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Geometry", "Stack", "of_lines"]

# Parts of a pixel or of a unit vector that are rounding: files keep single precision.
_CLOSE = 1e-2


class Stack(NamedTuple):
    """Slices as one volume.

    Attributes:
        order (array): numbers of the slices (positions, frames): along the volume, and
            those that lie at the same place.
        affine (array): (4, 4) from indices (along W, along H, slice) to millimetres.
    """

    order: np.ndarray
    affine: np.ndarray


@dataclass(frozen=True, eq=False)
class Geometry:
    """Position, orientation and pixels of slices, whose centre is pixel (H // 2, W // 2).

    Attributes:
        spacing (tuple of float): millimetres from slice to slice of a single one (its
            thickness), along H and along W.
        position (array): centres (slices, 3).
        read (array): directions along W (slices, 3).
        phase (array): directions along H (slices, 3).
        normal (array): directions from slice to slice (slices, 3).
        header (str): XML of the ISMRMRD file that it is from.
    """

    spacing: tuple[float, float, float]
    position: np.ndarray
    read: np.ndarray
    phase: np.ndarray
    normal: np.ndarray
    header: str = ""

    def take(self, numbers: Sequence[int]) -> Geometry:
        """That of some of the slices.

        Args:
            numbers (sequence of int): which.

        Returns:
            Geometry: of these, in this order.
        """
        k = list(numbers)
        return replace(
            self,
            position=self.position[k],
            read=self.read[k],
            phase=self.phase[k],
            normal=self.normal[k],
        )

    @property
    def oriented(self) -> bool:
        """bool: whether the file stated directions, and not zeros."""
        vectors = np.stack([self.read, self.phase, self.normal])
        return bool(np.allclose(np.linalg.norm(vectors, axis=-1), 1, atol=_CLOSE))

    def corner(self, i: int, shape: tuple[int, int]) -> np.ndarray:
        """Centre of the first pixel of a slice.

        Args:
            i (int): the slice.
            shape (tuple of int): H and W of its image.

        Returns:
            array: millimetres (3,).
        """
        _, dy, dx = self.spacing
        h, w = shape
        return (
            self.position[i] - h // 2 * dy * self.phase[i] - w // 2 * dx * self.read[i]
        )

    def stack(self, shape: tuple[int, int]) -> Stack | None:
        """The slices as one volume, if they are parallel and at equal distances.

        Args:
            shape (tuple of int): H and W of the images.

        Returns:
            Stack or None: None if they are not, or nothing is known of directions.
        """
        parallel = all(
            np.allclose(v, v[:1], atol=_CLOSE)
            for v in (self.read, self.phase, self.normal)
        )
        if not self.oriented or not parallel:
            return None
        thickness, dy, dx = self.spacing
        along = (self.position - self.position[0]) @ self.normal[0]
        close = _CLOSE * thickness
        order = np.argsort(along, kind="stable")
        first = np.concatenate([[True], np.diff(along[order]) > close])
        count, places = len(along), int(first.sum())
        if count % places or first.nonzero()[0].tolist() != list(
            range(0, count, count // places)
        ):
            return None
        order = order.reshape(places, -1)
        centres = self.position[order]
        step = self.normal[0] * thickness
        if places > 1:
            steps = np.diff(centres[:, 0], axis=0)
            step = steps.mean(axis=0)
            if not np.allclose(steps, step, atol=max(close, 1e-3)):
                return None
        affine = np.eye(4)
        affine[:3, 0], affine[:3, 1] = self.read[0] * dx, self.phase[0] * dy
        affine[:3, 2] = step
        affine[:3, 3] = self.corner(order[0, 0], shape)
        return Stack(order, affine)


def of_lines(
    encoding: Any, lines: Sequence[Any], keys: Sequence[tuple], key: Any, header: str
) -> Geometry | None:
    """That of the images that raw lines are of.

    Args:
        encoding (object): ISMRMRD's.
        lines (sequence of Acquisition): of the images.
        keys (sequence of tuple): of each image its counters.
        key (function): counters of a line.
        header (str): XML of the file.

    Returns:
        Geometry or None: None if the header states no field of view.
    """
    space, size = encoding.encodedSpace.fieldOfView_mm, encoding.encodedSpace.matrixSize
    spacing = (
        float(encoding.reconSpace.fieldOfView_mm.z), space.y / size.y, space.x / size.x,
    )  # fmt: skip
    if min(spacing[1:]) <= 0:
        return None
    of_image = {key(a): a for a in lines}
    chosen = [of_image[k] for k in keys]

    def vectors(name: str) -> np.ndarray:
        return np.array([list(getattr(a, name)) for a in chosen], float)

    return Geometry(
        (spacing[0] if spacing[0] > 0 else 1.0, *spacing[1:]),
        vectors("position"),
        vectors("read_dir"),
        vectors("phase_dir"),
        vectors("slice_dir"),
        header,
    )
