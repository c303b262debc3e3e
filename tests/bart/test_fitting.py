"""Levels, coupling and peak that follow from a scan; the commands that use them."""

import json
import shutil

import numpy as np
import pytest
import sigpy as sp
import sigpy.mri as mr
from hypothesis import given, settings
from hypothesis import strategies as st

import bart_plugin
from bart_plugin.algorithms import Admm, Fista
from bart_plugin.fitting import fitted
from sigpy_priors.cli import main
from sigpy_priors.io.cfl import read_cfl, write_cfl
from sigpy_priors.load import load_prior
from sigpy_priors.priors.gaussian import GaussianPrior

SHAPE = (48, 40)
PRIOR = GaussianPrior(np.zeros((6, 6)), np.eye(36))


def scan_of(noise, seed=0):
    rng = np.random.default_rng(seed)
    mps = mr.birdcage_maps((5, *SHAPE))
    mps = (mps / sp.rss(mps, axes=(0,))).astype(np.complex64)
    y = sp.fft(mps * sp.shepp_logan(SHAPE), axes=(-2, -1))
    mask = rng.random(SHAPE) < 0.5
    mask[20:28, 16:24] = True
    n = rng.standard_normal((2, *y.shape)) / 2**0.5
    return (mask * (y + noise * (n[0] + 1j * n[1]))).astype(np.complex64), mps


@pytest.fixture(scope="module")
def noisy():
    return scan_of(0.02)


def test_levels_end_at_three_times_the_noise():
    last = [fitted(*scan_of(noise), PRIOR).algorithm.last for noise in (0.01, 0.04)]
    scale = 1.0  # of the phantom
    np.testing.assert_allclose(last, [3 * 0.01 / scale, 3 * 0.04 / scale], rtol=0.2)


@settings(max_examples=12, deadline=None)
@given(st.floats(1e-5, 1e5), st.floats(1e-3, 1e3), st.integers(0, 3))
def test_no_unit_and_no_dead_coil_matters(noisy, k, m, dead):
    y, mps = noisy
    expected = fitted(y, mps, PRIOR)
    zeros = np.zeros((dead, *SHAPE), np.complex64)
    scaled = np.float32(k) * y, np.float32(m) * mps
    found = fitted(*(np.concatenate([a, zeros]) for a in scaled), PRIOR)
    assert found.peak == pytest.approx(expected.peak, rel=0.06)
    assert found.algorithm.last == pytest.approx(expected.algorithm.last, rel=0.06)
    assert found.algorithm.rho == pytest.approx(
        expected.algorithm.rho * np.float64(m) ** 2, rel=0.06
    )


def test_what_is_given_is_taken(noisy):
    own = Admm(rho=0.3, last=0.05)
    assert fitted(*noisy, PRIOR, own) == (own, 1.0)
    assert isinstance(fitted(*noisy, PRIOR, "fista").algorithm, Fista)
    assert fitted(*noisy, PRIOR, max_iter=5).algorithm.max_iter == 5
    free = fitted(*noisy, PRIOR)
    assert fitted(*noisy, PRIOR, peak=2.5) == (free.algorithm, 2.5)
    assert fitted(*noisy, PRIOR, sigma=0.1) == (Admm(), 1.0)


def test_slices_and_sets_of_maps_are_fitted_by_one_of_them(noisy):
    y, mps = noisy
    alone = fitted(y, mps, PRIOR)
    assert fitted(np.stack([0.1 * y, y]), np.stack([mps, mps]), PRIOR) == alone
    assert fitted(y, np.stack([mps, 0 * mps]), PRIOR) == alone


@pytest.fixture(scope="module")
def small(tiny_prior_file):
    return load_prior(tiny_prior_file, runtime="torch")


@pytest.fixture
def files(noisy, tiny_prior_file, tmp_path, monkeypatch):
    y, mps = noisy
    monkeypatch.chdir(tmp_path)
    write_cfl("k.cfl", y[:, None])
    write_cfl("m.cfl", mps[:, None])
    shutil.copy(tiny_prior_file, "p.safetensors")
    return tmp_path


