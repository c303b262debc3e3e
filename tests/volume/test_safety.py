"""Outputs are not inputs, belong to one run, and hold numbers."""

import fcntl
import json
import os

import numpy as np
import pytest

import sigpy_priors as spp
from sigpy_priors.io.atomic import remove_leftovers
from sigpy_priors.io.lock import exclusive
from sigpy_priors.io.output import check_output, write_image
from sigpy_priors.volume.inputs import fingerprint
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


def test_slices_of_two_runs_are_not_mixed(tmp_path):
    """Both have begun before either has kept anything."""
    a = SliceStore(tmp_path / "out.npy", {"kspace": "a"})
    b = SliceStore(tmp_path / "out.npy", {"kspace": "b"})
    a.save(0, np.ones((4, 4), complex))
    with pytest.raises(ValueError, match="unfinished run with other settings"):
        b.save(1, np.ones((4, 4), complex))
    assert 0 in a and 1 not in a


def test_an_output_has_one_run_at_a_time(tmp_path):
    out = tmp_path / "out.npy"
    with exclusive(out):
        with pytest.raises(ValueError, match="another run is writing"), exclusive(out):
            pass
        with exclusive(tmp_path / "other.npy"):
            pass
    assert not list(tmp_path.iterdir())
    with exclusive(out):
        pass


def test_a_lock_that_was_removed_meanwhile_is_none(tmp_path, monkeypatch):
    """Whoever opened the file before its owner removed it has to ask again."""
    out = tmp_path / "out.npy"
    flock, removed = fcntl.flock, []

    def late(descriptor, how):
        if not removed:
            (tmp_path / ".out.npy.lock").unlink()
            removed.append(True)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with exclusive(out):
        assert (tmp_path / ".out.npy.lock").exists()
        with pytest.raises(ValueError, match="another run"), exclusive(out):
            pass


@pytest.mark.parametrize("damage", ["value", "digest", "cut"])
def test_a_damaged_slice_is_not_taken(tmp_path, damage):
    store = SliceStore(tmp_path / "out.npy", {})
    store.save(3, np.ones((4, 4), complex))
    np.testing.assert_array_equal(store.load(3), 1)
    file = store.folder / "00003.npy"
    if damage == "value":
        np.save(file, np.full((4, 4), 1.01 + 0j))
    elif damage == "digest":
        (store.folder / "00003.json").unlink()
    else:
        file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match="00003.npy: "):
        store.load(3)


def test_damaged_settings_are_one_line(tmp_path):
    store = SliceStore(tmp_path / "out.npy", {"a": 1})
    store.save(0, np.ones((4, 4)))
    for text in ("{", "[1]", "\xff\x00"):
        (store.folder / "settings.json").write_text(text)
        with pytest.raises(ValueError, match=r"settings.json: .*--restart"):
            SliceStore(tmp_path / "out.npy", {"a": 1})


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


def test_killed_while_slices_are_deleted(tmp_path, monkeypatch):
    """What is left of them is taken for slices by no run."""
    store = SliceStore(tmp_path / "out.npy", {"a": 1})
    store.save(0, np.ones((4, 4)))
    monkeypatch.setattr("shutil.rmtree", lambda folder: None)
    store.remove()
    assert 0 not in store and not store.folder.exists()
    monkeypatch.undo()
    remove_leftovers(tmp_path / "out.npy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lost", ["settings.json", "00000.json"])
def test_a_slice_that_nothing_is_known_of_is_computed_again(tmp_path, lost):
    SliceStore(tmp_path / "out.npy", {"a": 1}).save(0, np.ones((4, 4)))
    (tmp_path / "out.npy.part" / lost).unlink()
    other = SliceStore(tmp_path / "out.npy", {"a": 1 + (lost == "settings.json")})
    assert 0 not in other
    other.save(1, np.ones((4, 4)))
    assert 1 in other and 0 not in other
