"""Phases drawn from a complex prior, given magnitudes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import i0, i1

from sigpy_priors.app import Augment, PosteriorSampling
from sigpy_priors.posterior.samplers import Noise
from sigpy_priors.priors.gaussian import GaussianPrior
from sigpy_priors.scan.magnitude import MagnitudeTerm


def pair(rho):
    """Two pixels of unit variance and correlation rho."""
    return GaussianPrior(np.zeros((1, 2)), np.array([[1, rho], [rho, 1]]))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8, 0.95])
def test_the_phase_difference_is_von_mises(rho):
    """Of a Gaussian pair with known magnitudes, kappa = 2 m1 m2 rho / (1 - rho^2)."""
    m = np.array([[0.9, 0.7]])
    term = MagnitudeTerm(m, 1e-3)
    app = PosteriorSampling.of(
        term, pair(rho), 600, scale=1.0, seed=1, show_pbar=False, method="sgs", steps=30,
        sigma_max=4.0, sigma_min=0.1, prior_steps=8,
    )  # fmt: skip
    x = app.run()
    np.testing.assert_allclose(np.abs(x), np.broadcast_to(m, x.shape), atol=0.02)
    kappa = 2 * m[0, 0] * m[0, 1] * rho / (1 - rho**2)
    difference = np.exp(1j * np.angle(x[:, 0, 0] * x[:, 0, 1].conj()))
    exact = i1(kappa) / i0(kappa)
    assert abs(difference.mean() - exact) < 0.08
    common = np.exp(1j * np.angle(x[:, 0, 0]))
    assert abs(common.mean()) < 0.12  # of no preferred phase


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 20), st.integers(0, 99))
def test_prox_is_the_minimum(alpha, seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(3, 4, 2)).view(complex)[..., 0]
    term = MagnitudeTerm(rng.uniform(0, 2, (3, 4)), 0.1)

    def cost(x):
        return term.value(x) + np.linalg.norm(x - z) ** 2 / (2 * alpha)

    x = term.prox(alpha, z)
    for _ in range(10):
        other = x + 0.05 * rng.normal(size=(3, 4, 2)).view(complex)[..., 0]
        assert cost(x) <= cost(other) + 1e-9
    slope = term.gradient(x) + (x - z) / alpha
    assert np.abs(slope[np.abs(x) > 1e-6]).max() < 1e-6


@pytest.mark.parametrize("kappa", [0.1, 1.0, 5.0, 50.0])
def test_draw_is_von_mises_given_the_image(kappa):
    r = 0.5
    term = MagnitudeTerm(np.full((1, 1), 0.8), 1e-4)
    z = np.full((4000, 1, 1), kappa * r**2 / (2 * 0.8), complex)
    x = term.draw(z, r, Noise(0, range(4000), z))
    np.testing.assert_allclose(np.abs(x), 0.8, atol=1e-3)
    mean = (x / np.abs(x)).mean()
    assert abs(mean - i1(kappa) / i0(kappa)) < 0.04


def test_augment_keeps_magnitudes_and_draws_phases(smooth_prior):
    rng = np.random.default_rng(0)
    truth = smooth_prior.sample(3, 5)
    # At the scale at which priors are called: 1 is the brightest.
    v, u = np.mgrid[-8:8, -8:8]
    spectrum = 20 / (1 + u**2 + v**2) ** 1.5 / np.abs(truth).max() ** 2
    prior = GaussianPrior(np.zeros((16, 16)), spectrum=spectrum)
    m = 40 * np.abs(truth).astype(np.float32)
    x = Augment(m, prior, 2, seed=4, show_pbar=False).run()
    assert x.shape == (3, 2, 16, 16) and x.dtype == np.complex64
    np.testing.assert_allclose(np.abs(x), np.repeat(m[:, None], 2, 1), rtol=1e-5)
    assert np.abs(x[:, 0] - x[:, 1]).max() > 1
    alone = Augment(m[1], prior, 2, seed=5, show_pbar=False).run()
    np.testing.assert_allclose(alone, x[1], atol=1e-3)

    def roughness(v):
        """Mean phase step between neighbours, weighted by their magnitudes."""
        step = v[..., 1:] * v[..., :-1].conj()
        return (np.abs(np.angle(step)) * np.abs(step)).sum() / np.abs(step).sum()

    noise = m[0] * np.exp(2j * np.pi * rng.random(m[0].shape))
    assert roughness(x) < 0.6 * roughness(noise)
    # With an exact denoiser phases are as rough as they should be.
    options = dict(method="sgs", steps=20, sigma_max=4.0, sigma_min=0.05, prior_steps=6)
    x = Augment(m, prior, 2, show_pbar=False, **options).run()
    assert roughness(x) == pytest.approx(roughness(truth), rel=0.5)


def test_what_does_not_fit_is_named(smooth_prior):
    term = MagnitudeTerm(np.ones((16, 16)), 0.1)
    with pytest.raises(ValueError, match="'mmps' needs a linear operator.*diffpir or"):
        PosteriorSampling.of(term, smooth_prior, 2, method="mmps")
    with pytest.raises(ValueError, match="magnitude: expected real numbers >= 0"):
        MagnitudeTerm(-np.ones((4, 4)), 0.1)
    with pytest.raises(ValueError, match="magnitude"):
        MagnitudeTerm(np.ones((4, 4), complex), 0.1)
    with pytest.raises(ValueError, match="all values are zero"):
        Augment(np.zeros((16, 16)), smooth_prior, show_pbar=False).run()
    with pytest.raises(ValueError, match="magnitudes: expected an array"):
        Augment(np.zeros(4), smooth_prior)
    with pytest.raises(ValueError, match="num_samples"):
        Augment(np.ones((16, 16)), smooth_prior, num_samples=0)
