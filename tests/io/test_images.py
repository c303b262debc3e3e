"""Every format that is read, and every way in which a file may be broken."""

import numpy as np
import pytest
import sigpy as sp

from sigpy_priors.io.images import READERS, find_images, read_slices

h5py = pytest.importorskip("h5py")
nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")


@pytest.fixture
def vol():
    """Three slices, 20 x 16, no two pixels alike."""
    rng = np.random.default_rng(1)
    return rng.uniform(0.5, 1, (3, 20, 16)).astype(np.float32)


def write_dicom(path, img, **fields):
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds = pydicom.Dataset()
    ds.file_meta = meta
    ds.SOPClassUID = meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = img.shape[-2:]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.PixelData = img.astype("<u2").tobytes()
    for key, value in fields.items():
        setattr(ds, key, value)
    ds.save_as(path, enforce_file_format=True)


def write_fastmri(path, images, coils=None, oversample=1, **datasets):
    """k-space of ``images`` (N, H, W), zero-filled to more rows of the FOV."""
    n, h, w = images.shape
    img = sp.resize(images.astype(np.complex64), (n, oversample * h, w))
    if coils is not None:
        img = img[:, None] * coils[:, None, None]
    with h5py.File(path, "w") as f:
        f["kspace"] = sp.fft(img, axes=(-2, -1)).astype(np.complex64)
        for key, value in datasets.items():
            f[key] = value


def test_npy_magnitude_complex_and_single(tmp_path, vol):
    for a in (vol, vol * np.exp(1j * vol), (vol * 100).astype(np.uint8)):
        np.save(tmp_path / "a.npy", a)
        got = read_slices(tmp_path / "a.npy")
        assert got.dtype == a.dtype
        np.testing.assert_array_equal(got, a)
    np.save(tmp_path / "a.npy", vol[0])
    np.testing.assert_array_equal(read_slices(tmp_path / "a.npy"), vol[:1])


def test_npz_takes_the_images_and_joins_real_pairs(tmp_path, vol):
    z = vol * np.exp(1j * vol)
    pairs = np.round(np.stack([z.real, z.imag], -1) * 2048).astype(np.int16)
    np.savez(tmp_path / "a.npz", img=pairs, meta=np.array([["x", "y"]]))
    got = read_slices(tmp_path / "a.npz")
    assert got.shape == vol.shape
    np.testing.assert_array_equal(got, pairs[..., 0] + 1j * pairs[..., 1])
    np.savez(tmp_path / "a.npz", whatever=vol, meta=np.array(["x"]))
    np.testing.assert_array_equal(read_slices(tmp_path / "a.npz"), vol)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_slices_are_along_z_then_time(tmp_path, vol, ending):
    path = tmp_path / f"a{ending}"
    xyzt = np.moveaxis(vol, 0, -1)[..., None] * np.float32([1, 2])  # x y z t
    nibabel.save(nibabel.Nifti1Image(xyzt, np.eye(4)), path)
    got = read_slices(path)
    assert got.shape == (6, 20, 16)
    assert sorted(float(g[0, 0]) for g in got) == sorted(
        float(v) for v in xyzt[0, 0].ravel()
    )
    assert any(np.allclose(g, 2 * vol[1]) for g in got)


def test_nifti_complex_keeps_its_phase(tmp_path, vol):
    z = (vol * np.exp(2j * vol)).astype(np.complex64)
    nibabel.save(
        nibabel.Nifti1Image(np.moveaxis(z, 0, -1), np.eye(4)), tmp_path / "a.nii"
    )
    np.testing.assert_array_equal(read_slices(tmp_path / "a.nii"), z)


def test_dicom_series_with_and_without_endings(tmp_path, vol):
    series = tmp_path / "series"
    series.mkdir()
    img = np.round(vol * 1000)
    write_dicom(series / "IM0001", img[0])
    write_dicom(series / "b.dcm", img[1])
    write_dicom(series / "c.IMA", img[2], RescaleSlope=2, RescaleIntercept=-100)
    write_dicom(series / "DICOMDIR", img[0])
    (series / "notes").write_text("not an image")
    files = find_images(["series"], tmp_path)
    assert [f.name for f in files] == ["IM0001", "b.dcm", "c.IMA"]
    got = np.concatenate([read_slices(f) for f in files])
    np.testing.assert_array_equal(got, [img[0], img[1], 2 * img[2] - 100])


def test_fastmri_multicoil_is_combined_and_cropped(tmp_path, vol):
    coils = np.array([0.6, 0.8j])  # root sum of squares 1
    path = tmp_path / "a.h5"
    write_fastmri(path, vol, coils, oversample=2, reconstruction_rss=vol)
    np.testing.assert_allclose(read_slices(path), vol, atol=1e-5)
    write_fastmri(path, vol, coils)
    np.testing.assert_allclose(read_slices(path), vol, atol=1e-5)


def test_fastmri_single_coil_keeps_its_phase(tmp_path, vol):
    z = vol * np.exp(1j * vol)
    write_fastmri(tmp_path / "a.h5", z)
    np.testing.assert_allclose(read_slices(tmp_path / "a.h5"), z, atol=1e-5)


