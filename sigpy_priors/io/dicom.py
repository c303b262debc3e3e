"""Magnitude images as DICOM: a secondary capture of many frames."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sigpy_priors.backend.extras import require
from sigpy_priors.io.geometry import Geometry

__all__ = ["write_dicom"]

_CLASS = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture
_FULL = 65535  # of the 16 bits of a pixel


def write_dicom(path: Path, image: np.ndarray, geometry: Geometry | None) -> None:
    """Write a secondary capture.

    It belongs to the study and the patient of the raw data, as far as their header
    names them. Pixels times the rescale slope are the image's values. The same image
    has the same identifiers.

    Args:
        path (Path): ``.dcm``.
        image (array): (slices, samples, H, W), real; frames are the samples of the
            first slice, then those of the second.
        geometry (Geometry or None): of the slices.
    """
    [pydicom] = require("pydicom", extra="files")
    slices, samples, height, width = image.shape
    top = float(image.max())
    slope = top / _FULL if top > 0 else 1.0
    pixels = np.rint(np.maximum(image, 0) / slope).astype("<u2")
    meta = pydicom.dataset.FileMetaDataset()
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    uid = [pydicom.uid.generate_uid(entropy_srcs=[digest, k]) for k in "isft"]
    meta.MediaStorageSOPClassUID = _CLASS
    meta.MediaStorageSOPInstanceUID = uid[0]
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file = pydicom.Dataset()
    file.file_meta = meta
    file.SOPClassUID, file.SOPInstanceUID = _CLASS, uid[0]
    file.SeriesInstanceUID, file.StudyInstanceUID = uid[1], uid[3]
    for name in (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate",
        "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID",
        "PatientOrientation", "Laterality",
    ):  # fmt: skip
        setattr(file, name, "")
    file.Modality, file.ConversionType = "MR", "WSD"
    file.Manufacturer, file.SeriesDescription = "sigpy-priors", "learned prior"
    file.SeriesNumber = file.InstanceNumber = 1
    file.ImageType = ["DERIVED", "SECONDARY"]
    file.BurnedInAnnotation = "NO"
    file.NumberOfFrames = slices * samples
    file.PageNumberVector = list(range(1, slices * samples + 1))
    file.FrameIncrementPointer = 0x00182001
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.Rows, file.Columns = height, width
    file.BitsAllocated = file.BitsStored = 16
    file.HighBit, file.PixelRepresentation = 15, 0
    file.PresentationLUTShape = "IDENTITY"
    file.RescaleIntercept, file.RescaleType = 0.0, "US"
    file.RescaleSlope = pydicom.valuerep.DSfloat(slope, auto_format=True)
    file.WindowCenter = pydicom.valuerep.DSfloat(top / 2, auto_format=True)
    file.WindowWidth = pydicom.valuerep.DSfloat(top or 1.0, auto_format=True)
    file.PixelData = pixels.tobytes()
    if geometry is None:
        warnings.warn(
            "the scan states no size of pixels and no position: neither does the DICOM "
            "file.",
            stacklevel=2,
        )
    else:
        _of_patient(file, geometry)
        file.FrameOfReferenceUID = uid[2]
        _placed(pydicom, file, geometry, samples, (height, width))
    file.save_as(path, enforce_file_format=True)


def _of_patient(file: Any, geometry: Geometry) -> None:
    """Whose it is, from the header of the raw data."""
    if not geometry.header:
        return
    import ismrmrd

    header = ismrmrd.xsd.CreateFromDocument(geometry.header)
    patient, study = header.subjectInformation, header.studyInformation
    for source, names in (
        (patient, {"PatientName": "patientName", "PatientID": "patientID"}),
        (study, {"StudyInstanceUID": "studyInstanceUID", "StudyID": "studyID"}),
    ):
        for ours, theirs in names.items():
            value = getattr(source, theirs, None)
            if value:
                setattr(file, ours, str(value))


def _placed(
    pydicom: Any, file: Any, geometry: Geometry, samples: int, shape: tuple[int, int]
) -> None:
    """Pixels, and where there are any, directions and positions, of every frame."""
    thickness, dy, dx = geometry.spacing

    def numbers(values: Any) -> list[Any]:
        decimal = pydicom.valuerep.DSfloat
        return [decimal(float(v), auto_format=True) for v in values]

    def sequence(**fields: Any) -> Any:
        item = pydicom.Dataset()
        for name, value in fields.items():
            setattr(item, name, value)
        return pydicom.Sequence([item])

    pixels = sequence(
        PixelSpacing=numbers((dy, dx)), SliceThickness=numbers([thickness])[0]
    )
    file.SharedFunctionalGroupsSequence = sequence(PixelMeasuresSequence=pixels)
    frames = []
    for i in range(len(geometry.position)):
        for _ in range(samples):
            frame = pydicom.Dataset()
            if geometry.oriented:
                frame.PlanePositionSequence = sequence(
                    ImagePositionPatient=numbers(geometry.corner(i, shape))
                )
                frame.PlaneOrientationSequence = sequence(
                    ImageOrientationPatient=numbers(
                        [*geometry.read[i], *geometry.phase[i]]
                    )
                )
            frames.append(frame)
    file.PerFrameFunctionalGroupsSequence = pydicom.Sequence(frames)
