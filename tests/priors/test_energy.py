"""Energies as priors: value, gradient, reconstruction, chains, files."""

import numpy as np
import pytest
import sigpy as sp
import torch
from sigpy.mri import birdcage_maps
from sigpy.mri.linop import Sense

import sigpy_priors as spp
from sigpy_priors import alg as alg_module
from sigpy_priors.app.solvers import LBFGS
from sigpy_priors.models.icnn import ICNN
from sigpy_priors.priors.card import PriorCard
from sigpy_priors.priors.digest import prior_digest
from sigpy_priors.priors.saving import save_prior
from sigpy_priors.testing import check_prior

SHAPE = (10, 8)
NOISE = 0.1
FINE = LBFGS(max_iter=200, tol=1e-6)


class Quadratic(torch.nn.Module):
    """The energy of a white Gaussian of variance v, without its constant."""

    def __init__(self, v):
        super().__init__()
        self.v = v

    def forward(self, x):
        return x.square() / self.v


@pytest.fixture(scope="module")
def icnn():
    torch.manual_seed(1)
    return spp.EnergyPrior(ICNN(width=6, kernel=3, gain=3.0))


@pytest.fixture
def scan():
    """K-space with two thirds of the lines, its maps, and the operator."""
    mps = birdcage_maps((3, *SHAPE)).astype(complex)
    mps /= sp.rss(mps, axes=(0,))
    A = Sense(mps, weights=(np.arange(10)[:, None] % 3 > 0) * np.ones(SHAPE))
    rng = np.random.default_rng(0)
    x, n = (rng.standard_normal((2, *s)) for s in (SHAPE, A.oshape))
    y = A(x[0] + 1j * x[1]) + NOISE * (n[0] + 1j * n[1]) / 2**0.5
    return (y * (np.abs(A(np.ones(SHAPE))) > 0)), mps, A


def test_contract(icnn):
    check_prior(icnn, (9, 14), scale=0.3)


@pytest.mark.parametrize("channels", [1, 2])
def test_value_and_gradient_by_finite_differences(channels, rng):
    torch.manual_seed(2)
    prior = spp.EnergyPrior(ICNN(channels, width=6, kernel=3, gain=3.0))
    x = rng.standard_normal((3, *SHAPE)) + 1j * rng.standard_normal((3, *SHAPE))
    value, grad = prior.log_prob_and_grad(x)
    assert value.shape == (3,) and grad.shape == x.shape
    step = rng.standard_normal(x.shape) + 1j * rng.standard_normal(x.shape)
    up, down = (prior.log_prob(x + s * 1e-6 * step) for s in (1, -1))
    slope = (grad.conj() * step).real.sum(axis=(1, 2))
    np.testing.assert_allclose((up - down) / 2e-6, slope, rtol=1e-5)
    with pytest.raises(TypeError, match="known up to a factor only"):
        prior.bits_per_dim(x)


def test_the_maximum_of_a_quadratic_is_that_of_its_gaussian(scan):
    y, mps, A = scan
    prior = spp.EnergyPrior(Quadratic(0.5))
    app = spp.app.PriorRecon(
        y, mps, prior, noise_std=NOISE, solver=FINE, show_pbar=False
    )
    x = app.run()
    eye = np.eye(80, dtype=complex).reshape(-1, *SHAPE)
    normal = np.stack([A.N(e).ravel() for e in eye], 1)
    weight = NOISE**2 / (0.5 * app.scale**2)
    exact = np.linalg.solve(normal + weight * np.eye(80), A.H(y).ravel())
    assert np.linalg.norm(x.ravel() - exact) < 2e-3 * np.linalg.norm(exact)


def test_a_convex_energy_has_one_minimum(scan, icnn):
    """From any start: what the network is for."""
    y, mps, _ = scan
    app = spp.app.PriorRecon(
        y, mps, icnn, noise_std=NOISE, solver=FINE, show_pbar=False
    )
    first = app.run()
    rng = np.random.default_rng(5)
    start = app.scale * (rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE))
    alg = alg_module.LBFGS(app._objective_and_grad, start, 200, tol=1e-6)
    while not alg.done():
        alg.update()
    assert np.linalg.norm(alg.x - first) < 1e-2 * np.linalg.norm(first)


def test_chains_draw_from_the_posterior(scan):
    y, mps, A = scan
    v, scale = 0.5, 1.0
    app = spp.app.PosteriorSampling(
        y, mps, spp.EnergyPrior(Quadratic(v)), 64, noise_std=NOISE, scale=scale,
        chains=4, warmup=30, max_gradients=2000, show_pbar=False,
    )  # fmt: skip
    assert app.method == "hmc"
    x = app.run()
    eye = np.eye(80, dtype=complex).reshape(-1, *SHAPE)
    precision = np.stack([A.N(e).ravel() for e in eye], 1) / NOISE**2 + np.eye(80) / v
    cov = np.linalg.inv(precision)
    mean = cov @ A.H(y).ravel() / NOISE**2
    expected = np.sqrt(np.trace(cov).real / 64)
    assert np.linalg.norm(x.mean(0).ravel() - mean) < 1.3 * expected
    spread = x.var(axis=0, ddof=1).sum() / np.trace(cov).real
    assert spread == pytest.approx(1, abs=0.08)


def test_a_file_keeps_it(icnn, tmp_path):
    card = PriorCard(
        name="convex", kind="energy", architecture="icnn", precond=None, strength=0.7,
        options={"width": 6, "kernel": 3, "gain": 3.0}, sigma=0.05,
    )  # fmt: skip
    save_prior(tmp_path / "p.safetensors", icnn.model, card)
    prior = spp.load_prior(tmp_path / "p.safetensors")
    x = np.full((2, *SHAPE), 0.2 + 0.1j, np.complex64)
    np.testing.assert_array_equal(prior.log_prob(x), icnn.log_prob(x))
    assert (prior.strength, prior.normalised) == (0.7, False)
    assert prior_digest(prior) != prior_digest(icnn)
    spp.export_onnx(prior, tmp_path / "p.onnx")
    other = spp.load_prior(tmp_path / "p.onnx")
    for a, b in zip(prior.log_prob_and_grad(x), other.log_prob_and_grad(x)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert not other.normalised


@pytest.mark.parametrize(
    "energy, message",
    [
        (lambda x: x.sum(), "expected a torch.nn.Module"),
        (ICNN(channels=3, width=4), "expected 1 or 2 channels, got 3"),
    ],
)
def test_bad_energies(energy, message):
    with pytest.raises(ValueError, match=message):
        spp.EnergyPrior(energy)


def test_one_number_for_the_batch_is_no_energy():
    class Total(torch.nn.Module):
        def forward(self, x):
            return x.sum()

    with pytest.raises(ValueError, match="for each of 2 images"):
        spp.EnergyPrior(Total()).log_prob(np.ones((2, *SHAPE), complex))


def test_the_bundled_energy_removes_noise():
    prior = spp.load_prior("brain-icnn")
    from sigpy_priors.data.example import example

    image = example()[0][64:192, 64:192]
    sigma = prior.card.sigma
    rng = np.random.default_rng(0)
    n = sigma * (
        rng.standard_normal(image.shape) + 1j * rng.standard_normal(image.shape)
    )
    noisy = (image + n / 2**0.5).astype(np.complex64)
    step = sigma**2 / 2 * prior.grad_log_prob(noisy)
    before, after = (np.linalg.norm(v - image) for v in (noisy, noisy + step))
    assert after < 0.75 * before
