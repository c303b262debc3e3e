"""Markov chains on the posterior of a density."""

import numpy as np
import pytest
import sigpy as sp
from sampling_oracle import NOISE, Oracle, complex_normal
from sigpy.mri import birdcage_maps
from sigpy.mri.linop import Sense

from sigpy_priors.app import PosteriorSampling
from sigpy_priors.priors.gaussian import GaussianMixturePrior

CHAINS = dict(method="hmc", chains=4, warmup=40)


@pytest.fixture(scope="module")
def oracle():
    return Oracle()


@pytest.fixture(scope="module")
def drawn(oracle):
    app = oracle.app(num_samples=64, max_gradients=4000, **CHAINS)
    app.run()
    return app


def test_mean_and_std_are_those_of_the_gaussian_posterior(oracle, drawn):
    """At 64 independent samples, within 1.1 of their Monte-Carlo error."""
    assert drawn.converged
    found = drawn.diagnostics()
    assert np.quantile(found["rhat"], 0.95) < 1.05 and np.median(found["ess"]) >= 64
    error, ratio = oracle.score(drawn.samples)
    assert error < 1.1 and 0.96 < ratio < 1.04


def test_intervals_cover_as_they_say(oracle, drawn):
    """Draws of the exact posterior are within the intervals of 0.9."""
    low, high = drawn.interval(0.9, "real")
    inside = (oracle.draw(400, 5).real >= low) & (oracle.draw(400, 5).real <= high)
    assert inside.mean() == pytest.approx(0.9, abs=0.02)


def test_a_mixture_has_its_modes_in_their_proportions():
    """Two images that the data hardly tell apart: exact by enumeration."""
    n, rng = 4, np.random.default_rng(3)
    means = np.stack([np.zeros((n, n)), np.zeros((n, n))]).astype(complex)
    means[0, 1, 1], means[1, 1, 1] = 0.35, -0.35
    cov = 0.04 * np.eye(n * n)
    prior = GaussianMixturePrior([0.3, 0.7], means, [cov, cov])
    mps = birdcage_maps((3, n, n)).astype(np.complex64)
    mps /= sp.rss(mps, axes=(0,))
    A, noise = Sense(mps), 0.6
    x = prior.sample(1, 1)[0]
    y = (A(x.astype(np.complex64)) + noise * complex_normal(rng, mps.shape)).astype(
        "c8"
    )
    # Every pixel on its own: A^H A = 1 for maps of unit root sum of squares.
    var = 1 / (1 / 0.04 + 1 / noise**2)
    seen = A.H(y)
    away = (np.abs(seen - means) ** 2).sum(axis=(1, 2)) / (0.04 + noise**2)
    weights = np.array([0.3, 0.7]) * np.exp(-(away - away.min()))
    weights /= weights.sum()
    centers = means + (seen - means) * 0.04 / (0.04 + noise**2)
    exact = np.tensordot(weights, centers, 1)
    app = PosteriorSampling(
        y, mps, prior, 400, noise_std=noise, scale=1.0, seed=2, show_pbar=False,
        max_gradients=4000, **CHAINS,
    )  # fmt: skip
    samples = app.run()
    spread = var + (weights[:, None, None] * np.abs(centers - exact) ** 2).sum(axis=0)
    floor = np.sqrt(spread.sum() / 400)
    assert np.linalg.norm(samples.mean(axis=0) - exact) < 1.5 * floor
    share = (samples[:, 1, 1].real > 0).mean()
    z = complex_normal(rng, (20000,)) * var**0.5
    which = rng.random(20000) < weights[0]
    true = (np.where(which, centers[0, 1, 1], centers[1, 1, 1]) + z).real > 0
    assert share == pytest.approx(true.mean(), abs=0.08)


def test_a_run_goes_on_bit_for_bit(oracle, tmp_path, monkeypatch):
    options = dict(num_samples=8, max_gradients=120, **CHAINS) | dict(warmup=6)
    with pytest.warns(UserWarning, match="hmc has not converged after .* gradients"):
        whole = oracle.app(**options).run()
    path = tmp_path / "chains.npz"

    from sigpy_priors.posterior.chains import Chains

    run_round, rounds = Chains.run_round, []

    def interrupted(self):
        rounds.append(0)
        if len(rounds) == 14:
            raise KeyboardInterrupt
        run_round(self)

    with monkeypatch.context() as patch:
        patch.setattr(Chains, "run_round", interrupted)
        with pytest.raises(KeyboardInterrupt):
            oracle.app(checkpoint=path, **options).run()
    with pytest.raises(ValueError, match="other data, prior or settings"):
        oracle.app(checkpoint=path, **options | dict(seed=7))
    app = oracle.app(checkpoint=path, **options)
    with pytest.warns(UserWarning, match="not converged"):
        again = app.run()
    np.testing.assert_array_equal(again, whole)
    finished = oracle.app(checkpoint=path, **options)
    np.testing.assert_array_equal(finished.run(), whole)


def test_units_do_not_matter(oracle):
    """The image's scale and the maps' are found; a network would see the same."""
    options = dict(num_samples=4, max_gradients=60, scale=None, **CHAINS)
    options |= dict(warmup=4)
    with pytest.warns(UserWarning, match="converged"):
        one = oracle.app(**options).run()
        y, mps = 100 * oracle.y, 0.1 * oracle.mps
        other = oracle.app(y=y, mps=mps, noise_std=100 * NOISE, **options).run()
    assert np.linalg.norm(other / 1000 - one) < 0.02 * np.linalg.norm(one)


def test_nothing_is_claimed_where_there_are_no_data(oracle):
    mps = oracle.mps.copy()
    mps[:, :4] = 0
    with pytest.warns(UserWarning, match="converged"):
        app = oracle.app(mps=mps, num_samples=8, max_gradients=60, **CHAINS)
        samples = app.run()
    assert not samples[:, :4].any() and samples[:, 4:].any()
    assert np.isnan(app.diagnostics()["rhat"][:4]).all()


def test_a_network_density(density):
    """Its own method by default; the batch of chains goes through it as one."""
    rng = np.random.default_rng(0)
    mps = birdcage_maps((2, 8, 8)).astype(np.complex64)
    y = Sense(mps)(0.5 * np.ones((8, 8), np.complex64)) + 0.05 * complex_normal(
        rng, mps.shape
    )
    with pytest.warns(UserWarning, match="converged"):
        app = PosteriorSampling(
            y.astype("c8"), mps, density, 6, noise_std=0.05, show_pbar=False,
            chains=3, warmup=5, max_gradients=40,
        )  # fmt: skip
        samples = app.run()
    assert app.method == "hmc" and samples.shape == (6, 8, 8)
    assert np.isfinite(app.std).all() and app.std.max() > 0
    assert app.evaluations > 0


def test_what_does_not_fit_is_named(oracle, density, smooth_prior):
    with pytest.raises(ValueError, match="'mmps' samples a DenoiserPrior.*'hmc'"):
        oracle.app(prior=density, method="mmps")
    with pytest.raises(ValueError, match="hmc has no option steps; it has chains"):
        oracle.app(prior=density, steps=4)
    with pytest.raises(ValueError, match="chains"):
        oracle.app(prior=density, chains=1)
    with pytest.raises(ValueError, match="no data"):
        oracle.app(prior=density, y=0 * oracle.y)
