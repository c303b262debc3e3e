"""ISMRMRD files of slices that were excited together."""

import ismrmrd
import numpy as np
import pytest
import sigpy as sp

from sigpy_priors.io.ismrmrd import read_ismrmrd
from sigpy_priors.io.ismrmrd_multiband import read_multiband
from sigpy_priors.linop import Sms

COILS, HEIGHT, WIDTH, BANDS, GROUPS = 3, 16, 12, 3, 2
CENTRE = 6  # lines of the single-band scans
DELTA, DISTANCE = 1 / 90, 30.0  # FOV/3 shifts

SPACE = """<encodedSpace><matrixSize><x>12</x><y>16</y><z>1</z></matrixSize>
 <fieldOfView_mm><x>{fov}</x><y>200</y><z>5</z></fieldOfView_mm></encodedSpace>
 <reconSpace><matrixSize><x>12</x><y>16</y><z>1</z></matrixSize>
 <fieldOfView_mm><x>{fov}</x><y>200</y><z>5</z></fieldOfView_mm></reconSpace>
 <encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>15</maximum>
 <center>8</center></kspace_encoding_step_1><kspace_encoding_step_2><minimum>0</minimum>
 <maximum>2</maximum><center>1</center></kspace_encoding_step_2></encodingLimits>
 <trajectory>cartesian</trajectory>"""
PARALLEL = """<parallelImaging><accelerationFactor>
 <kspace_encoding_step_1>1</kspace_encoding_step_1>
 <kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>
 <multiband><spacing>{distances}</spacing><deltaKz>{delta}</deltaKz>
 <multiband_factor>{bands}</multiband_factor><calibration>{kind}</calibration>
 <calibration_encoding>{single}</calibration_encoding></multiband></parallelImaging>"""
HEADER = (
    '<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">'
    "<experimentalConditions><H1resonanceFrequency_Hz>128000000</H1resonanceFrequency_Hz>"
    "</experimentalConditions><encoding>{image}</encoding><encoding>{calibration}"
    "</encoding></ismrmrdHeader>"
)


def header(
    distances=(DISTANCE,),
    delta=DELTA,
    bands=BANDS,
    kind="separable2D",
    single=1,
    fov=240,
):
    dz = "".join(f"<dZ>{d}</dZ>" for d in distances)
    parallel = PARALLEL.format(
        distances=dz, delta=delta, bands=bands, kind=kind, single=single
    )
    image = SPACE.format(fov=240) + parallel
    return HEADER.format(image=image, calibration=SPACE.format(fov=fov))


def line(data, row, slice, space, step=0):
    a = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data, np.complex64))
    a.center_sample = data.shape[1] // 2
    a.idx.kspace_encode_step_1, a.idx.kspace_encode_step_2 = row, step
    a.idx.slice, a.encoding_space_ref = slice, space
    return a


@pytest.fixture
def scan(rng):
    """K-space (groups, coils, H, W), and that of each slice alone."""
    z = rng.normal(size=(GROUPS * BANDS, COILS, HEIGHT, WIDTH, 2)).astype(np.float32)
    alone = z.view(np.complex64)[..., 0]
    together = []
    for g in range(GROUPS):
        # The line at the centre has no blip.
        steps = (np.arange(HEIGHT) - HEIGHT // 2) % BANDS
        phases = np.arange(BANDS)[:, None] * steps / BANDS
        ramps = np.exp(2j * np.pi * phases)[:, None, :, None]
        together.append((ramps * alone[g::GROUPS]).sum(axis=0))
    return np.stack(together), alone


def lines_of(together, alone, rows=range(0, HEIGHT, 2)):
    for g, ksp in enumerate(together):
        for row in rows:
            step = (row - HEIGHT // 2) % BANDS + 1  # 1 is the header's centre
            yield line(ksp[:, row], row, g, 0, step)
    for n, ksp in enumerate(alone):
        for row in range(HEIGHT // 2 - CENTRE // 2, HEIGHT // 2 + CENTRE // 2):
            yield line(ksp[:, row], row, n, 1)


def write_file(path, lines, xml):
    with ismrmrd.Dataset(path, "dataset") as file:
        file.write_xml_header(xml)
        for a in lines:
            file.append_acquisition(a)
    return path


def test_groups_and_their_slices(tmp_path, scan):
    together, alone = scan
    path = write_file(tmp_path / "sms.h5", lines_of(*scan), header())
    found = read_multiband(path)
    expected = np.zeros_like(together)
    expected[:, :, ::2] = together[:, :, ::2]
    np.testing.assert_allclose(found.kspace, expected, rtol=1e-6)
    assert found.calibration.shape == (GROUPS, BANDS, COILS, HEIGHT, WIDTH)
    centre = slice(HEIGHT // 2 - CENTRE // 2, HEIGHT // 2 + CENTRE // 2)
    for g in range(GROUPS):
        for s in range(BANDS):
            one, of = found.calibration[g, s], alone[g + s * GROUPS]
            np.testing.assert_allclose(one[:, centre], of[:, centre], rtol=1e-6)
    assert found.noise is None


def test_the_operator_explains_the_lines(tmp_path, scan):
    """Maps of one: each coil's k-space is the sum that the phases say."""
    together, alone = scan
    path = write_file(tmp_path / "sms.h5", lines_of(*scan), header())
    found = read_multiband(path)
    mask = np.zeros((HEIGHT, 1), np.float32)
    mask[::2] = 1
    ones = np.ones((BANDS, 1, HEIGHT, WIDTH), np.complex64)
    images = sp.ifft(alone[1::GROUPS, :1], axes=(-2, -1))[:, 0]
    y = Sms(ones, found.phases, mask)(images)
    np.testing.assert_allclose(y[0], found.kspace[1, 0], atol=1e-5)


@pytest.mark.parametrize(
    "changed, message",
    [
        (dict(kind="full3D"), "'full3D'.*expected 'separable2D'"),
        (dict(single=0), "in encoding space 0, expected .* one of its own"),
        (dict(distances=(30, 30, 30)), "expected 2 for a multiband factor of 3"),
        (dict(bands=4), r"expected those of \[6, 7\] too: 2 groups of 4"),
        (dict(bands=1), "no multiband encoding"),
        (dict(fov=120), "field of view"),
    ],
)
def test_headers_that_do_not_fit(tmp_path, scan, changed, message):
    path = write_file(tmp_path / "sms.h5", lines_of(*scan), header(**changed))
    with pytest.raises(ValueError, match=message):
        read_multiband(path)


def test_a_line_at_two_steps(tmp_path, scan):
    lines = [*lines_of(*scan), line(scan[0][0][:, 0], 0, 0, 0, step=0)]
    path = write_file(tmp_path / "sms.h5", lines, header())
    with pytest.raises(ValueError, match="line 0 at steps 1 and -1 along kz"):
        read_multiband(path)


def test_the_usual_reader_names_this_one(tmp_path, scan):
    path = write_file(tmp_path / "sms.h5", lines_of(*scan), header())
    with pytest.raises(ValueError, match=r"multiband.*read_multiband"):
        read_ismrmrd(path)
