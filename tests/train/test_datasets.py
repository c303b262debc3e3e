"""Which slices a prior is trained on, how often, and how noisy they are."""

import numpy as np
import pytest

from sigpy_priors.train.datasets import open_slices


@pytest.fixture
def vol(rng):
    """Three slices, 20 x 16, no two pixels alike."""
    return rng.uniform(0.5, 1, (3, 20, 16)).astype(np.float32)


def write_dicom(path, img, **fields):
    import pydicom

    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    uid = pydicom.uid.generate_uid()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = img.shape[-2:]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.PixelData = img.astype("<i2").tobytes()
    for key, value in fields.items():
        setattr(ds, key, value)
    ds.save_as(path, enforce_file_format=True)


def test_open_slices_keeps_slices_that_show_something(tmp_path, vol):
    spot = np.zeros_like(vol[0])
    spot[3, 4] = 1
    np.save(tmp_path / "a.npy", np.stack([vol[0], 0 * vol[0], spot]))
    images, scales = open_slices(["*.npy"], tmp_path)
    assert len(images) == len(scales) == 1
    np.testing.assert_array_equal(images[0], vol[0])
    assert scales[0] == np.percentile(vol[0], 99.8)
    np.save(tmp_path / "a.npy", 0 * vol)
    with pytest.raises(ValueError, match="no slice .* enough signal"):
        open_slices(["*.npy"], tmp_path)


def test_an_exam_is_more_than_its_images(tmp_path, vol):
    """Reports, screenshots and phase images are left out and counted."""
    pydicom = pytest.importorskip("pydicom")
    write_dicom(tmp_path / "IM1", (1000 * vol[0]).astype(int))
    write_dicom(tmp_path / "IM2", vol[:1].repeat(3, 0), SamplesPerPixel=3)
    phase = dict(PixelRepresentation=1, RescaleSlope=1, RescaleIntercept=-500)
    write_dicom(tmp_path / "IM3", (1000 * vol[1] - 200).astype(int), **phase)
    report = pydicom.dcmread(tmp_path / "IM1")
    for name in ("PixelData", "Rows", "Columns"):
        del report[name]
    report.save_as(tmp_path / "IM4", enforce_file_format=True)
    with pytest.warns(UserWarning, match="3 files were left out, the first: .*IM2"):
        images, _ = open_slices(["."], tmp_path)
    assert len(images) == 1
    with (
        pytest.warns(UserWarning, match="1 files"),
        pytest.raises(ValueError, match="no slice .*IM4.*without an image"),
    ):
        open_slices(["IM4"], tmp_path)


def test_ringing_below_zero_is_no_phase_image(tmp_path, vol):
    vol[0, :2] = -0.1
    np.save(tmp_path / "a.npy", vol)
    assert len(open_slices(["a.npy"], tmp_path)[0]) == 3


def test_damaged_files_are_not_left_out(tmp_path, vol):
    np.save(tmp_path / "a.npy", vol)
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-50])
    with pytest.raises(ValueError, match="b.npy"):
        open_slices(["."], tmp_path)
