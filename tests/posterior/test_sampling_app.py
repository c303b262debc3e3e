"""The App: seeds, chunks, interruption, inputs, errors."""

from dataclasses import replace

import numpy as np
import pytest
import sigpy as sp
import sigpy.mri as mr
from sampling_oracle import NOISE, SIZE

from sigpy_priors.app.sampling import PosteriorSampling
from sigpy_priors.posterior.samplers import METHODS

FAST = dict(steps=4, products=6)


def test_a_seed_gives_the_same_samples_in_any_chunks(oracle):
    one = oracle.app(num_samples=5, chunk_size=1, seed=3, **FAST).run()
    two = oracle.app(num_samples=5, chunk_size=3, seed=3, **FAST).run()
    other = oracle.app(num_samples=5, seed=4, **FAST).run()
    np.testing.assert_allclose(one, two, atol=2e-4 * np.abs(one).max())
    assert np.abs(one - other).max() > 1e-2
    assert np.abs(one[0] - one[1]).max() > 1e-2


@pytest.mark.parametrize("keep", [True, False])
def test_interrupted_run_keeps_chunks_and_goes_on(oracle, tmp_path, monkeypatch, keep):
    path = tmp_path / "s.npz"
    kwargs = dict(
        num_samples=4, chunk_size=1, checkpoint=path, keep_samples=keep, **FAST
    )
    whole = oracle.app(**kwargs | {"checkpoint": None}).run()
    calls, method = [], METHODS["mmps"]

    def stops(*args, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return method.function(*args, **options)

    app = oracle.app(**kwargs)
    monkeypatch.setitem(METHODS, "mmps", replace(method, function=stops))
    with pytest.raises(KeyboardInterrupt):
        app.run()
    assert len(app.draws) == 2
    monkeypatch.undo()
    again = oracle.app(**kwargs)
    assert len(again.draws) == 2
    np.testing.assert_array_equal(again.run(), whole)
    with pytest.raises(ValueError, match="other data, prior or settings"):
        oracle.app(**kwargs, seed=9)


def test_chunks_are_halved_when_memory_runs_out(oracle, monkeypatch):
    sizes, method = [], METHODS["mmps"]

    def limited(denoiser, data, noise, sigmas, **options):
        sizes.append(len(noise))
        if len(noise) > 2:
            raise MemoryError
        return method.function(denoiser, data, noise, sigmas, **options)

    kwargs = dict(num_samples=6, chunk_size=6, **FAST)
    expected = oracle.app(**kwargs).run()
    app = oracle.app(**kwargs)
    monkeypatch.setitem(METHODS, "mmps", replace(method, function=limited))
    x = app.run()
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(x, expected, atol=2e-4 * np.abs(x).max())


@pytest.mark.parametrize("method", METHODS)
def test_progress_counts_evaluations_and_ends_where_it_said(oracle, method, capsys):
    steps = 2 if method in ("daps", "sgs") else 3
    app = oracle.app(
        num_samples=3, chunk_size=1, method=method, steps=steps, show_pbar=True
    )
    app.run()
    total = 3 * METHODS[method].evaluations(steps)
    assert app.evaluations * 3 == total
    shown = capsys.readouterr().err
    assert f"0/{total} [" in shown and f"{total}/{total} [" in shown
    assert "0/3 samples" in shown and "3/3 samples" in shown
    # Finer than samples: the bar moved within the first one.
    if total > 60:
        assert len(shown.split("\r")) > 6


def test_complex128_in_complex128_out(oracle):
    x = oracle.app(y=oracle.y.astype(np.complex128), **FAST)
    assert x.run().dtype == np.complex128
    assert oracle.app(**FAST).run().dtype == np.complex64
    assert x.mmse.dtype == np.complex128


def test_any_linop_is_the_same_as_maps(oracle):
    A = mr.linop.Sense(oracle.mps, weights=oracle.weights)
    a = oracle.app(**FAST).run()
    b = PosteriorSampling.from_linop(
        A,
        oracle.y,
        oracle.prior,
        NOISE,
        num_samples=4,
        scale=1.0,
        show_pbar=False,
        **FAST,
    ).run()
    np.testing.assert_allclose(a, b, atol=2e-3 * np.abs(a).max())


def test_scale_and_units_of_the_data_do_not_matter(oracle):
    a = oracle.app(**FAST).run()
    b = oracle.app(y=100 * oracle.y, noise_std=100 * NOISE, scale=100.0, **FAST).run()
    np.testing.assert_allclose(b / 100, a, atol=1e-3 * np.abs(a).max())
    assert oracle.app(scale=None).scale == pytest.approx(
        oracle.app(scale=None, y=7 * oracle.y, noise_std=7 * NOISE).scale / 7, rel=1e-3
    )


def test_two_slices_of_sms(oracle):
    """Two slices of half the height, side by side, in one k-space."""
    n = SIZE
    split = sp.linop.Reshape((2, n // 2, n), (n, n))
    weighted = sp.linop.Multiply((2, n // 2, n), np.array([1, 1j]).reshape(2, 1, 1))
    A = (
        sp.linop.FFT((n // 2, n))
        * sp.linop.Sum((2, n // 2, n), (0,))
        * weighted
        * split
    )
    x = PosteriorSampling.from_linop(
        A, A(oracle.x), oracle.prior, NOISE, num_samples=2, show_pbar=False, **FAST
    ).run()
    assert np.linalg.norm(A(x[0]) - A(oracle.x)) < 0.2 * np.linalg.norm(A(oracle.x))


def test_a_wrong_noise_level_warns_with_the_estimate(oracle):
    estimate = oracle.app(noise_std=None).noise_std
    with pytest.warns(UserWarning, match=f"{estimate:g}"):
        oracle.app(noise_std=20 * estimate)


def test_one_sample_has_a_mean_but_no_std(oracle):
    app = oracle.app(num_samples=1, **FAST)
    x = app.run()
    np.testing.assert_allclose(app.mmse, x[0], rtol=1e-6)
    with pytest.raises(ValueError, match="at least 2 samples"):
        app.std
    with pytest.raises(ValueError, match="at least 2 samples"):
        app.interval()


def test_results_of_a_run(oracle):
    app = oracle.app(num_samples=12, chunk_size=5, **FAST)
    with pytest.raises(ValueError, match=r"call run\(\)"):
        app.mmse
    x = app.run()
    np.testing.assert_allclose(app.mmse, x.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(app.std, x.std(axis=0, ddof=1), rtol=1e-4)
    low, high = app.interval(0.5)
    assert (low <= high).all()
    wrong = app.mmse.copy()
    wrong[3, 4] += 10
    found = app.hallucination_map(wrong)
    assert found.argmax() == 3 * SIZE + 4 and (found >= 0).sum() > 200
    diagnostics = app.diagnostics()
    assert np.median(diagnostics["rhat"]) < 1.3
    assert diagnostics["ess"].shape == (SIZE, SIZE)
    lean = oracle.app(num_samples=12, chunk_size=5, keep_samples=False, **FAST)
    np.testing.assert_allclose(lean.run(), app.mmse, atol=1e-6)
    np.testing.assert_allclose(lean.std, app.std, rtol=1e-4)
    with pytest.raises(ValueError, match="keep_samples"):
        lean.interval()


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(num_samples=0), "num_samples must be a whole number"),
        (dict(steps=0), "steps must be a whole number"),
        (dict(chunk_size=0), "chunk_size must be a whole number"),
        (dict(method="magic"), "method must be one of mmps"),
        (dict(lamda=1), "mmps has no option lamda"),
        (dict(mps=None), "mps: expected a numpy or cupy array"),
        (dict(prior=3), "expected a DenoiserPrior"),
        (dict(noise_std=-1), "noise_std must be >= 0"),
        (dict(sigma_max=1e-5), "0 < sigma_min < sigma_max"),
        (dict(scale=0), "scale must be > 0"),
    ],
)
def test_bad_arguments_are_named(oracle, change, words):
    with pytest.raises(ValueError, match=words):
        oracle.app(**change)


def test_bad_data_are_named(oracle):
    bad = oracle.y.copy()
    bad[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="y: 1 of"):
        oracle.app(y=bad)
    with pytest.raises(ValueError, match="must have the same shape"):
        oracle.app(y=oracle.y[:2])
    with pytest.raises(ValueError, match="three_d=True"):
        oracle.app(y=oracle.y[None], mps=oracle.mps[None])
    with pytest.raises(ValueError, match="expected an operator"):
        PosteriorSampling.from_linop(oracle.A, oracle.y[:1], oracle.prior, 1.0)


def test_divergence_is_an_error(oracle):
    with pytest.raises(FloatingPointError, match="diverged"):
        with np.errstate(all="ignore"):
            oracle.app(method="ald", step_size=1e6, steps=30).run()