def card(path):
    return json.loads(path.read_text())["bart"]


def test_export_by_a_scan(files, small, noisy, capsys):
    assert main("export bart p.safetensors g --kspace k.cfl --maps m.cfl".split()) == 0
    written = card(files / "g.pb.json")
    fit = fitted(*noisy, small)
    assert written["image"] == list(SHAPE) and written["peak"] == fit.peak
    assert written["sigma"][-1] == pytest.approx(fit.algorithm.last)
    assert f"-u {fit.algorithm.rho:g} " in written["command"]
    assert main("export bart p.safetensors g --maps m.cfl".split()) == 2
    assert "goes with --kspace" in capsys.readouterr().err
    line = "export bart p.safetensors g --kspace k.cfl --algorithm fista"
    assert main(line.split()) == 2
    assert "for ADMM in pics" in capsys.readouterr().err


def test_the_command_pics_is_barts(files, bart100, small, noisy, monkeypatch):
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(bart100.parent))
    assert main("pics --prior p.safetensors -i 23 k m x".split()) == 0
    expected = bart_plugin.pics(*noisy, small, options="-i 23", bart=bart100)
    x = np.squeeze(read_cfl("x.cfl"))
    assert np.linalg.norm(x - expected) <= 1e-4 * np.linalg.norm(expected)


@settings(max_examples=3, deadline=None, derandomize=True)
@given(st.integers(-3, 3), st.integers(-2, 2), st.integers(0, 2), st.integers(0, 3))
def test_the_image_of_pics_has_the_units_of_the_data(
    bart100, small, noisy, k, m, dead, turns
):
    """Factors on k-space and maps, zero coils, a common phase: real BART."""
    y, mps = noisy
    expected = bart_plugin.pics(y, mps, small, bart=bart100)
    k, m, phase = np.float32(10.0**k), np.float32(10.0**m), np.complex64(1j**turns)
    zeros = np.zeros((dead, *SHAPE), np.complex64)
    scaled = (np.concatenate([a, zeros]) for a in (k * phase * y, m * mps))
    found = bart_plugin.pics(*scaled, small, bart=bart100) * (m / (k * phase))
    # Levels and coupling are rounded to two digits.
    assert np.linalg.norm(found - expected) <= 0.02 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    "line, message",
    [
        ("k m", "three files"),
        ("-R W:1:0:1 k m x", "the prior is the regularization"),
        ("k m k", "would be overwritten"),
        ("--lamda two k m x", "--lamda: expected a number"),
        ("--lamda nan k m x", "--lamda: expected a number"),
        ("missing m x", "missing"),
    ],
)
def test_mistakes_on_the_command_line(files, capsys, line, message):
    assert main(["pics", "--prior", "p.safetensors", *line.split()]) == 2
    assert message in capsys.readouterr().err


def test_an_old_bart_and_an_odd_size_are_refused(tmp_path, monkeypatch):
    from bart_plugin.commands import passthrough
    from bart_plugin.toolbox import program

    write_cfl(tmp_path / "odd.cfl", np.ones((2, 1, 6, 5), np.complex64))
    monkeypatch.setattr(program, "version_of", lambda _: "v0.8.00")
    with pytest.raises(ValueError, match="phase ramp on images of an odd size"):
        passthrough._check_sizes(tmp_path / "bart", str(tmp_path / "odd.cfl"))
    monkeypatch.setattr(program, "version_of", lambda _: "v1.0.00")
    passthrough._check_sizes(tmp_path / "bart", str(tmp_path / "odd.cfl"))


def test_several_dimensions_are_refused(files, capsys):
    write_cfl("many.cfl", np.ones((2, 5, 1, *SHAPE), np.complex64)[:, None])
    assert main("pics --prior p.safetensors many m x".split()) == 2
    err = capsys.readouterr().err
    assert "BART's dimensions 0 (read), 1 (phase), 3 (coils)" in err
