"""Images in the formats of viewers and scanners, where they lie in the patient."""

import warnings

import ismrmrd
import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from test_ismrmrd import COILS, HEIGHT, WIDTH, line, write

from sigpy_priors.cli import main
from sigpy_priors.io.geometry import Geometry
from sigpy_priors.io.images import read_slices
from sigpy_priors.io.output import beside, check_output, write_image
from sigpy_priors.io.slices import open_kspace

# Oblique: turned about two axes, so that no two axes can be mistaken.
READ = np.array([0.8, 0.6, 0.0])
PHASE = np.array([-0.36, 0.48, 0.8])
NORMAL = np.cross(READ, PHASE)
CENTRE = np.array([10.0, -20.0, 30.0])
STEP = 6.0


def geometry(order=(0, 1, 2), step=STEP):
    count = len(order)
    return Geometry(
        (5.0, 2.0, 3.0),
        CENTRE + step * np.array(order)[:, None] * NORMAL,
        *(np.tile(v, (count, 1)) for v in (READ, PHASE, NORMAL)),
    )


@pytest.fixture
def volume(rng):
    return rng.random((3, 6, 8)).astype(np.float32) + 0.5


def where(affine, i, j, k):
    """Patient's coordinates (left, posterior, superior) of a voxel of NIfTI."""
    return (affine @ [i, j, k, 1])[:3] * [-1, -1, 1]


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_every_voxel_of_nifti_is_where_it_was_measured(tmp_path, volume, name, order):
    place = geometry(order)
    write_image(tmp_path / name, volume * 1j, geometry=place)
    file = nibabel.load(tmp_path / name)
    data, affine = file.get_fdata(), file.affine
    assert data.shape == (8, 6, 3) and file.header["sform_code"] == 1
    for k in range(3):  # along the volume
        s = order.index(k)  # what was measured there
        np.testing.assert_array_equal(data[:, :, k], volume[s].T)
        # The centre of the slice is pixel (H // 2, W // 2).
        centre = CENTRE + k * STEP * NORMAL
        np.testing.assert_allclose(where(affine, 4, 3, k), centre, atol=1e-4)
        np.testing.assert_allclose(where(affine, 5, 3, k), centre + 3 * READ, atol=1e-4)
        np.testing.assert_allclose(
            where(affine, 4, 4, k), centre + 2 * PHASE, atol=1e-4
        )


def test_repetitions_and_samples_are_further_axes(tmp_path, rng):
    image = rng.random((4, 5, 6, 8)).astype(np.float32)
    place = geometry((0, 1, 0, 1))  # two slices, measured twice
    write_image(tmp_path / "x.nii", image, samples=True, geometry=place)
    data = nibabel.load(tmp_path / "x.nii").get_fdata()
    assert data.shape == (8, 6, 2, 2, 5)
    np.testing.assert_array_equal(data[:, :, 1, 1, 4], image[3, 4].T)
    write_image(tmp_path / "y.nii", image[:2], samples=True, geometry=geometry((0, 1)))
    data = nibabel.load(tmp_path / "y.nii").get_fdata()
    np.testing.assert_array_equal(data[:, :, 1, 4], image[1, 4].T)


def test_slices_that_are_no_volume_say_so(tmp_path, volume):
    place = geometry((0, 1, 5))  # a gap
    with pytest.warns(UserWarning, match="no positions of one volume"):
        write_image(tmp_path / "x.nii", volume, geometry=place)
    file = nibabel.load(tmp_path / "x.nii")
    assert file.header["sform_code"] == 0
    np.testing.assert_allclose(file.header.get_zooms(), (3, 2, 5))
    with pytest.warns(UserWarning, match="pixels 1 mm"):
        write_image(tmp_path / "x.nii", volume)


def test_dicom(tmp_path, volume):
    write_image(tmp_path / "x.dcm", volume * 1j, geometry=geometry())
    file = pydicom.dcmread(tmp_path / "x.dcm")
    pixels = file.pixel_array * float(file.RescaleSlope)
    np.testing.assert_allclose(pixels, volume, atol=volume.max() / 60000)
    np.testing.assert_allclose(read_slices(tmp_path / "x.dcm"), pixels)
    assert file.NumberOfFrames == 3 and file.ConversionType == "WSD"
    [measures] = file.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert measures.PixelSpacing == [2, 3] and measures.SliceThickness == 5
    for k, frame in enumerate(file.PerFrameFunctionalGroupsSequence):
        first = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        six = np.array(frame.PlaneOrientationSequence[0].ImageOrientationPatient, float)
        np.testing.assert_allclose(six, [*READ, *PHASE], atol=1e-6)
        # DICOM: along a row (columns) first, by the spacing of columns.
        centre = first + 4 * 3 * six[:3] + 3 * 2 * six[3:]
        np.testing.assert_allclose(centre, CENTRE + k * STEP * NORMAL, atol=1e-4)
    again = tmp_path / "again.dcm"
    write_image(again, volume * 1j, geometry=geometry())
    assert again.read_bytes() == (tmp_path / "x.dcm").read_bytes()
    with pytest.warns(UserWarning, match="no size of pixels"):
        write_image(again, volume[0])
    assert "SharedFunctionalGroupsSequence" not in pydicom.dcmread(again)


def test_png(tmp_path, volume):
    write_image(tmp_path / "one.png", volume[0] * 1j)
    one = np.asarray(Image.open(tmp_path / "one.png"))
    np.testing.assert_allclose(one, 255 * volume[0] / volume[0].max(), atol=0.51)
    write_image(tmp_path / "x.png", volume)
    mosaic = np.asarray(Image.open(tmp_path / "x.png"))
    assert mosaic.shape == (12, 16) and not mosaic[6:, 8:].any()
    np.testing.assert_allclose(
        mosaic[6:, :8], 255 * volume[2] / volume.max(), atol=0.51
    )
    write_image(tmp_path / "black.png", 0 * volume)


