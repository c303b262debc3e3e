"""ISMRMRD files as scanners' converters write them, whole and broken."""

import ismrmrd
import numpy as np
import pytest
import sigpy as sp

from sigpy_priors.io import slices as io

COILS, HEIGHT, WIDTH = 3, 20, 24

HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <experimentalConditions>
  <H1resonanceFrequency_Hz>128000000</H1resonanceFrequency_Hz>
 </experimentalConditions>
 <encoding>
  <encodedSpace><matrixSize><x>{nx}</x><y>20</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>{fov}</x><y>200</y><z>5</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>24</x><y>20</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>240</x><y>200</y><z>5</z></fieldOfView_mm></reconSpace>
  <encodingLimits><kspace_encoding_step_1>
   <minimum>0</minimum><maximum>19</maximum><center>{center}</center>
  </kspace_encoding_step_1></encodingLimits>
  <trajectory>{trajectory}</trajectory>
  <parallelImaging><accelerationFactor>
   <kspace_encoding_step_1>1</kspace_encoding_step_1>
   <kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>
   <calibrationMode>{mode}</calibrationMode></parallelImaging>
 </encoding>
</ismrmrdHeader>"""


def line(data, row, slice=0, average=0, flags=(), center=None):
    a = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data, np.complex64))
    a.center_sample = data.shape[1] // 2 if center is None else center
    a.idx.kspace_encode_step_1, a.idx.slice, a.idx.average = row, slice, average
    for flag in flags:
        a.set_flag(flag)
    return a


def write(
    path,
    lines,
    nx=WIDTH,
    fov=240,
    center=10,
    trajectory="cartesian",
    mode="embedded",
    group="dataset",
):
    header = HEADER.format(
        nx=nx, fov=fov, center=center, trajectory=trajectory, mode=mode
    )
    with ismrmrd.Dataset(path, group) as file:
        file.write_xml_header(header)
        for a in lines:
            file.append_acquisition(a)
    return path


@pytest.fixture
def ksp(rng):
    """K-space (slices, coils, H, W)."""
    z = rng.normal(size=(2, COILS, HEIGHT, WIDTH, 2)).astype(np.float32)
    return z.view(np.complex64)[..., 0]


def lines_of(ksp, rows=range(HEIGHT)):
    return [line(k[:, r], r, s) for s, k in enumerate(ksp) for r in rows]


def test_volume(tmp_path, ksp):
    slices = io.open_kspace(write(tmp_path / "a.h5", lines_of(ksp)))
    assert slices.shape == ksp.shape
    np.testing.assert_array_equal(slices[1], ksp[1])


def test_one_slice(tmp_path, ksp):
    slices = io.open_kspace(write(tmp_path / "a.h5", lines_of(ksp[:1])))
    assert not slices.volume
    np.testing.assert_array_equal(slices[0], ksp[0])


def test_lines_that_were_not_acquired_are_zero(tmp_path, ksp):
    rows = range(0, HEIGHT, 2)
    y = io.open_kspace(write(tmp_path / "a.h5", lines_of(ksp[:1], rows)))[0]
    np.testing.assert_array_equal(y[:, ::2], ksp[0][:, ::2])
    assert not y[:, 1::2].any()


def test_partial_fourier_is_centred_by_the_header(tmp_path, ksp):
    """Counting starts at the first line measured: row 6, centre 4."""
    lines = [line(ksp[0][:, r], r - 6) for r in range(6, HEIGHT)]
    y = io.open_kspace(write(tmp_path / "a.h5", lines, center=4))[0]
    np.testing.assert_array_equal(y[:, 6:], ksp[0][:, 6:])
    assert not y[:, :6].any()


def test_asymmetric_echo(tmp_path, ksp):
    """The first 8 samples are missing, so the centre is 8 samples early."""
    lines = [line(ksp[0][:, r, 8:], r, center=WIDTH // 2 - 8) for r in range(HEIGHT)]
    y = io.open_kspace(write(tmp_path / "a.h5", lines))[0]
    np.testing.assert_array_equal(y[..., 8:], ksp[0][..., 8:])
    assert not y[..., :8].any()


def test_reversed_lines(tmp_path, ksp):
    lines = lines_of(ksp[:1])
    for r in (1, 3):
        reversed_data = ksp[0][:, r, ::-1]
        lines[r] = line(reversed_data, r, flags=[ismrmrd.ACQ_IS_REVERSE])
    np.testing.assert_array_equal(
        io.open_kspace(write(tmp_path / "a.h5", lines))[0], ksp[0]
    )


def test_averages_are_averaged(tmp_path, ksp):
    lines = [line(k[:, r], r, average=a) for a, k in enumerate(ksp) for r in range(20)]
    y = io.open_kspace(write(tmp_path / "a.h5", lines))[0]
    np.testing.assert_allclose(y, ksp.mean(axis=0), rtol=1e-6)


def test_readout_oversampling_is_removed(tmp_path, rng):
    """Twice the field of view along W; the image is its middle, as measured."""
    x = rng.normal(size=(COILS, HEIGHT, 2 * WIDTH)).astype(np.complex64)
    lines = lines_of(sp.fft(x, axes=(-2, -1))[None])
    path = write(tmp_path / "a.h5", lines, nx=2 * WIDTH, fov=480)
    y = io.open_kspace(path)[0]
    middle = x[..., WIDTH // 2 : 3 * WIDTH // 2]
    np.testing.assert_allclose(sp.ifft(y, axes=(-2, -1)), middle, atol=1e-5)


@pytest.mark.parametrize("mode", ["embedded", "interleaved", "separate", "external"])
def test_calibration_lines(tmp_path, ksp, mode):
    """Of the same image, or of another one that tells the maps."""
    calibration = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
    both = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING
    lines = lines_of(ksp[:1], range(0, HEIGHT, 2))
    lines[5].set_flag(calibration)
    lines[5].set_flag(both)
    lines += [line(ksp[0][:, r], r, flags=[calibration]) for r in (9, 11)]
    slices = io.open_kspace(write(tmp_path / "a.h5", lines, mode=mode))
    of_image = mode in ("embedded", "interleaved")
    assert slices[0][:, 10].any()
    assert slices[0][:, [9, 11]].any() == of_image
    assert (slices.calibration is None) == of_image
    if not of_image:
        np.testing.assert_array_equal(
            slices.calibration[0][:, [9, 11]], ksp[0][:, [9, 11]]
        )
        assert not slices.calibration[0][:, 10].any()


def test_phase_oversampling_is_not_of_the_image(tmp_path, ksp):
    path = tmp_path / "a.h5"
    header = HEADER.format(
        nx=WIDTH, fov=240, center=10, trajectory="cartesian", mode="other"
    )
    header = header.replace("<y>200</y>", "<y>250</y>", 1)  # encoded, of 200
    with ismrmrd.Dataset(path, "dataset") as file:
        file.write_xml_header(header)
        for a in lines_of(ksp):
            file.append_acquisition(a)
    slices = io.open_kspace(path)
    assert slices.image_shape == (16, WIDTH)
    np.testing.assert_array_equal(slices[1], ksp[1])


@pytest.mark.parametrize("fov", [240, 480])
def test_calibration_with_a_matrix_of_its_own(tmp_path, ksp, fov):
    """Its k-space is the middle of the image's, if the field of view is the same."""
    encoding = HEADER[HEADER.index(" <encoding>") : HEADER.index("</ismrmrdHeader>")]
    header = HEADER.replace("</ismrmrdHeader>", encoding + "</ismrmrdHeader>")
    first = HEADER.index(" <encoding>") + len(encoding)
    second = header[first:].replace("<y>20</y>", "<y>8</y>", 1)
    second = second.replace("{nx}", "12").replace("{center}", "4")
    second = second.replace("{fov}", str(fov)).replace("<x>240</x>", f"<x>{fov}</x>")
    header = (header[:first] + second).format(
        nx=WIDTH, fov=240, center=10, trajectory="cartesian", mode="separate"
    )
    lines = lines_of(ksp)
    for r in range(8):
        a = line(ksp[0][:, r + 6, 6:18], r, flags=[ismrmrd.ACQ_IS_PARALLEL_CALIBRATION])
        a.encoding_space_ref = 1
        lines.append(a)
    path = tmp_path / "a.h5"
    with ismrmrd.Dataset(path, "dataset") as file:
        file.write_xml_header(header)
        for a in lines:
            file.append_acquisition(a)
    if fov != 240:
        with pytest.warns(UserWarning, match="left out: .*fields of view"):
            assert io.open_kspace(path).calibration is None
        return
    of_first, of_second = io.open_kspace(path).calibration
    np.testing.assert_array_equal(of_first[:, 6:14, 6:18], ksp[0][:, 6:14, 6:18])
    assert not of_first[:, :6].any() and of_second is None


