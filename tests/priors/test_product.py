"""Products of priors: exact for densities, stated for denoisers."""

import numpy as np
import pytest
import sigpy as sp

import sigpy_priors as spp
from sigpy_priors.testing import check_prior

SHAPE = (6, 4)


def random(rng, shape):
    z = rng.standard_normal((2, *shape))
    return z[0] + 1j * z[1]


@pytest.fixture
def gaussians(rng):
    return [
        spp.GaussianPrior(random(rng, SHAPE), spectrum=rng.random(SHAPE) + 0.2)
        for _ in range(2)
    ]


def test_contract(gaussians):
    check_prior(spp.Product(gaussians, [0.5, 0.5]), SHAPE)


def test_the_product_of_gaussians_is_one(gaussians, rng):
    """Precisions add, and so do precision times mean."""
    w = (0.7, 1.6)
    spectra = [g.components[0].modes.values.numpy().reshape(SHAPE) for g in gaussians]
    means = [sp.fft(g.components[0].mean.numpy()) for g in gaussians]
    precision = sum(a / s for a, s in zip(w, spectra))
    mean = sum(a * m / s for a, m, s in zip(w, means, spectra)) / precision
    expected = spp.GaussianPrior(sp.ifft(mean), spectrum=1 / precision)
    product = spp.Product(gaussians, w)
    x = random(rng, (4, *SHAPE))
    np.testing.assert_allclose(
        np.diff(product.log_prob(x)), np.diff(expected.log_prob(x))
    )
    np.testing.assert_allclose(product.grad_log_prob(x), expected.grad_log_prob(x))
    # As denoisers: the sum of scores, which is that of the product without noise.
    errors = []
    for sigma in (1e-3, 1.0):
        score = expected.score(x, sigma)
        gap = np.linalg.norm(product.score(x, sigma) - score)
        errors.append(gap / np.linalg.norm(score))
    assert errors[0] < 1e-5 and errors[1] > 0.05


def test_a_power_of_one_denoiser_and_means_of_several(gaussians, rng):
    x = random(rng, SHAPE)
    one = gaussians[0].denoise(x, 0.4)
    twice = spp.Product([gaussians[0]] * 2, [0.25, 0.75])
    np.testing.assert_allclose(twice.denoise(x, 0.4), one)
    half = spp.Product(gaussians, [0.5, 0.5]).denoise(x, 0.4)
    np.testing.assert_allclose(half, (one + gaussians[1].denoise(x, 0.4)) / 2)


def test_levels_that_all_know(gaussians):
    a, b = gaussians
    a.sigma_range, b.sigma_range = (0.1, 3.0), (0.01, 2.0)
    assert spp.Product([a, b]).sigma_range == (0.1, 2.0)
    with pytest.raises(ValueError, match="between 0 and 2"):
        spp.Product([a, b]).denoise(np.ones(SHAPE, complex), 2.5)


def test_the_kind_is_that_of_all(gaussians, density, brain):
    both = spp.Product(gaussians)
    assert isinstance(both, spp.DenoiserPrior) and isinstance(both, spp.DensityPrior)
    only = spp.Product([gaussians[0], density])
    assert not isinstance(only, spp.DenoiserPrior)
    assert not isinstance(spp.Product([gaussians[0], brain]), spp.DensityPrior)
    with pytest.raises(TypeError, match="up to a factor only"):
        only.bits_per_dim(np.ones((2, *SHAPE), complex))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda g: spp.Product([]), "one or more"),
        (lambda g: spp.Product(g, [1.0]), "expected 2, one for each"),
        (lambda g: spp.Product(g, [1.0, 0.0]), "weights must be > 0"),
        (lambda g: spp.Product([g[0], "brain"]), "prior: expected"),
        (
            lambda g: spp.Product(
                [g[0], spp.Lifted(g[1], sp.linop.FFT((2, *SHAPE), axes=(1, 2)))]
            ),
            "same number of axes",
        ),
        (
            lambda g: spp.Product(
                [g[0], spp.GaussianPrior(np.zeros((2, 2)), np.eye(4))]
            ),
            "one shape",
        ),
    ],
)
def test_bad_arguments(make, message, gaussians):
    with pytest.raises(ValueError, match=message):
        make(gaussians)
