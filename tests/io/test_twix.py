"""Raw data of Siemens, written by twixtools as a scanner lays them out."""

import struct

import numpy as np
import pytest
import twixtools
from twixtools.mdb import Mdb_local

from sigpy_priors.io import twix
from sigpy_priors.io.slices import open_kspace, open_maps, read_array

COILS, HEIGHT, WIDTH = 3, 20, 24
PROTOCOL = {
    "sKSpace.lBaseResolution": WIDTH,
    "sKSpace.lPhaseEncodingLines": HEIGHT,
    "sKSpace.ucTrajectory": 1,
    "sSliceArray.asSlice[0].dReadoutFOV": 240.0,
    "sSliceArray.asSlice[0].dPhaseFOV": 200.0,
    "sSliceArray.asSlice[0].dThickness": 5.0,
    "sTXSPEC.asNucleusInfo[0].lFrequency": 123000000,
    "sPat.ucRefScanMode": 2,
}
# A turn of 90 degrees about the third axis: phase is along the second, read against
# the first.
QUATERNION = (0.5**0.5, 0.0, 0.0, 0.5**0.5)


def header(**changes):
    """Buffers of a twix header: length, number, then name, length and text of each."""
    protocol = {**PROTOCOL, **changes}
    yaps = "".join(f"{k} = {v}\n" for k, v in protocol.items() if k[0] == "s")
    yaps = f"### ASCCONV BEGIN ###\n{yaps}\n### ASCCONV END ###"
    meas = "".join(
        f'<ParamLong."{k}"> {{ {v} }}\n' for k, v in protocol.items() if k[0] != "s"
    )
    body = b""
    for name, text in (("Meas", meas), ("MeasYaps", yaps)):
        text = text.encode() + b"\n" * 64  # names are looked for in 48 bytes
        body += name.encode() + b"\0" + struct.pack("<I", len(text)) + text
    body += b"\0" * (-(len(body) + 8) % 32)
    text = struct.pack("<II", len(body) + 8, 2) + body
    return np.frombuffer(text, "S1")


def line(data, lin=0, flags=(), center=None, **counters):
    block = Mdb_local(np.asarray(data, np.complex64))
    block.mdh.CenterCol = data.shape[1] // 2 if center is None else center
    block.mdh.CenterLin = HEIGHT // 2
    block.mdh.Counter.Lin = lin
    for name, value in counters.items():
        setattr(block.mdh.Counter, name, value)
    for flag in flags:
        block.add_flag(flag)
    block.mdh.SliceData.SlicePos.Sag = 10.0
    block.mdh.SliceData.SlicePos.Tra = 6.0 * counters.get("Sli", 0)
    block.mdh.SliceData.Quaternion[:] = QUATERNION
    return block


def write(path, *scans, **changes):
    scans = [{"hdr_str": header(**changes), "mdb": lines} for lines in scans]
    twixtools.write_twix(scans, str(path))
    return path


@pytest.fixture
def ksp(rng):
    """K-space (slices, coils, H, W)."""
    z = rng.normal(size=(2, COILS, HEIGHT, WIDTH, 2)).astype(np.float32)
    return z.view(np.complex64)[..., 0]


def lines_of(ksp, rows=range(HEIGHT)):
    return [line(k[:, r], r, Sli=s) for s, k in enumerate(ksp) for r in rows]


def test_lines_go_to_their_place(tmp_path, ksp, capfd):
    path = write(tmp_path / "meas.dat", lines_of(ksp, range(0, HEIGHT, 2)))
    capfd.readouterr()
    slices = open_kspace(path)
    assert slices.shape == ksp.shape and slices.image_shape == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(slices[1][:, ::2], ksp[1][:, ::2])
    assert not slices[1][:, 1::2].any()
    assert capfd.readouterr() == ("", "")


