"""The bundled example and what the demo makes of it."""

import numpy as np
import pytest
import sigpy as sp
from sigpy.mri.app import L1WaveletRecon

from sigpy_priors import load_prior
from sigpy_priors.cli import main
from sigpy_priors.commands import demo
from sigpy_priors.data.example import NOISE_STD, example, undersample
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.show import metrics


def test_example_is_an_image_with_phase_and_maps():
    image, mps = example()
    assert image.shape == (256, 256) and mps.shape == (8, 256, 256)
    assert image.dtype == mps.dtype == np.complex64
    assert estimate_scale(image) == pytest.approx(1)
    np.testing.assert_allclose(sp.rss(mps, axes=(0,)), 1, rtol=1e-5)
    # The phase must matter: its range is wide and it is smooth.
    phase = image[np.abs(image) > 0.2]
    assert abs(np.mean(phase / np.abs(phase))) < 0.7
    again, _ = example()
    np.testing.assert_array_equal(again, image)


@pytest.mark.parametrize("accel", [4, 8])
def test_undersampling(accel, brain_slice):
    image, mps = example()
    y = undersample(image, mps, accel)
    mask = np.abs(y).sum(axis=0) > 0
    assert y.dtype == np.complex64
    assert 1 / mask.mean() == pytest.approx(accel, rel=0.05)
    assert sp.resize(mask, (24, 24)).all()
    ideal = sp.fft(mps * image, axes=(-2, -1)) * mask
    noise = (y - ideal)[:, mask]
    assert np.sqrt(np.mean(np.abs(noise) ** 2)) == pytest.approx(NOISE_STD, rel=0.02)


def test_table_picture_and_arrays_agree(tmp_path, tiny_prior_file, capsys):
    """With an untrained prior and half the work; the whole is below."""
    demo.run_demo(load_prior(tiny_prior_file), tmp_path, accels=(4,))
    head, *table = capsys.readouterr().out.splitlines()[1:5]
    for word in ("PSNR", "SSIM", "NRMSE", "seconds", "network evaluations"):
        assert word in head
    with np.load(tmp_path / "demo.npz") as arrays:
        for name, line in zip(("zero_filled_R4", "L1_wavelet_R4", "prior_R4"), table):
            psnr = metrics.psnr(arrays[name], arrays["reference"])
            assert float(line.split()[2]) == pytest.approx(psnr, abs=0.006)
    assert (tmp_path / "demo.png").read_bytes()[:4] == b"\x89PNG"


def test_command(tmp_path, tiny_prior_file, monkeypatch):
    calls = []
    monkeypatch.setattr(demo, "run_demo", lambda *args: calls.append(args))
    prior = str(tiny_prior_file)
    assert main(["demo", "--out", str(tmp_path / "d"), "--prior", prior]) == 0
    [(loaded, out)] = calls
    assert loaded.card.name == "tiny" and out == str(tmp_path / "d")


@pytest.mark.slow
@pytest.mark.parametrize("accel", [4, 8])
def test_wavelet_lamda_is_the_best_in_hindsight(accel):
    """The comparison in the demo is fair: no neighbour on the grid does better."""
    image, mps = example()
    y = undersample(image, mps, accel)
    grid = [1e-3, 2e-3, 3e-3, 5e-3, 1e-2]
    psnr = {
        lamda: metrics.psnr(L1WaveletRecon(y, mps, lamda, show_pbar=False).run(), image)
        for lamda in grid
    }
    assert max(psnr, key=psnr.get) == demo.WAVELET_LAMDA[accel]


@pytest.mark.slow
def test_bundled_prior_beats_the_wavelet(tmp_path, brain):
    """The demo as a user runs it."""
    rows = {(r["accel"], r["method"]): r for r in demo.run_demo(brain, tmp_path)}
    for accel in (4, 8):
        prior, wavelet = rows[accel, "prior"], rows[accel, "L1-wavelet"]
        assert prior["psnr"] > wavelet["psnr"] + 2
        assert prior["ssim"] > wavelet["ssim"]
        assert prior["nrmse"] < wavelet["nrmse"]
        assert prior["evaluations"] > 0 == wavelet["evaluations"]