def test_names_beside_an_output():
    assert str(beside("a/out.nii.gz", "_mean")) == "a/out_mean.nii.gz"
    assert str(beside("a/out.b.NPY", "_std")) == "a/out.b_std.NPY"
    assert str(beside("out.nii.gz", "_001", ".png")) == "out_001.png"


def test_a_package_that_is_missing_is_told_first(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(ImportError, match=r"nibabel.*\[files\]"):
        check_output(tmp_path / "x.nii.gz")


@pytest.fixture
def raw(tmp_path, rng):
    """Two slices of raw data that lie somewhere."""
    ksp = rng.normal(size=(2, COILS, HEIGHT, 2 * WIDTH, 2)).astype(np.float32)
    ksp = ksp.view(np.complex64)[..., 0]
    lines = [line(k[:, r], r, s) for s, k in enumerate(ksp) for r in range(HEIGHT)]
    for a in lines:
        a.read_dir[:], a.phase_dir[:], a.slice_dir[:] = READ, PHASE, NORMAL
        a.position[:] = CENTRE + STEP * a.idx.slice * NORMAL
    return write(tmp_path / "raw.h5", lines, nx=2 * WIDTH, fov=480)


def test_raw_data_tell_where_their_slices_lie(raw):
    place = open_kspace(raw).geometry
    assert place.spacing == (5, 10, 10) and place.oriented
    np.testing.assert_allclose(place.position[1], CENTRE + STEP * NORMAL, atol=1e-5)
    np.testing.assert_allclose(place.phase[0], PHASE, atol=1e-6)
    assert "<ismrmrdHeader" in place.header


def test_the_geometry_of_raw_data_goes_through(raw, tmp_path, tiny_prior_file, capsys):
    """From raw data to each format by the command, where nothing was given by hand."""
    options = f"--prior {tiny_prior_file} --max-iter 2 --maps {tmp_path / 'm.npy'}"
    np.save(tmp_path / "m.npy", np.ones((2, COILS, HEIGHT, WIDTH), np.complex64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("o.npy", "o.h5", "o.nii.gz", "o.dcm", "o.png"):
            out = tmp_path / name
            assert main(f"recon {raw} {options} -o {out}".split()) == 0, name
    image = np.load(tmp_path / "o.npy")
    assert image.shape == (2, HEIGHT, WIDTH)
    with ismrmrd.Dataset(tmp_path / "o.h5", mode="r") as file, \
            ismrmrd.Dataset(raw, mode="r") as source:  # fmt: skip
        assert file.read_xml_header() == source.read_xml_header()
        assert file.number_of_images("image_0") == 2
        one = file.read_image("image_0", 1)
    np.testing.assert_array_equal(one.data[0, 0], image[1])
    np.testing.assert_allclose(list(one.position), CENTRE + STEP * NORMAL, atol=1e-5)
    np.testing.assert_allclose(list(one.read_dir), READ, atol=1e-6)
    np.testing.assert_allclose(list(one.field_of_view), (240, 200, 5))
    assert one.image_type == ismrmrd.IMTYPE_COMPLEX and one.slice == 1
    file = nibabel.load(tmp_path / "o.nii.gz")
    np.testing.assert_allclose(file.get_fdata()[:, :, 1], abs(image[1]).T, rtol=1e-6)
    centre = where(file.affine, WIDTH // 2, HEIGHT // 2, 1)
    np.testing.assert_allclose(centre, CENTRE + STEP * NORMAL, atol=1e-4)

    # Some slices only, and samples of them.
    sampled = f"sample {raw} {options} -n 2 --steps 2 --slice 1 -o {tmp_path}/s.nii.gz"
    sampled = sampled.replace("--max-iter 2 ", "")
    assert main(sampled.split()) == 0
    for name, shape in (("s", (WIDTH, HEIGHT, 1, 2)), ("s_std", (WIDTH, HEIGHT))):
        file = nibabel.load(tmp_path / f"{name}.nii.gz")
        assert np.squeeze(file.get_fdata()).shape == tuple(n for n in shape if n > 1)
        centre = where(file.affine, WIDTH // 2, HEIGHT // 2, 0)
        np.testing.assert_allclose(centre, CENTRE + STEP * NORMAL, atol=1e-4)
    assert (tmp_path / "s_001.png").is_file()
    assert main(f"sample {raw} -o {tmp_path}/s.png".split()) == 2
    assert "a picture is drawn in any case" in capsys.readouterr().err


def test_without_directions_pixels_have_their_size(tmp_path, rng):
    ksp = rng.normal(size=(COILS, HEIGHT, WIDTH, 2)).astype(np.float32)
    lines = [line(ksp.view(np.complex64)[:, r, :, 0], r) for r in range(HEIGHT)]
    place = open_kspace(write(tmp_path / "a.h5", lines)).geometry
    assert not place.oriented and place.spacing == (5, 10, 10)
    image = np.ones((HEIGHT, WIDTH), np.float32)
    with pytest.warns(UserWarning, match="no positions"):
        write_image(tmp_path / "x.nii", image, geometry=place)
    np.testing.assert_allclose(
        nibabel.load(tmp_path / "x.nii").header.get_zooms()[:2], 10
    )
    write_image(tmp_path / "x.dcm", image, geometry=place)
    file = pydicom.dcmread(tmp_path / "x.dcm")
    assert "PlanePositionSequence" not in file.PerFrameFunctionalGroupsSequence[0]
