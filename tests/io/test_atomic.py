"""Files that are written: whole or not at all, and only where they were meant."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sigpy_priors.io.atomic import remove_leftovers, write_atomic
from sigpy_priors.io.cfl import read_cfl, write_cfl
from sigpy_priors.io.output import check_writable, refuse_inputs


def test_nobody_else_can_name_the_temporary_file(tmp_path):
    seen = []

    def write(tmp):
        seen.append((tmp, tmp.parent.stat().st_mode & 0o777))
        tmp.write_bytes(b"new")

    for _ in range(2):
        write_atomic(tmp_path / "out.npy", write)
    (one, mode), (other, _) = seen
    assert mode == 0o700 and one != other and one.suffix == ".npy"
    assert [p.name for p in tmp_path.iterdir()] == ["out.npy"]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "out").symlink_to(victim)
    (tmp_path / f".out.{os.getpid()}.tmp").symlink_to(victim)
    write_atomic(tmp_path / "out", lambda p: p.write_bytes(b"new"))
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "out").read_bytes() == b"new"
    remove_leftovers(tmp_path / "out")
    assert victim.exists() and not list(tmp_path.glob(".out.*"))


def _full(tmp):
    Path("/dev/full").write_bytes(bytes(1 << 16))


def _full_npy(tmp):
    with open("/dev/full", "wb") as f:
        np.save(f, np.ones(1 << 16))


def _full_safetensors(tmp):
    save_file({"a": torch.ones(1 << 16)}, "/dev/full/x")


@pytest.mark.parametrize("write", [_full, _full_npy, _full_safetensors])
def test_a_full_disk_is_one_line_with_the_file(tmp_path, write):
    file = tmp_path / "out.npy"
    file.write_bytes(b"old")
    with pytest.raises(OSError) as e:
        write_atomic(file, write)
    assert str(e.value).startswith(f"{file}: cannot be written (")
    assert write is not _full or e.value.errno == errno.ENOSPC
    assert file.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_no_header_stands_beside_the_data_of_another(tmp_path, monkeypatch):
    """Killed between the two files of a pair, whose sizes fit by chance."""
    file = tmp_path / "x.cfl"
    write_cfl(file, np.ones((2, 3), np.complex64))
    whole = write_atomic

    def killed(path, write):
        whole(path, write)
        raise KeyboardInterrupt

    monkeypatch.setattr("sigpy_priors.io.cfl.write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        write_cfl(file, np.ones((3, 2), np.complex64))
    with pytest.raises(ValueError, match="x.hdr: no such file"):
        read_cfl(file)


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(ValueError, match="is no plain file"):
            check_writable(path)
    with pytest.raises(ValueError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(ValueError, match="no folder"):
        check_writable(tmp_path / "absent" / "x")


@pytest.mark.parametrize("how", ["same", "hard", "soft", "dots", "pair", "group"])
def test_an_input_is_known_by_any_name(tmp_path, how):
    file = tmp_path / "x.cfl"
    for suffix in (".cfl", ".hdr"):
        file.with_suffix(suffix).write_text("x")
    source, output = file, file
    if how in ("hard", "soft"):
        output = tmp_path / "y.npy"
        os.link(file, output) if how == "hard" else output.symlink_to(file)
    elif how == "dots":
        output = tmp_path / "absent" / ".." / "x.cfl"
        (tmp_path / "absent").mkdir()
    elif how == "pair":
        source = file.with_suffix(".hdr")
    elif how == "group":
        source = f"{file}/images"
    with pytest.raises(ValueError, match="is the maps that is read"):
        refuse_inputs(output, {"maps": source})
    refuse_inputs(tmp_path / "z.cfl", {"maps": source, "prior": "brain", "coord": None})
