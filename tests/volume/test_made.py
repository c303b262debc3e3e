"""An output of another run is not written over without a word."""

import numpy as np
import pytest

import sigpy_priors as spp
from sigpy_priors.volume.made import check_older, record_file, record_run


@pytest.fixture
def out(tmp_path):
    path = tmp_path / "out.npy"
    np.save(path, np.ones((4, 4), np.complex64))
    return path


def test_the_same_settings_may_write_again(out):
    record_run(out, {"lamda": None, "seed": 1})
    check_older(out, {"lamda": None, "seed": 1})
    with pytest.raises(ValueError, match=r"seed 1, now 2\).*--restart"):
        check_older(out, {"lamda": None, "seed": 2})


def test_a_file_of_unknown_origin_is_kept(out):
    with pytest.raises(ValueError, match="not written by this command"):
        check_older(out, {})
    record_run(out, {})
    check_older(out, {})
    np.save(out, np.zeros((4, 4), np.complex64))  # by somebody else since
    with pytest.raises(ValueError, match="not written by this command"):
        check_older(out, {})


@pytest.mark.parametrize("text", ["", "[]", "{", '{"settings": 3}'])
def test_a_damaged_record_is_none(out, text):
    record_file(out).write_text(text)
    with pytest.raises(ValueError, match="not written by this command"):
        check_older(out, {})


def test_nothing_is_computed_before_it_is_told(out, small_volume, smooth_prior):
    y, mps = small_volume
    before = out.read_bytes()
    job = spp.volume.recon(y[0], smooth_prior, mps[0])
    with pytest.raises(ValueError, match="is there already"):
        job.write(out, show_pbar=False)
    assert out.read_bytes() == before and not out.with_suffix(".npy.part").exists()
    image = job.write(out, restart=True, show_pbar=False)
    np.testing.assert_array_equal(np.load(out), image)
    job.write(out, show_pbar=False)
    other = spp.volume.recon(y[0], smooth_prior, mps[0], lamda=2)
    with pytest.raises(ValueError, match="lamda None, now 2"):
        other.write(out, show_pbar=False)
