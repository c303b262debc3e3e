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
    path, lines, nx=WIDTH, fov=240, center=10, trajectory="cartesian", mode="embedded"
):
    header = HEADER.format(
        nx=nx, fov=fov, center=center, trajectory=trajectory, mode=mode
    )
    with ismrmrd.Dataset(path, "dataset") as file:
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


@pytest.mark.parametrize("mode", ["embedded", "separate"])
def test_calibration_lines(tmp_path, ksp, mode):
    """Of the same image where embedded, else of another one."""
    calibration = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
    both = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING
    lines = lines_of(ksp[:1], range(0, HEIGHT, 2))
    lines[5].set_flag(calibration)
    lines[5].set_flag(both)
    lines += [line(ksp[0][:, r], r, flags=[calibration]) for r in (9, 11)]
    y = io.open_kspace(write(tmp_path / "a.h5", lines, mode=mode))[0]
    assert y[:, 10].any()
    assert y[:, [9, 11]].any() == (mode == "embedded")


def test_noise_scan_whitens(tmp_path, rng, ksp):
    """Noise of the k-space is white and of unit level afterwards."""
    mix = rng.normal(size=(COILS, COILS)) + 2 * np.eye(COILS)
    noise = mix @ rng.normal(size=(COILS, 4096, 2)).view(complex)[..., 0]
    lines = [line(noise, 0, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]
    k = mix @ rng.normal(size=(COILS, HEIGHT * WIDTH, 2)).view(complex)[..., 0]
    k = k.reshape(1, COILS, HEIGHT, WIDTH)
    y = io.open_kspace(write(tmp_path / "a.h5", lines + lines_of(k)))[0]
    y = y.reshape(COILS, -1)
    covariance = y @ y.conj().T / y.shape[1]
    np.testing.assert_allclose(covariance, np.eye(COILS), atol=0.2)


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
