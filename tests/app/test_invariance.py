r"""What must not matter: units, phases and bases in which the same scan may come.

Of both apps: factors on k-space, maps and weights, the order and the basis of the
coils, coils of zeros and repeated ones, a common phase.
"""

import numpy as np
import pytest
import sigpy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sigpy.mri import birdcage_maps

from sigpy_priors.app import PosteriorSampling, PriorRecon
from sigpy_priors.priors.gaussian import GaussianPrior

N, COILS = 16, 4
SETTINGS = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
FACTORS = st.floats(-4, 4).map(lambda e: 10.0**e)
SEEDS = st.integers(0, 99)


def reconstructed(y, mps, prior, **options):
    return PriorRecon(y, mps, prior, show_pbar=False, **options).run()


def sampled(y, mps, prior, **options):
    """The mean, which has the units of the image as every sample has."""
    app = PosteriorSampling(
        y, mps, prior, 3, steps=4, seed=1, keep_samples=False, show_pbar=False,
        **options,
    )  # fmt: skip
    return app.run()


@pytest.fixture(params=[reconstructed, sampled])
def app(request):
    return request.param


@pytest.fixture(scope="module")
def prior():
    k = np.hypot(*np.mgrid[-8:8, -8:8])
    return GaussianPrior(np.zeros((N, N)), spectrum=1 / (1 + k**2))


def scan(prior, seed):
    """K-space of a draw of the prior, noise 0.05 of its level, and maps."""
    rng = np.random.default_rng(seed)
    mps = birdcage_maps((COILS, N, N))
    mask = rng.random((N, N)) < 0.6
    mask[4:12, 4:12] = True
    z = rng.normal(size=(COILS, N, N, 2)).view(complex)[..., 0]
    x = prior.sample(1, seed=seed)[0]
    return mask * (sp.fft(mps * x, axes=(-2, -1)) + 0.05 * z / 2**0.5), mps


def agree(a, b, tol=1e-4):
    assert np.linalg.norm(a - b) <= tol * np.linalg.norm(b)


@SETTINGS
@given(FACTORS, FACTORS, SEEDS)
def test_factors_on_kspace_and_maps(app, prior, of_data, of_maps, seed):
    y, mps = scan(prior, seed)
    image = app(of_data * y, of_maps * mps, prior)
    agree(of_maps / of_data * image, app(y, mps, prior))


@SETTINGS
@given(FACTORS, SEEDS)
def test_a_common_factor_on_weights(app, prior, factor, seed):
    y, mps = scan(prior, seed)
    weights = np.random.default_rng(seed).uniform(0.5, 2, (N, N))
    agree(
        app(y, mps, prior, weights=factor * weights),
        app(y, mps, prior, weights=weights),
    )


@SETTINGS
@given(st.permutations(range(COILS)), SEEDS)
def test_the_order_of_coils(prior, order, seed):
    y, mps = scan(prior, seed)
    order = list(order)
    agree(
        reconstructed(y[order], mps[order], prior, noise_std=0.05),
        reconstructed(y, mps, prior, noise_std=0.05),
    )


@SETTINGS
@given(SEEDS)
def test_the_basis_of_coils(prior, seed):
    """White noise is white in any; its estimate is of another draw of noise."""
    y, mps = scan(prior, seed)
    z = np.random.default_rng(seed).normal(size=(COILS, COILS, 2)).view(complex)
    q = np.linalg.qr(z[..., 0])[0]
    y2, mps2 = np.tensordot(q, y, 1), np.tensordot(q, mps, 1)
    agree(
        reconstructed(y2, mps2, prior, noise_std=0.05),
        reconstructed(y, mps, prior, noise_std=0.05),
    )
    agree(reconstructed(y2, mps2, prior), reconstructed(y, mps, prior), 0.02)


@SETTINGS
@given(st.integers(1, 6), SEEDS)
def test_coils_of_zeros(app, prior, count, seed):
    y, mps = scan(prior, seed)
    zeros = np.zeros((count, N, N), complex)
    more = [np.concatenate([zeros[:1], a, zeros[1:]]) for a in (y, mps)]
    agree(app(*more, prior), app(y, mps, prior))


@SETTINGS
@given(st.sampled_from([1, -2, 0.3j]), SEEDS)
def test_repeated_coils(app, prior, factor, seed):
    y, mps = scan(prior, seed)
    more = [np.concatenate([a, factor * a[1:3]]) for a in (y, mps)]
    agree(app(*more, prior), app(y, mps, prior))


@SETTINGS
@given(st.floats(-3, 3), SEEDS)
def test_a_common_phase_of_the_maps(prior, phase, seed):
    y, mps = scan(prior, seed)
    turn = np.exp(1j * phase)
    agree(reconstructed(y, turn * mps, prior), reconstructed(y, mps, prior) / turn)


@SETTINGS
@given(st.floats(0.01, 1), SEEDS)
def test_coils_whose_noise_is_known(app, prior, loud, seed):
    """A covariance says the same as the whitened data."""
    y, mps = scan(prior, seed)
    rng = np.random.default_rng(seed)
    root = np.eye(COILS) + 0.5 * rng.normal(size=(COILS, COILS))
    root[0] *= loud
    y2, mps2 = np.tensordot(root, y, 1), np.tensordot(root, mps, 1)
    covariance = root @ root.T * 0.05**2
    agree(
        app(y2, mps2, prior, noise=covariance),
        app(y, mps, prior, noise=0.05 * np.ones(COILS)),
        1e-2,
    )
