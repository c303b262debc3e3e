"""A disk that is full, read-only or gone: one line that names the file, nothing lost."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from conftest import one_line
from test_kills import RECON, SAMPLE, TRAIN


@pytest.fixture
def disk(tmp_path):
    """A file system of 256 kB, with a function that changes its options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder],
            capture_output=True,
        )
        return done.returncode == 0

    if os.name != "posix" or not shutil.which("mount") or not mount("size=256k"):
        pytest.skip("no tmpfs can be mounted here")
    yield folder, lambda option: mount("remount", option)
    subprocess.run(["umount", "-l", folder], check=False)


@pytest.mark.parametrize(
    "line, output",
    [(RECON + "{}", "out.cfl"), (TRAIN + "{}", "out")],
)
def test_a_full_disk(zygote, study, disk, line, output):
    folder, remount = disk
    line = line.format(folder / output)
    filler = folder / "filler"
    filler.write_bytes(bytes(200 << 10))
    said = one_line(zygote.run(line, study))
    assert f"{folder}/" in said and "No space left" in said
    assert not (folder / output).is_file()
    filler.unlink()
    assert remount("size=64m")
    status, said = zygote.run(line, study)
    assert status == 0, said
    assert not [p.name for p in folder.iterdir() if ".part" in p.name]


@pytest.mark.parametrize(
    "line, limit",
    [(RECON, 1000), (RECON, 9000), (RECON, 60000), (SAMPLE, 20000)],
)
def test_a_file_that_may_not_grow(zygote, study, line, limit):
    """A quota, wherever it strikes: in slices, in what is drawn, in the output."""
    line = line.format("") + "out.npy"
    said = one_line(zygote.run(line, study, limit))
    assert "out" in said.split(": cannot be written")[0].split(": ")[-1]
    assert "File too large" in said or "requested and" in said
    assert not (study / "out.npy").exists()
    assert zygote.run(line, study)[0] == 0
    assert np.isfinite(np.load(study / "out.npy")).all()


def test_a_folder_that_becomes_read_only(zygote, study, disk):
    folder, remount = disk
    line = RECON + str(folder / "out.npy")
    run = zygote.start(line, study)
    assert run.until(lambda: list((folder / "out.npy.part").glob("0*.npy")))
    assert run.kill()[0] == -9
    assert remount("ro")
    said = one_line(zygote.run(line, study))
    assert "out.npy: cannot be written (Read-only file system)" in said
    assert remount("rw")
    status, said = zygote.run(line, study)
    assert status == 0 and " 0/8" not in said


@pytest.mark.parametrize("what", ["out.npy.part", "."])
def test_a_folder_that_vanishes(zygote, study, what):
    folder = study / "there"
    folder.mkdir()
    run = zygote.start(RECON + "there/out.npy", study)
    assert run.until(lambda: list((folder / "out.npy.part").glob("0*.npy")))
    shutil.rmtree(folder / what, ignore_errors=True)
    assert "there/out.npy" in one_line(run.wait())
    folder.mkdir(exist_ok=True)
    assert zygote.run(RECON + "there/out.npy", study)[0] == 0
