"""Magnitude images as NIfTI, for viewers and neuroimaging."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from sigpy_priors.backend.extras import require
from sigpy_priors.io.geometry import Geometry

__all__ = ["write_nifti"]

# DICOM's axes, left and posterior, are NIfTI's with the other sign.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SCANNER, _UNKNOWN = 1, 0  # NIfTI's codes of what an affine leads to


def write_nifti(path: Path, image: np.ndarray, geometry: Geometry | None) -> None:
    """Write a volume.

    Args:
        path (Path): ``.nii`` or ``.nii.gz``.
        image (array): (slices, samples, H, W), real.
        geometry (Geometry or None): of the slices; those of one volume are sorted by
            their position, and repetitions become NIfTI's fourth axis, samples its
            fifth (its fourth without repetitions).
    """
    [nibabel] = require("nibabel", extra="files")
    shape = image.shape[-2:]
    stack = None if geometry is None else geometry.stack(shape)
    if stack is None:
        affine, code = np.eye(4), _UNKNOWN
        if geometry is not None:
            affine = np.diag([*geometry.spacing[::-1], 1.0])
        order = np.arange(len(image))[:, None]
        warnings.warn(
            "the scan states no positions of one volume: NIfTI has the size of the "
            "pixels"
            + (
                " and no position."
                if geometry is not None
                else " 1 mm and no position."
            ),
            stacklevel=2,
        )
    else:
        order, affine, code = stack.order, _LPS_TO_RAS @ stack.affine, _SCANNER
    # (places, repetitions, samples, H, W) to (W, H, places, repetitions, samples).
    data = np.moveaxis(image[order], (0, 1, 2, 3, 4), (2, 3, 4, 1, 0))
    if data.shape[3] == 1:
        data = data[:, :, :, 0]
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    file = nibabel.Nifti1Image(np.asfortranarray(data, np.float32), affine)
    file.header.set_xyzt_units("mm")
    file.set_sform(affine, code)
    file.set_qform(affine, code)
    nibabel.save(file, path)
