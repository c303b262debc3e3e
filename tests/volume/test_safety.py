"""Outputs are not inputs, belong to one run, and hold numbers."""

import json
import os

import numpy as np
import pytest

import sigpy_priors as spp
from sigpy_priors.io.output import check_output, write_image
from sigpy_priors.volume.inputs import fingerprint, refuse_inputs
from sigpy_priors.volume.store import SliceStore


@pytest.mark.parametrize("link", [False, True])
def test_an_input_is_not_overwritten(tmp_path, tiny_prior_file, link):
    kspace = tmp_path / "k.npy"
    np.save(kspace, np.ones((2, 8, 8), np.complex64))
    before = kspace.read_bytes()
    out = kspace
    if link:
        out = tmp_path / "other.npy"
        os.symlink(kspace, out)
    with pytest.raises(ValueError, match="is the kspace that is read"):
        spp.volume.recon(kspace, tiny_prior_file).write(out, show_pbar=False)
    assert kspace.read_bytes() == before


def test_the_header_of_a_pair_is_an_input_too(tmp_path):
    with pytest.raises(ValueError, match="is the maps that is read"):
        refuse_inputs(tmp_path / "m.cfl", {"maps": str(tmp_path / "m.hdr")})
    refuse_inputs(tmp_path / "n.cfl", {"maps": str(tmp_path / "m.hdr"), "coord": None})


def test_two_runs_do_not_share_an_output(tmp_path):
    a = SliceStore(tmp_path / "out.npy", {"kspace": "a"})
    b = SliceStore(tmp_path / "out.npy", {"kspace": "b"})
    a.save(0, np.ones((4, 4), complex))
    with pytest.raises(ValueError, match="another run is writing"):
        b.save(1, np.ones((4, 4), complex))
    a.close()
    with pytest.raises(ValueError, match="unfinished run with other settings"):
        b.save(1, np.ones((4, 4), complex))
    assert 0 in a and 1 not in a


def test_a_run_belongs_to_the_content_of_its_files(tmp_path):
    file = tmp_path / "k.npy"
    np.save(file, np.zeros(4))
    stat = file.stat()
    one = fingerprint(file)
    np.save(file, np.ones(4))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(file) != one
    np.save(file, np.zeros(4))
    assert fingerprint(file) == one and json.dumps(one)


def test_no_image_of_nan_is_written(tmp_path):
    image = np.ones((4, 4), complex)
    image[1, 1] = np.nan
    with pytest.raises(FloatingPointError, match="1 of 16 values"):
        write_image(tmp_path / "x.npy", image)
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_told_at_once(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        (tmp_path / "x.npy").mkdir()
        check_output(tmp_path / "x.npy")
    with pytest.raises(ValueError, match="cannot be written"):
        check_output("/proc/x.npy")
