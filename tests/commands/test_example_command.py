"""The bundled scan as files of SigPy and of BART."""

import re

import numpy as np
import pytest

from sigpy_priors.cli import main
from sigpy_priors.data.example import example, undersample
from sigpy_priors.io.cfl import read_cfl
from sigpy_priors.io.slices import open_kspace, open_maps


@pytest.fixture
def folder(tmp_path):
    assert main(["example", "scan", "--accel", "3", "-o", str(tmp_path / "a")]) == 0
    return tmp_path / "a"


def test_both_formats_are_the_bundled_scan(folder, capsys):
    image, mps = example()
    y = undersample(image, mps, 3)
    for ending in (".npy", ".cfl"):
        kspace = open_kspace(folder / f"scan{ending}")
        np.testing.assert_array_equal(kspace[0], y)
        maps = open_maps(folder / f"scan_maps{ending}", kspace)
        np.testing.assert_array_equal(maps[0], mps)
    truth = read_cfl(folder / "scan_truth.cfl")
    np.testing.assert_array_equal(np.load(folder / "scan_truth.npy"), image)
    np.testing.assert_array_equal(np.squeeze(truth), image)
    # BART's READ, PHS1, PHS2, COIL.
    assert read_cfl(folder / "scan.cfl").shape[:-5:-1] == (256, 256, 1, 8)


def test_what_it_says_to_try_works(folder, tiny_prior_file, capsys, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert main(["example", "scan", "-o", "b"]) == 0
    line = next(s for s in capsys.readouterr().out.splitlines() if " recon " in s)
    options = f" --prior {tiny_prior_file} --max-iter 2"
    assert main((line.strip().removeprefix("sigpy-priors ") + options).split()) == 0
    assert (folder.parent / "b" / "image.png").is_file()


@pytest.mark.parametrize(
    "options, text",
    [
        ([], "is there already; .*--force"),
        (["--accel", "0.5", "--force"], "accel must be at least 1"),
        (["--coils", "0", "--force"], "coils"),
    ],
)
def test_errors(folder, options, text, capsys):
    before = (folder / "scan.npy").read_bytes()
    assert main(["example", "scan", "-o", str(folder), *options]) == 2
    assert re.search(text, capsys.readouterr().err)
    assert (folder / "scan.npy").read_bytes() == before


def test_older_files_are_replaced_on_request(folder):
    before = (folder / "scan.npy").read_bytes()
    assert main(["example", "scan", "-o", str(folder), "--force"]) == 0
    assert (folder / "scan.npy").read_bytes() != before
