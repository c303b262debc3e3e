"""Every method beside the exact posterior of a Gaussian prior."""

import numpy as np
import pytest
import sigpy as sp
import sigpy.mri as mr
from sampling_oracle import NOISE, SIZE, Oracle, complex_normal

from sigpy_priors.app.sampling import PosteriorSampling
from sigpy_priors.posterior.samplers import METHODS
from sigpy_priors.posterior.samplers.core import Denoiser, Noise
from sigpy_priors.posterior.samplers.modes import directions
from sigpy_priors.posterior.samplers.moment import allot
from sigpy_priors.posterior.samplers.subspace import Subspace
from sigpy_priors.posterior.statistics import interval
from sigpy_priors.priors.gaussian import GaussianMixturePrior
from sigpy_priors.scan.problem import Problem
from sigpy_priors.scan.solve import conjugate_gradient


def test_default_has_the_exact_mean_std_and_coverage(oracle):
    app = oracle.app(num_samples=64, chunk_size=64)
    samples = app.run()
    mean, std = oracle.score(samples)
    assert mean < 1.2
    assert std == pytest.approx(1, abs=0.04)
    assert app.evaluations <= 60
    truth = oracle.draw(200, 3)
    low, high = interval(samples, 0.9, "real")
    assert np.mean((low < truth.real) & (truth.real < high)) == pytest.approx(
        0.9, abs=0.02
    )


# Upper bound of the mean's error, and bounds of the std ratio. The papers'
# defaults are not made for this problem: they only have to get the image.
BOUNDS = {
    "mmps": (1.3, 0.92, 1.08),
    "pula": (1.8, 0.8, 1.4),
    "ald": (6, 0.5, 2),
    "pc": (6, 0.4, 1.6),
    "dps": (6, 0.5, 2),
    "pigdm": (2.5, 0.6, 1.4),
    "diffpir": (4, 0.6, 2),
    "dds": (7, 0.4, 1.6),
    "daps": (5, 0.6, 2),
    "sgs": (4, 0.6, 1.6),
    "nila": (5, 0.4, 1.6),
}


@pytest.mark.parametrize("method", METHODS)
def test_method_on_the_oracle(oracle, method):
    app = oracle.app(num_samples=16, method=method, chunk_size=16)
    mean, std = oracle.score(app.run())
    limit, low, high = BOUNDS[method]
    assert mean < limit
    assert low < std < high
    assert 50 <= app.evaluations <= 62


def test_pula_converges_to_the_posterior_with_more_steps(oracle):
    app = oracle.app(
        num_samples=16, method="pula", steps=60, chunk_size=16, step_size=0.3
    )
    mean, std = oracle.score(app.run())
    assert mean < 1.5
    assert std == pytest.approx(1, abs=0.15)


def test_perturbed_solve_draws_the_exact_gaussian(oracle):
    data = Problem(oracle.A, oracle.y, NOISE)
    noise = Noise(0, range(256), oracle.y)
    x = data.draw(np.zeros((256, SIZE, SIZE), np.complex64), 0.3, noise, 100)
    eye = np.eye(SIZE**2, dtype=np.complex64).reshape(-1, SIZE, SIZE)
    gram = np.stack([oracle.A.N(e).ravel() for e in eye], 1)
    cov = np.linalg.inv(gram / NOISE**2 + np.eye(SIZE**2) / 0.3**2)
    mean = (cov @ oracle.A.H(oracle.y).ravel() / NOISE**2).reshape(SIZE, SIZE)
    var = np.diag(cov).real
    error = np.abs(x.mean(axis=0) - mean).ravel() / np.sqrt(var / 256)
    assert np.sqrt((error**2).mean()) == pytest.approx(1, abs=0.15)
    assert x.var(axis=0).mean() == pytest.approx(var.mean(), rel=0.05)


def test_jacobian_is_that_of_the_gaussian(oracle):
    rng = np.random.default_rng(0)
    x, v = complex_normal(rng, (2, 3, SIZE, SIZE))
    denoiser = Denoiser(oracle.prior)
    clean, pullback = denoiser.linearize(x, 0.2)
    gain = oracle.cov @ np.linalg.inv(oracle.cov + 0.04 * np.eye(SIZE**2))
    expected = v.reshape(3, -1) @ gain.T
    np.testing.assert_allclose(pullback(v).reshape(3, -1), expected, atol=1e-10)
    np.testing.assert_allclose(clean, oracle.prior.denoise(x, 0.2))
    assert (denoiser.forwards, denoiser.vjps) == (3, 3)


def test_conjugate_gradient_solves_samples_independently():
    rng = np.random.default_rng(0)
    m = complex_normal(rng, (6, 6))
    m = m @ m.conj().T + np.eye(6)
    b = complex_normal(rng, (3, 6))
    b[1] = 0
    both = conjugate_gradient(lambda v: v @ m.T, b, None, 50, 1e-10)
    np.testing.assert_allclose(both @ m.T, b, atol=1e-8)
    alone = conjugate_gradient(lambda v: v @ m.T, b[:1], None, 50, 1e-10)
    np.testing.assert_allclose(both[:1], alone)