def _truncated(write, keep=0.6):
    def broken(path, vol):
        write(path, vol)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * keep)])

    return broken


def _junk(path, vol):
    path.write_bytes(b"this is no image at all" * 20)


def _nifti(path, vol):
    nibabel.save(nibabel.Nifti1Image(vol, np.eye(4)), path)


BROKEN = [
    (".npy", _junk, "not a numpy array file"),
    (".npy", _truncated(np.save), "cut short"),
    (".npy", lambda p, v: np.save(p, v[0, 0]), "got shape"),
    (".npy", lambda p, v: np.save(p, np.array([[{}]]), True), "Python objects"),
    (".npy", lambda p, v: np.save(p, v.astype("S4")), "expected integers or floating"),
    (".npy", lambda p, v: np.save(p, v * np.nan), "NaN"),
    (".npy", lambda p, v: np.save(p, v[:0]), r"shape \(0, 20, 16\)"),
    (".npz", _junk, "not a numpy .npz file"),
    (".npz", _truncated(lambda p, v: np.savez(p, img=v)), "not a numpy .npz file"),
    (".npz", lambda p, v: np.savez(p, a=v, b=v), r"one image array.*\['a', 'b'\]"),
    (".npz", lambda p, v: np.savez(p, meta=["x"]), "one image array"),
    (".nii", _junk, "cannot be read"),
    (".nii", _truncated(_nifti), "bytes, but only .* are stored"),
    (".nii.gz", _truncated(_nifti), "cannot be read"),
    (".nii", lambda p, v: _nifti(p, v + np.inf), "NaN or infinite"),
    (".dcm", _junk, "cannot be read"),
    (".dcm", _truncated(lambda p, v: write_dicom(p, v[0])), "cannot be read"),
    (
        ".dcm",
        lambda p, v: write_dicom(
            p, np.ones((3, 20, 16)), SamplesPerPixel=3, PlanarConfiguration=0
        ),
        "a colour image",
    ),
    (".h5", _junk, "not an HDF5 file"),
    (".h5", _truncated(write_fastmri), "cut short"),
    (".h5", lambda p, v: h5py.File(p, "w").create_dataset("x", data=v), "no dataset"),
    (".h5", lambda p, v: write_fastmri(p, v, mask=[1, 0]), "undersampled"),
    (
        ".h5",
        lambda p, v: h5py.File(p, "w").create_dataset("kspace", data=v),
        "expected complex 'kspace'.*float32",
    ),
    (".mat", _junk, "unknown image format"),
]


# nibabel and pydicom leave damaged files to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*unclosed file")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("ending, write, message", BROKEN)
def test_a_broken_file_gives_one_clear_error(tmp_path, vol, ending, write, message):
    path = tmp_path / f"bad{ending}"
    write(path, vol)
    with pytest.raises(ValueError, match=message) as e:
        read_slices(path)
    assert str(e.value).startswith(str(path))
    assert len(str(e.value).splitlines()) == 1


def test_every_format_has_a_broken_example():
    assert {b[0] for b in BROKEN} >= set(READERS) - {".ima"}


def test_a_missing_file_and_a_missing_library(tmp_path, vol, monkeypatch):
    with pytest.raises(ValueError, match="no such file"):
        read_slices(tmp_path / "none.npy")
    _nifti(tmp_path / "a.nii", vol)
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(ValueError, match=r"pip install -c constraints.txt '.\[train"):
        read_slices(tmp_path / "a.nii")


def test_files_are_found_once_in_the_order_of_their_names(tmp_path, vol):
    (tmp_path / "sub").mkdir()
    np.save(tmp_path / "sub" / "b.npy", vol[1])
    np.save(tmp_path / "a.npy", vol[0])
    files = find_images(["**/*"], tmp_path)  # matches the folder and its file
    assert files == [tmp_path / "a.npy", tmp_path / "sub" / "b.npy"]


@pytest.mark.parametrize("pattern", ["none*.npz", "a.mat", "/a.npy", ""])
def test_a_pattern_without_images_is_named(tmp_path, pattern):
    (tmp_path / "a.mat").write_text("x")
    with pytest.raises(ValueError, match=f"^data: .*{pattern!r}".replace("*.", r"\*.")):
        find_images([pattern], tmp_path)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_slice_of_a_nifti_volume(tmp_path, vol, axis):
    """Sagittal, coronal, axial: its axis of length 1 is that of slices."""
    volume = np.expand_dims(vol[0], axis)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_slices(tmp_path / "a.nii"), vol[:1])


def test_the_whole_folder(tmp_path, vol):
    (tmp_path / "b").mkdir()
    np.save(tmp_path / "a.npy", vol)
    np.save(tmp_path / "b" / "c.npy", vol)
    for pattern in (".", "./", "**"):
        found = [p.name for p in find_images([pattern], tmp_path)]
        assert found == ["a.npy", "c.npy"]
    with pytest.raises(ValueError, match="no relative pattern|no image file"):
        find_images([""], tmp_path)