@pytest.mark.parametrize(
    "flag",
    [
        ismrmrd.ACQ_IS_PHASE_STABILIZATION,
        ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
        ismrmrd.ACQ_IS_NAVIGATION_DATA,
        ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
        ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ],
)
def test_lines_for_something_else_are_left_out(tmp_path, ksp, flag):
    other = [line(ksp[1][:, r], r, flags=[flag]) for r in range(4, 9)]
    y = io.open_kspace(write(tmp_path / "a.h5", other + lines_of(ksp[:1])))[0]
    np.testing.assert_array_equal(y, ksp[0])


def test_surface_coil_correction_beside_an_image(tmp_path, ksp):
    flag = ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA
    other = [line(ksp[1][:, r], r, flags=[flag]) for r in range(4, 9)]
    path = write(tmp_path / "a.h5", other + lines_of(ksp[:1]))
    with pytest.warns(UserWarning, match="5 lines of a surface coil correction"):
        y = io.open_kspace(path)[0]
    np.testing.assert_array_equal(y, ksp[0])


def test_surface_coil_correction_flag_on_a_whole_scan(tmp_path, ksp):
    """As Siemens' converter sets it for raw data correction."""
    lines = lines_of(ksp)
    for a in lines:
        a.set_flag(ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA)
    slices = io.open_kspace(write(tmp_path / "a.h5", lines))
    np.testing.assert_array_equal(slices[1], ksp[1])


