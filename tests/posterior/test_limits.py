"""Each method in the limits in which its docstring says that it is exact.

The papers' defaults are far from them, which :mod:`test_oracle` allows; a wrong
factor, such as one of two in a noise, is caught here.
"""

import numpy as np
import pytest
import sigpy.mri as mr
from sampling_oracle import NOISE, SIZE, Oracle, complex_normal

from sigpy_priors.priors.gaussian import GaussianPrior


def posterior_of(prior_std, weights=None):
    """The oracle's scan with a white prior around zero."""
    oracle = Oracle(weights)
    oracle.mean, oracle.cov = 0 * oracle.mean, prior_std**2 * np.eye(SIZE**2)
    oracle.prior = GaussianPrior(oracle.mean, oracle.cov)
    noise = complex_normal(np.random.default_rng(5), oracle.mps.shape)
    x = oracle.prior.sample(1, 1)[0].astype(np.complex64)
    y = oracle.A(x) + NOISE * noise * np.sqrt(oracle.weights)
    oracle.y = y.astype(np.complex64)
    oracle.solve(oracle.A, oracle.y)
    return oracle


def noiseless_coil():
    """One coil, without noise: A A^H = 1 on the samples."""
    oracle = Oracle()
    oracle.mps = np.ones((1, SIZE, SIZE), np.complex64)
    oracle.A = mr.linop.Sense(oracle.mps, weights=oracle.weights)
    oracle.y = oracle.A(oracle.x).astype(np.complex64)
    sampled = oracle.weights.ravel() > 0
    eye = np.eye(SIZE**2, dtype=complex).reshape(-1, SIZE, SIZE)
    F = np.stack([oracle.A(e).ravel() for e in eye], 1)[sampled]
    gain = oracle.cov @ F.conj().T @ np.linalg.inv(F @ oracle.cov @ F.conj().T)
    gap = oracle.y.ravel()[sampled] - F @ oracle.mean.ravel()
    oracle.post_mean = oracle.mean + (gain @ gap).reshape(SIZE, SIZE)
    var = np.diag(oracle.cov - gain @ F @ oracle.cov).real.clip(0)
    oracle.post_std = np.sqrt(var).reshape(SIZE, SIZE)
    return oracle


def score(oracle, method, **options):
    app = oracle.app(method=method, chunk_size=64, **options)
    return oracle.score(app.run())


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("pc", {}),
        ("dps", {}),
        ("pigdm", {}),
        ("dds", {"eta": 1.0}),
        ("diffpir", {"zeta": 1e-9}),  # the ODE
        ("nila", {}),
    ],
)
def test_diffusions_without_data_draw_from_the_prior(oracle, method, options):
    free = Oracle()
    free.post_mean = free.mean
    free.post_std = np.sqrt(np.diag(free.cov).real).reshape(SIZE, SIZE)
    nothing = np.zeros((SIZE, SIZE), np.float32)
    mean, std = score(
        free, method, y=0 * free.y, weights=nothing, num_samples=64, steps=200,
        **options,
    )  # fmt: skip
    assert mean < 1.4
    assert std == pytest.approx(1, abs=0.06)


def test_ald_with_many_small_steps(oracle):
    mean, std = score(
        oracle, "ald", num_samples=32, sigma_max=1.0, steps=60, steps_per_level=40,
        step_size=0.3,
    )  # fmt: skip
    assert mean < 1.4
    assert std == pytest.approx(1, abs=0.06)


def test_pigdm_on_white_images():
    white = posterior_of(0.3)
    few, more = (
        score(white, "pigdm", num_samples=32, prior_std=0.3, steps=n) for n in (10, 50)
    )
    assert more[0] < 1.2
    assert more[1] == pytest.approx(1, abs=0.09)
    assert abs(more[1] - 1) < 0.6 * abs(few[1] - 1)


# Images of white noise, and noiseless data of few samples, are no MR images: the
# estimated noise level is far off, and the app says so.
@pytest.mark.filterwarnings("ignore:noise_std=")
def test_daps_where_the_prior_is_flat():
    """x_0 | x_k is then CN(x_k, sigma_k^2), as the method takes it to be."""
    weights = np.random.default_rng(3).uniform(0.3, 1, (SIZE, SIZE))
    weights = (weights / weights.mean()).astype(np.float32)
    flat = posterior_of(30.0, weights)
    y = flat.y / np.sqrt(weights)  # the app weighs it itself
    mean, std = score(flat, "daps", y=y, num_samples=64, sigma_max=1.0)
    assert mean < 1.2
    assert std == pytest.approx(1, abs=0.03)


@pytest.mark.filterwarnings("ignore:noise_std=")
def test_predictor_corrector_of_one_noiseless_coil():
    few, many = (
        score(noiseless_coil(), "pc", num_samples=16, noise_std=1e-3, steps=n)
        for n in (60, 800)
    )
    assert many[0] < 2.2
    assert many[1] == pytest.approx(1, abs=0.12)
    assert many[1] < few[1]


def test_split_gibbs_with_many_steps(oracle):
    """Of the default's budget it has neither; of thirty times that it has both."""
    app = oracle.app(
        num_samples=32, chunk_size=32, method="sgs", steps=60, prior_steps=30,
        sigma_max=1.0, sigma_min=0.01,
    )  # fmt: skip
    mean, std = oracle.score(app.run())
    assert mean < 1.4
    assert std == pytest.approx(1, abs=0.06)