def test_geometry(tmp_path, ksp):
    place = open_kspace(write(tmp_path / "meas.dat", lines_of(ksp))).geometry
    assert place.spacing == (5, 10, 10)
    np.testing.assert_allclose(place.position, [[10, 0, 0], [10, 0, 6]])
    np.testing.assert_allclose(place.phase[0], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(place.read[0], [-1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(place.normal[0], [0, 0, 1], atol=1e-6)
    assert "<H1resonanceFrequency_Hz>123000000<" in place.header


def test_an_oversampled_readout_is_cropped_in_the_image(tmp_path, rng):
    """Twice as many samples see twice the field of view."""
    import sigpy as sp

    image = rng.normal(size=(COILS, HEIGHT, WIDTH)) + 1j
    wide = sp.fft(sp.resize(image, (COILS, HEIGHT, 2 * WIDTH)), axes=(-2, -1))
    path = write(tmp_path / "meas.dat", lines_of(wide[None].astype(np.complex64)))
    got = open_kspace(path)
    assert got.shape == (1, COILS, HEIGHT, WIDTH)
    back = sp.ifft(got[0], axes=(-2, -1))
    np.testing.assert_allclose(back, image, atol=1e-4)


def test_what_is_no_image_goes_where_it_belongs(tmp_path, ksp, rng):
    noise = rng.normal(size=(COILS, 256, 2)).astype(np.float32)
    noise[1] *= 3
    noise = noise.view(np.complex64)[..., 0]
    lines = lines_of(ksp[:1])
    lines.insert(0, line(9 * ksp[0][:, 0], 0, ["PHASCOR"]))
    lines.insert(0, line(9 * ksp[0][:, 0], 0, ["RTFEEDBACK"]))
    path = write(tmp_path / "meas.dat", [line(noise, 0, ["NOISEADJSCAN"])], lines)
    slices = open_kspace(path)
    np.testing.assert_array_equal(slices[0], ksp[0])
    np.testing.assert_allclose(slices.noise, noise @ noise.conj().T / 256, rtol=1e-4)


def test_averages_are_averaged_and_calibration_is_apart(tmp_path, ksp):
    twice = [
        line((1 + v) * ksp[0][:, r], r, Ave=v) for v in (0, 2) for r in range(HEIGHT)
    ]
    extra = [line(ksp[0][:, r], r, ["PATREFSCAN"]) for r in range(8, 12)]
    path = write(tmp_path / "meas.dat", twice + extra, **{"sPat.ucRefScanMode": 4})
    slices = open_kspace(path)
    np.testing.assert_allclose(slices[0], 2 * ksp[0], rtol=1e-6)
    np.testing.assert_array_equal(slices.calibration[0][:, 8:12], ksp[0][:, 8:12])


def test_turned_lines(tmp_path, ksp):
    """Siemens counts the centre of a line that is turned as of one that is not."""
    lines = [
        line(k[:, ::-1] if r % 2 else k, r, ["REFLECT"] if r % 2 else [])
        for r, k in enumerate(ksp[0].swapaxes(0, 1))
    ]
    got = open_kspace(write(tmp_path / "meas.dat", lines))
    np.testing.assert_array_equal(got[0], ksp[0])


def test_one_of_several_measurements(tmp_path, ksp):
    path = write(tmp_path / "meas.dat", lines_of(ksp[:1]), lines_of(ksp[1:]))
    with pytest.raises(ValueError, match=r"2 measurements with images, 0, 1.*dat/1"):
        open_kspace(path)
    np.testing.assert_array_equal(open_kspace(path / "1")[0], ksp[1])
    with pytest.raises(ValueError, match="no measurement '2', expected 0 to 1"):
        open_kspace(path / "2")


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"sKSpace.ucTrajectory": 2}, "got a radial trajectory"),
        ({"alRegridMode": "2 1"}, "ramps of the gradient"),
        ({"sKSpace.lPhaseEncodingLines": 4}, "expected to fit"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, ksp, changes, text):
    path = write(tmp_path / "meas.dat", lines_of(ksp), **changes)
    with pytest.raises(ValueError, match=text):
        open_kspace(path)


def test_damaged_files_are_one_line(tmp_path, ksp, rng):
    path = write(tmp_path / "meas.dat", lines_of(ksp[:1]))
    whole = path.read_bytes()
    for cut in (4, 9000, 10300, len(whole) // 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="meas.dat"):
            open_kspace(path)
    for seed in range(20):
        data = bytearray(whole)
        at = np.random.default_rng(seed).integers(0, len(whole), 40)
        for k in at:
            data[k] ^= 255
        path.write_bytes(data)
        try:  # damage of numbers alone shows nowhere
            open_kspace(path)
        except ValueError as e:
            assert "meas.dat" in str(e)
    path.write_bytes(rng.bytes(5000))
    with pytest.raises(ValueError, match="meas.dat"):
        open_kspace(path)


def test_only_kspace_is_in_it(tmp_path, ksp):
    path = write(tmp_path / "meas.dat", lines_of(ksp))
    with pytest.raises(ValueError, match="have no maps"):
        open_maps(path)
    with pytest.raises(ValueError, match="got .dat, expected .npy"):
        read_array(path)


def test_the_extra_is_named(tmp_path, ksp, monkeypatch):
    path = write(tmp_path / "meas.dat", lines_of(ksp))
    monkeypatch.setitem(__import__("sys").modules, "twixtools", None)
    with pytest.raises(ImportError, match=r"twixtools.*\[twix\]"):
        twix.read_twix(path)