@pytest.mark.parametrize("siemens, skip", [(True, 0), (False, 0), (False, 4)])
def test_centre_of_reversed_lines(tmp_path, ksp, siemens, skip):
    """By Siemens' converter that of the line before it was turned, by the standard
    the sample at the centre; shorter lines fit the matrix in both ways."""
    lines = []
    for r in range(HEIGHT):
        data, flags, c = ksp[0][:, r, skip:], [], WIDTH // 2 - skip
        if r % 2:
            c = c if siemens else WIDTH - skip - 1 - c
            data, flags = data[:, ::-1], [ismrmrd.ACQ_IS_REVERSE]
        lines.append(line(data, r, flags=flags, center=c))
    y = io.open_kspace(write(tmp_path / "a.h5", lines))[0]
    np.testing.assert_array_equal(y[..., skip:], ksp[0][..., skip:])


def images_of(rng, width):
    """Smooth images (coils, H, width) within the middle of the field of view."""
    x = np.zeros((COILS, HEIGHT, width), complex)
    middle = rng.normal(size=(COILS, HEIGHT, WIDTH, 2)).view(complex)[..., 0]
    x[..., (width - WIDTH) // 2 : (width + WIDTH) // 2] = middle
    return x


@pytest.mark.parametrize("pre, post", [(6, 4), (0, 0), (0, 9)])
def test_discarded_samples_of_an_oversampled_readout(tmp_path, rng, pre, post):
    """They are not measured; those that are stay what they were."""
    x = images_of(rng, 2 * WIDTH)
    lines = lines_of(sp.fft(x, axes=(-2, -1))[None])
    for a in lines:
        a.discard_pre, a.discard_post = pre, post
        a.data[:, :pre] = 9e9
        a.data[:, a.number_of_samples - post :] = 9e9
    y = io.open_kspace(write(tmp_path / "a.h5", lines, nx=2 * WIDTH, fov=480))[0]
    assert y.shape == (COILS, HEIGHT, WIDTH)
    expected = sp.fft(x[..., WIDTH // 2 : 3 * WIDTH // 2], axes=(-2, -1))
    found = y[0, 0] != 0
    assert WIDTH - (pre + post) / 2 - 3 <= found.sum() <= WIDTH - (pre + post) // 2
    error = np.linalg.norm((y - expected)[..., found], axis=(0, 1))
    assert (error < 0.15 * np.linalg.norm(expected, axis=(0, 1))[found]).all()


def test_asymmetric_echo_of_an_oversampled_readout(tmp_path, rng):
    """The image has the size of a full echo."""
    x = images_of(rng, 2 * WIDTH)
    k = sp.fft(x, axes=(-2, -1))[..., 16:]
    lines = [line(k[:, r], r, center=WIDTH - 16) for r in range(HEIGHT)]
    y = io.open_kspace(write(tmp_path / "a.h5", lines, nx=2 * WIDTH, fov=480))[0]
    assert y.shape == (COILS, HEIGHT, WIDTH)
    assert not y[..., :7].any() and y[..., 11:-1].all()


def epi(ksp, delay, phase=0.4, navigators=3):
    """Every second line from right to left, late; and the central line, measured in
    turns."""
    ramp = np.exp(1j * (phase + 2 * np.pi * delay * (np.arange(WIDTH) - 5) / WIDTH))
    late = sp.fft(sp.ifft(ksp, axes=(-1,)) * ramp, axes=(-1,))
    turned, navigator = ismrmrd.ACQ_IS_REVERSE, ismrmrd.ACQ_IS_PHASECORR_DATA

    def one(row, turn, flags):
        data = late[:, row, ::-1] if turn else ksp[:, row]
        return line(data, row, flags=flags + [turned] * turn)

    navs = [one(HEIGHT // 2, i % 2, [navigator]) for i in range(navigators)]
    return navs + [one(r, r % 2, []) for r in range(HEIGHT)]


@pytest.mark.parametrize("delay", [0.2, -1.7])
@pytest.mark.parametrize("navigators", [2, 3])
def test_epi_is_corrected_by_its_navigators(tmp_path, rng, delay, navigators):
    x = sp.ifft(images_of(rng, WIDTH), axes=(-1,))  # smooth profiles
    x = x * np.exp(-(((np.arange(WIDTH) - 12) / 6) ** 2))
    k = sp.fft(x, axes=(-2, -1)).astype(np.complex64)
    path = write(
        tmp_path / "a.h5", epi(k, delay, navigators=navigators), trajectory="epi"
    )
    y = io.open_kspace(path)[0]
    np.testing.assert_allclose(y, k, atol=2e-2 * abs(k).max())


def test_epi_without_navigators(tmp_path, ksp):
    path = write(tmp_path / "a.h5", epi(ksp[0], 0, 0, 0), trajectory="epi")
    with pytest.warns(UserWarning, match="no navigators.*ghost"):
        y = io.open_kspace(path)[0]
    np.testing.assert_allclose(y, ksp[0], atol=1e-5)


def test_epi_that_was_sampled_on_the_ramps(tmp_path, ksp):
    ramps = """<trajectory>epi</trajectory>
  <trajectoryDescription><identifier>ConventionalEPI</identifier>
   <userParameterLong><name>rampUpTime</name><value>200</value></userParameterLong>
   <userParameterLong><name>acqDelayTime</name><value>50</value></userParameterLong>
  </trajectoryDescription>"""
    path = tmp_path / "a.h5"
    header = HEADER.format(nx=WIDTH, fov=240, center=10, trajectory="epi", mode="other")
    header = header.replace("<trajectory>epi</trajectory>", ramps)
    with ismrmrd.Dataset(path, "dataset") as file:
        file.write_xml_header(header)
        for a in lines_of(ksp):
            file.append_acquisition(a)
    with pytest.raises(ValueError, match="on the ramps"):
        io.open_kspace(path)


def test_a_readout_that_is_short_on_both_sides(tmp_path, ksp):
    lines = [line(ksp[0][:, r, 4:20], r) for r in range(HEIGHT)]
    with pytest.warns(UserWarning, match="16 samples in a matrix of 24"):
        y = io.open_kspace(write(tmp_path / "a.h5", lines))[0]
    np.testing.assert_array_equal(y[..., 4:20], ksp[0][..., 4:20])


@pytest.mark.parametrize("name", ["a.mrd", "a.MRD", "a.hdf5", "scan"])
def test_other_endings(tmp_path, ksp, name):
    path = write(tmp_path / name, lines_of(ksp))
    np.testing.assert_array_equal(io.open_kspace(path)[1], ksp[1])


def test_a_stream_is_no_hdf5(tmp_path):
    (tmp_path / "a.mrd").write_bytes(b"MRD2" * 100)
    with pytest.raises(ValueError, match="mrd_stream_to_hdf5"):
        io.open_kspace(tmp_path / "a.mrd")


def test_several_measurements(tmp_path, rng, ksp):
    """A noise scan beside the image belongs to it; of two images one is chosen."""
    path = tmp_path / "a.h5"
    noise = rng.normal(size=(COILS, 500, 2)).view(complex)[..., 0]
    scan = [line(noise, 0, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]
    write(path, scan, group="noise")
    write(path, lines_of(ksp[:1]), group="one")
    slices = io.open_kspace(path)
    np.testing.assert_array_equal(slices[0], ksp[0])
    np.testing.assert_allclose(slices.noise, 2 * np.eye(COILS), atol=0.5)
    write(path, lines_of(ksp[1:]), group="two")
    with pytest.raises(ValueError, match="one, two, expected one; choose .*a.h5/two"):
        io.open_kspace(path)
    np.testing.assert_array_equal(io.open_kspace(path / "two")[0], ksp[1])
    with pytest.raises(ValueError, match="three"):
        io.open_kspace(path / "three")


def test_noise_scan_goes_along(tmp_path, rng, ksp):
    """K-space stays as it is: maps have to be whitened together with it."""
    mix = rng.normal(size=(COILS, COILS)) + 2 * np.eye(COILS)
    noise = mix @ rng.normal(size=(COILS, 4096, 2)).view(complex)[..., 0]
    scan = [line(noise, 0, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]
    slices = io.open_kspace(write(tmp_path / "a.h5", scan + lines_of(ksp)))
    np.testing.assert_array_equal(slices[0], ksp[0])
    np.testing.assert_allclose(slices.noise, 2 * mix @ mix.T, atol=1.5)


def test_a_noise_scan_that_is_too_short(tmp_path, ksp):
    scan = [line(ksp[0][:, 0, :2], 0, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]
    with pytest.warns(UserWarning, match="2 samples of 3 coils.*not used"):
        slices = io.open_kspace(write(tmp_path / "a.h5", scan + lines_of(ksp)))
    assert slices.noise is None


def test_not_cartesian(tmp_path, ksp):
    path = write(tmp_path / "a.h5", lines_of(ksp), trajectory="radial")
    with pytest.raises(ValueError, match="got a radial trajectory.*--coord"):
        io.open_kspace(path)


def test_three_dimensional(tmp_path, ksp):
    lines = lines_of(ksp)
    lines[3].idx.kspace_encode_step_2 = 1
    with pytest.raises(ValueError, match="got 3-D data"):
        io.open_kspace(write(tmp_path / "a.h5", lines))


@pytest.mark.parametrize("row, width", [(HEIGHT, WIDTH), (0, WIDTH + 2)])
def test_line_that_does_not_fit(tmp_path, ksp, row, width):
    lines = lines_of(ksp) + [line(np.ones((COILS, width)), row)]
    with pytest.raises(ValueError, match=f"line {row} has {width} samples"):
        io.open_kspace(write(tmp_path / "a.h5", lines))


def test_only_noise(tmp_path, ksp):
    lines = [line(ksp[0][:, 0], 0, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]
    with pytest.raises(ValueError, match="got 1 acquisitions, none of an image"):
        io.open_kspace(write(tmp_path / "a.h5", lines))


@pytest.mark.parametrize("xml", ["", "<a", "<a></a>"])
def test_bad_header(tmp_path, ksp, xml):
    path = write(tmp_path / "a.h5", lines_of(ksp[:1]))
    with ismrmrd.Dataset(path, "dataset") as file:
        del file._dataset["xml"]
        file.write_xml_header(xml)
    with pytest.raises(ValueError, match="not an ISMRMRD header with data") as e:
        io.open_kspace(path)
    assert "\n" not in str(e.value)


def test_truncated(tmp_path, ksp):
    path = write(tmp_path / "a.h5", lines_of(ksp))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match="cut short"):
        io.open_kspace(path)


@pytest.mark.timeout(20)
def test_samples_without_a_size_are_not_walked_through_for_ever(tmp_path, ksp):
    """The HDF5 library would, out of Python's reach."""
    path = write(tmp_path / "a.h5", lines_of(ksp[:1]))
    data = bytearray(path.read_bytes())
    at = data.index(b"GCOL") + 16  # the first object of a heap
    data[at : at + 16] = bytes(16)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged .the heap at byte") as e:
        io.open_kspace(path)
    assert str(e.value).startswith(str(path))
