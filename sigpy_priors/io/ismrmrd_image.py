"""Images as ISMRMRD, with the header of the raw data: what goes back to the scanner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sigpy_priors.backend.extras import require
from sigpy_priors.io.geometry import Geometry

__all__ = ["to_image", "write_ismrmrd_image"]

_HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <experimentalConditions><H1resonanceFrequency_Hz>0</H1resonanceFrequency_Hz>
 </experimentalConditions>
</ismrmrdHeader>"""


def to_image(data: np.ndarray, i: int, sample: int, geometry: Geometry | None) -> Any:
    """One image with its header.

    Args:
        data (array): (H, W), complex or real.
        i (int): its slice.
        sample (int): which sample of the slice it is; ISMRMRD's counter "set".
        geometry (Geometry or None): of all slices.

    Returns:
        ismrmrd.Image: complex64 or float32.
    """
    [ismrmrd] = require("ismrmrd", extra="files")
    complex_ = np.iscomplexobj(data)
    image = ismrmrd.Image.from_array(
        np.ascontiguousarray(data, np.complex64 if complex_ else np.float32),
        transpose=False,
    )
    image.image_type = ismrmrd.IMTYPE_COMPLEX if complex_ else ismrmrd.IMTYPE_MAGNITUDE
    image.image_index, image.image_series_index = i + 1, 1
    image.slice, image.set = i, sample
    height, width = data.shape
    thickness, dy, dx = (1.0, 1.0, 1.0) if geometry is None else geometry.spacing
    image.field_of_view = (width * dx, height * dy, thickness)
    if geometry is not None:
        image.position = tuple(geometry.position[i])
        image.read_dir = tuple(geometry.read[i])
        image.phase_dir = tuple(geometry.phase[i])
        image.slice_dir = tuple(geometry.normal[i])
    return image


def write_ismrmrd_image(
    path: Path, image: np.ndarray, geometry: Geometry | None
) -> None:
    """Write images, and the XML header of the raw data as it was.

    Args:
        path (Path): ``.h5`` or ``.mrd``.
        image (array): (slices, samples, H, W).
        geometry (Geometry or None): of the slices.
    """
    [ismrmrd] = require("ismrmrd", extra="files")
    header = geometry.header if geometry is not None else ""
    path.unlink(missing_ok=True)  # HDF5 would take the empty file for a damaged one
    with ismrmrd.Dataset(path, "dataset", create_if_needed=True) as file:
        file.write_xml_header((header or _HEADER).encode())
        for i, samples in enumerate(image):
            for k, data in enumerate(samples):
                file.append_image("image_0", to_image(data, i, k, geometry))
