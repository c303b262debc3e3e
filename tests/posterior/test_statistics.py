import numpy as np
import pytest
from sampling_oracle import complex_normal

from sigpy_priors.posterior import calibration, statistics


def test_online_moments_are_those_of_all_samples():
    x = complex_normal(np.random.default_rng(0), (50, 3, 4)) + 1000
    moments = statistics.OnlineMoments()
    for a, b in ((0, 1), (1, 20), (20, 50)):
        moments.update(x[a:b])
    np.testing.assert_allclose(moments.mean, x.mean(axis=0))
    np.testing.assert_allclose(moments.std, x.std(axis=0, ddof=1))
    other = statistics.OnlineMoments()
    other.restore(moments.state())
    np.testing.assert_array_equal(other.std, moments.std)


def test_interval_covers_a_further_sample():
    rng = np.random.default_rng(0)
    x = complex_normal(rng, (39, 40000))
    new = complex_normal(rng, (40000,))
    for part, f in (("magnitude", np.abs), ("real", np.real), ("imag", np.imag)):
        low, high = statistics.interval(x, 0.9, part)
        inside = (low <= f(new)) & (f(new) <= high)
        assert inside.mean() == pytest.approx(0.9, abs=0.01)
    for level in (0, 1, 1.5):
        with pytest.raises(ValueError, match="level"):
            statistics.interval(x, level)
    with pytest.raises(ValueError, match="part"):
        statistics.interval(x, 0.9, "phase")


def test_hallucination_map_is_signed_distance_from_the_interval():
    x = np.arange(1.0, 100)[:, None, None] * np.ones((1, 1, 3))
    image = np.array([[50.0, 120, 1]])
    found = statistics.hallucination_map(x, image, 0.9)
    np.testing.assert_allclose(found, [[0, 25, -4]])
    with pytest.raises(ValueError, match="expected shape"):
        statistics.hallucination_map(x, image.T)


def test_rhat_and_ess_tell_good_chains_from_bad():
    rng = np.random.default_rng(0)
    good = rng.standard_normal((4, 500))
    assert statistics.split_rhat(good) == pytest.approx(1, abs=0.01)
    assert statistics.effective_sample_size(good) > 1500
    apart = good + 3 * np.arange(4)[:, None]
    assert statistics.split_rhat(apart) > 2
    slow = np.zeros((4, 500))
    for t in range(1, 500):
        slow[:, t] = 0.9 * slow[:, t - 1] + rng.standard_normal(4)
    # (1 - 0.9) / (1 + 0.9) of 2000
    assert 60 < statistics.effective_sample_size(slow) < 200
    assert statistics.split_rhat(np.ones((2, 8))) == 1
    with pytest.raises(ValueError, match="expected shape"):
        statistics.split_rhat(good[:, :3])


def test_nan_guard_counts_samples():
    x = np.zeros((3, 2, 2))
    statistics.check_finite(x)
    x[1, 0, 0] = np.inf
    with pytest.raises(FloatingPointError, match="1 of 3 samples"):
        statistics.check_finite(x)


def problems(rng, count, factor, draws=99, n=400):
    """Truth and posterior of scaled images; ``factor`` too wide a posterior."""
    mean = 5 + complex_normal(rng, (count, n))
    truth = mean + complex_normal(rng, (count, n))
    samples = mean[:, None] + factor * complex_normal(rng, (count, draws, n))
    return samples, truth


def test_coverage_curve_of_right_and_narrow_posteriors():
    rng = np.random.default_rng(0)
    levels, found = calibration.coverage_curve(*problems(rng, 10, 1))
    np.testing.assert_allclose(found, levels, atol=0.03)
    levels, found = calibration.coverage_curve(*problems(rng, 10, 0.5))
    assert (found < levels - 0.03).all()
    with pytest.raises(ValueError, match="at least one"):
        calibration.coverage_curve([], [])


def test_conformal_interval_repairs_coverage_on_other_images():
    rng = np.random.default_rng(0)
    for factor in (0.4, 2):
        fitted = calibration.ConformalInterval(0.9).fit(*problems(rng, 10, factor))
        samples, truth = problems(rng, 10, factor)
        inside = [
            np.mean((low <= abs(t)) & (abs(t) <= high))
            for s, t in zip(samples, truth)
            for low, high in [fitted(s)]
        ]
        assert np.mean(inside) == pytest.approx(0.9, abs=0.02)
        assert (fitted.factor > 1) == (factor < 1)
    safe = calibration.ConformalInterval(0.9).fit(*problems(rng, 10, 0.4), risk=0.1)
    assert safe.factor > 0
    with pytest.raises(ValueError, match="at least 19"):
        calibration.ConformalInterval(0.9).fit(*problems(rng, 10, 1), risk=0.05)
    with pytest.raises(ValueError, match="not fitted"):
        calibration.ConformalInterval(0.9)(samples[0])


def test_tarp_tells_right_from_narrow_and_wide():
    rng = np.random.default_rng(0)
    levels, right = calibration.tarp(*problems(rng, 400, 1, n=10))
    assert np.abs(right - levels).max() < 0.1
    for factor in (0.4, 2.5):
        levels, wrong = calibration.tarp(*problems(rng, 400, factor, n=10))
        assert np.abs(wrong - levels).max() > 0.15


def test_tarp_and_coverage_of_the_default_method(oracle):
    """Truths from the exact posterior are exchangeable with its samples."""
    samples = oracle.app(num_samples=39, chunk_size=39).run()
    truth = oracle.draw(100, 5)
    low, high = statistics.interval(samples, 0.8, "imag")
    inside = (low <= truth.imag) & (truth.imag <= high)
    assert inside.mean() == pytest.approx(0.8, abs=0.03)
    levels, found = calibration.tarp(
        np.broadcast_to(samples, (100,) + samples.shape), truth
    )
    assert np.abs(found - levels).max() < 0.2


def test_draws_that_are_not_finite_have_not_converged(rng):
    chains = rng.standard_normal((2, 8, 3))
    chains[0, 3, 1] = np.nan
    for measure in (statistics.split_rhat, statistics.effective_sample_size):
        value = measure(chains)
        assert np.isnan(value[1]) and np.isfinite(value[[0, 2]]).all()


def test_calibration_refuses_what_does_not_fit(rng):
    samples = rng.standard_normal((6, 8, 8)) + 0j
    reference, fit = samples[0], calibration.ConformalInterval().fit
    for call, message in (
        (lambda: fit([samples], [reference * np.nan]), "reference has NaN"),
        (lambda: fit([samples, samples], [reference]), "as many samples as references"),
        (lambda: fit([samples], [reference], risk=0), "risk must be between 0 and 1"),
        (lambda: fit([samples], [reference], risk=2), "risk must be between 0 and 1"),
        (lambda: fit([samples], [reference], masks=[np.zeros((8, 8), bool)]), "mask: "),
        (lambda: calibration.coverage(samples * np.nan, reference), "samples has NaN"),
        (lambda: calibration.coverage(samples, reference[:4]), "reference: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