def test_allot_spends_exactly_what_it_is_given():
    for products, steps in ((45, 15), (10, 15), (0, 3), (7, 1)):
        share = allot(products, steps)
        assert sum(share) == products and len(share) == steps and min(share) >= 0


def test_non_cartesian(oracle):
    coord = mr.radial((14, 32, 2), (SIZE, SIZE)).astype(np.float32)
    mps = np.ones((1, SIZE, SIZE), np.complex64)
    A = mr.linop.Sense(mps, coord=coord)
    rng = np.random.default_rng(2)
    y = A(oracle.x) + NOISE * complex_normal(rng, A.oshape)
    y = y.astype(np.complex64)
    radial = Oracle()
    radial.solve(A, y)
    app = oracle.app(y=y, mps=mps, coord=coord, weights=None, num_samples=4)
    mean, std = radial.score(app.run())
    assert mean < 1.4
    assert std == pytest.approx(1, abs=0.2)


def test_no_data_gives_the_prior(oracle):
    app = oracle.app(
        weights=np.zeros((SIZE, SIZE), np.float32), y=0 * oracle.y, num_samples=64
    )
    x = app.run()
    assert app.evaluations == 60
    prior_std = np.sqrt(np.diag(oracle.cov))
    assert np.sqrt(x.var(axis=0).mean() / (prior_std**2).mean()) == pytest.approx(
        1, abs=0.06
    )
    error = np.linalg.norm(x.mean(axis=0) - oracle.mean)
    assert error < 1.5 * np.sqrt((prior_std**2).sum() / 64)


def test_everything_sampled_has_the_noise_of_the_data():
    full = Oracle(np.ones((SIZE, SIZE), np.float32))
    mean, std = full.score(full.app(num_samples=32).run())
    assert mean < 1.3
    assert std == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("sigma", [None, 0.5, 0.1])
def test_mode_weights_of_a_mixture(sigma):
    """Luo's bivariate example, without data and with their weighted sum."""
    means = np.array([[[1.0, 1.0]], [[-1.0, 1.2]], [[0.2, -1.2]]])
    weights = np.array([0.7, 0.2, 0.1])
    prior = GaussianMixturePrior(weights, means, covs=[0.01 * np.eye(2)] * 3)
    row = np.array([[0.4, 0.2]]) if sigma else np.zeros((1, 2))
    A = sp.linop.Sum((1, 2), (1,)) * sp.linop.Multiply((1, 2), row)
    y = A(np.array([[0.3, 0.9]], complex))
    if sigma:
        gap = np.array([np.abs(y - A(m.astype(complex))) ** 2 for m in means]).ravel()
        weights = weights * np.exp(-gap / (sigma**2 + 0.01 * (row**2).sum()))
        weights /= weights.sum()
    app = PosteriorSampling.from_linop(
        A,
        y,
        prior,
        sigma or 0.0,
        num_samples=1000,
        scale=1.0,
        chunk_size=1000,
        show_pbar=False,
    )
    x = app.run()
    gap = (np.abs(x[:, None] - means) ** 2).sum(axis=(2, 3))
    shares = np.bincount(gap.argmin(axis=1), minlength=3) / len(x)
    np.testing.assert_allclose(shares, weights, atol=0.035)
    assert app.evaluations <= 60
    if sigma:
        # Within the first mode: the exact Gaussian posterior.
        gain = 0.01 * row.ravel() / (sigma**2 + 0.01 * (row**2).sum())
        inside = x[gap.argmin(axis=1) == 0][:, 0]
        expected = means[0, 0] + gain * (y - A(means[0].astype(complex)))
        np.testing.assert_allclose(inside.mean(axis=0), expected, atol=0.02)
        var = 0.01 - 0.01 * gain * row.ravel()
        np.testing.assert_allclose(inside.var(axis=0), var, rtol=0.25)


def test_evidence_is_that_of_the_gaussian(oracle):
    """log CN(y; A D, A V A^H + sigma^2), up to one constant for all samples."""
    rng = np.random.default_rng(0)
    half = complex_normal(rng, (6, 6))
    cov = half @ half.conj().T
    row = complex_normal(rng, (2, 6))
    A = sp.linop.Reshape((2,), (2, 1)) * sp.linop.MatMul((6, 1), row)
    A = A * sp.linop.Reshape((6, 1), (2, 3))
    data = Problem(A, complex_normal(rng, (2,)), 0.3)
    mean = complex_normal(rng, (5, 2, 3))
    space = Subspace(data)
    for v in directions(data):
        v = np.broadcast_to(v, mean.shape)
        space.add(v, (v.reshape(5, 6) @ cov.T).reshape(mean.shape))
    found = space.log_evidence(mean, -data.gradient(mean) / 0.3**2).ravel()
    total = row @ cov @ row.conj().T + 0.09 * np.eye(2)
    gap = data.y - data.forward(mean)
    exact = -np.einsum("ni,ij,nj->n", gap.conj(), np.linalg.inv(total), gap).real
    exact -= np.log(np.linalg.det(total).real) - 2 * np.log(0.09)
    np.testing.assert_allclose(found, exact, rtol=1e-4)
