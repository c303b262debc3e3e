"""The oracle itself: closed forms against autodiff, sampling and each other."""

import numpy as np
import pytest
import sigpy as sp
import torch

from sigpy_priors.priors.gaussian import GaussianMixturePrior, GaussianPrior
from sigpy_priors.testing import check_prior

SHAPE = (4, 3)


def random_cov(rng, n=12):
    b = rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))
    return b @ b.conj().T / n


@pytest.fixture
def dense(rng):
    mean = rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE)
    return GaussianPrior(mean, cov=random_cov(rng))


@pytest.fixture
def mixture(rng):
    means = rng.standard_normal((3, *SHAPE)) + 0j
    return GaussianMixturePrior([0.5, 0.3, 0.2], means, [random_cov(rng)] * 3)


@pytest.mark.parametrize("which", ["dense", "mixture"])
def test_contract(which, request):
    check_prior(request.getfixturevalue(which), SHAPE, sigma=0.4)


@pytest.mark.parametrize("which", ["dense", "mixture"])
def test_score_is_the_derivative_of_log_prob(which, request, rng):
    prior = request.getfixturevalue(which)
    x = torch.from_numpy(rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE))
    x.requires_grad_(True)
    # torch's gradient of a real function is 2 d/d conj(x), twice the score.
    (grad,) = torch.autograd.grad(prior.log_prob(x, 0.7), x)
    x = x.detach()
    torch.testing.assert_close(prior.score(x, 0.7), grad / 2)
    torch.testing.assert_close(prior.grad_log_prob(x, 0.7), grad)


def test_density_integrates_to_one():
    # One pixel: a complex plane, on a grid.
    prior = GaussianMixturePrior([0.6, 0.4], [[[0.5]], [[-1j]]], [[[0.3]], [[0.1]]])
    t = np.linspace(-5, 5, 401)
    plane = (t[:, None] + 1j * t)[..., None, None]
    total = np.exp(prior.log_prob(plane)).sum() * (t[1] - t[0]) ** 2
    assert total == pytest.approx(1, abs=1e-6)


def test_denoiser_is_the_posterior_mean_by_sampling():
    prior = GaussianMixturePrior([0.7, 0.3], [[[1]], [[-1]]], [[[0.05]], [[0.05]]])
    sigma = 0.8
    x0 = prior.sample(400_000, seed=1)
    noisy = x0 + sigma * sp_randn(np.random.default_rng(2), x0.shape)
    near = np.abs(noisy - (0.2 + 0.1j))[:, 0, 0] < 0.1
    expected = x0[near].mean()
    found = prior.denoise(np.array([[0.2 + 0.1j]]), sigma)[0, 0]
    assert abs(found - expected) < 0.03


def sp_randn(rng, shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / 2**0.5


def test_spectrum_equals_its_dense_covariance(rng):
    spectrum = rng.random(SHAPE) + 0.1
    n = spectrum.size
    eye = np.eye(n, dtype=complex).reshape(n, *SHAPE)
    f = sp.fft(eye, axes=(-2, -1)).reshape(n, n).T
    cov = f.conj().T @ np.diag(spectrum.ravel()) @ f
    x = sp_randn(rng, SHAPE)
    mean = np.zeros(SHAPE)
    a = GaussianPrior(mean, spectrum=spectrum)
    b = GaussianPrior(mean, cov=cov)
    np.testing.assert_allclose(a.denoise(x, 0.3), b.denoise(x, 0.3), atol=1e-12)
    np.testing.assert_allclose(a.log_prob(x), b.log_prob(x))


def test_samples_have_mean_and_covariance(dense, rng):
    x = dense.sample(200_000, seed=3).reshape(-1, 12)
    comp = dense.components[0]
    mean = comp.mean.numpy().ravel()
    v = comp.modes.vectors.numpy()
    cov = v @ np.diag(comp.modes.values.numpy()) @ v.conj().T
    np.testing.assert_allclose(x.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(x.T), cov, atol=0.03)


def test_sigma_is_the_standard_deviation_of_complex_noise():
    # E|n|^2 = sigma^2: a unit prior and sigma = 1 share evenly.
    prior = GaussianPrior(np.zeros((2, 2)), spectrum=np.ones((2, 2)))
    x = np.ones((2, 2), complex)
    np.testing.assert_allclose(prior.denoise(x, 1.0), x / 2)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"cov": np.eye(5)}, r"expected shape \(12, 12\)"),
        ({"spectrum": np.ones((3, 4))}, "expected the image shape"),
        ({"spectrum": -np.ones(SHAPE)}, "eigenvalues >= 0"),
        ({"cov": np.triu(np.ones((12, 12)))}, "not Hermitian"),
        ({}, "either cov or spectrum"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        GaussianPrior(np.zeros(SHAPE), **kwargs)


def test_wrong_image_size(dense):
    with pytest.raises(ValueError, match=r"made for images \(4, 3\)"):
        dense.denoise(np.zeros((3, 4), complex), 0.1)
