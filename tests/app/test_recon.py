"""PriorRecon against closed-form solutions, and as a drop-in for SigPy's apps."""

import numpy as np
import pytest
import sigpy as sp
import torch
from sigpy.mri.linop import Sense

from sigpy_priors.alg import HalfQuadraticSplitting
from sigpy_priors.app.recon import PriorRecon
from sigpy_priors.app.solvers import HQS
from sigpy_priors.priors.gaussian import GaussianPrior

SHAPE = (16, 12)
SIGMA = 0.05


def make_case(rng, dtype=np.complex128, coils=4):
    """Maps, mask, k-space of a draw from a smooth Gaussian prior, the prior."""
    k = np.hypot(*np.meshgrid(*[np.arange(n) - n // 2 for n in SHAPE], indexing="ij"))
    prior = GaussianPrior(np.zeros(SHAPE), spectrum=1 / (1 + k**2))
    mps = sp.mri.birdcage_maps((coils, *SHAPE)).astype(dtype)
    mask = rng.random(SHAPE) < 0.6
    A = Sense(mps, weights=mask * 1.0)
    x = prior.sample(1, seed=5)[0]
    y = A(x)
    n = rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape)
    y = ((y + SIGMA * n / 2**0.5) * mask).astype(dtype)
    return y, mps, mask, prior


@pytest.fixture
def case(rng):
    return make_case(rng)


def exact(y, mps, mask, prior, lamda, scale):
    """Minimiser of 1/2 |Ax - y|^2 - lamda log p(x / scale), by a dense solve."""
    A = Sense(mps, weights=mask * 1.0)
    eye = np.eye(np.prod(SHAPE), dtype=np.complex128).reshape(-1, *SHAPE)
    data = np.stack([A.N(e).ravel() for e in eye], axis=1)
    energy = np.stack([-lamda * prior.grad_log_prob(e).ravel() for e in eye], axis=1)
    rhs = A.H(y).ravel()
    return np.linalg.solve(data + energy / scale**2, rhs).reshape(SHAPE)


@pytest.mark.parametrize(
    "solver, max_iter, tol",
    [
        (HQS(cg_tol=1e-4, cg_iter=300), 40, 2e-3),
        ("ADMM", 300, 1e-5),
        ("GradientMethod", 500, 1e-5),
        ("PrimalDualHybridGradient", 2000, 1e-4),
    ],
)
def test_solvers_reach_the_closed_form(case, solver, max_iter, tol):
    y, mps, mask, prior = case
    app = PriorRecon(
        y,
        mps,
        prior,
        noise_std=SIGMA,
        solver=solver,
        max_iter=max_iter,
        show_pbar=False,
    )
    expected = exact(y, mps, mask, prior, app.proxg.lamda, app.scale)
    x = app.run()
    assert np.linalg.norm(x - expected) < tol * np.linalg.norm(expected)


def test_lamda_one_is_the_posterior_mean(case):
    """For a Gaussian the maximum of the posterior is its mean: textbook MMSE."""
    y, mps, mask, _ = case
    app = PriorRecon(
        y,
        mps,
        case[3],
        noise_std=SIGMA,
        solver="GradientMethod",
        max_iter=500,
        show_pbar=False,
    )
    x = app.run()
    A = Sense(mps, weights=mask * 1.0)
    eye = np.eye(np.prod(SHAPE), dtype=np.complex128).reshape(-1, *SHAPE)
    data = np.stack([A.N(e).ravel() for e in eye], axis=1) / SIGMA**2
    # The prior is one over images divided by the scale.
    cov = app.scale**2 * np.stack(
        [
            sp.ifft(
                case[3].components[0].modes.values.numpy().reshape(SHAPE) * sp.fft(e)
            ).ravel()
            for e in eye
        ],
        axis=1,
    )
    mean = np.linalg.solve(data + np.linalg.inv(cov), A.H(y).ravel() / SIGMA**2)
    np.testing.assert_allclose(x.ravel(), mean, atol=1e-4 * np.abs(mean).max())


def test_plain_splitting_with_constant_rho_is_admm(case):
    """The multiplier makes the limit independent of rho."""
    y, mps, mask, prior = case
    app = PriorRecon(y, mps, prior, noise_std=SIGMA, show_pbar=False)
    limits = []
    for rho in (0.02, 0.2):
        alg = HalfQuadraticSplitting(
            lambda a, z, x: app.problem.prox(a, z, x, 99, 1e-12),
            app.proxg,
            app.x.copy(),
            [rho] * 400,
        )
        while not alg.done():
            alg.update()
        limits.append(alg.x)
    np.testing.assert_allclose(*limits, atol=1e-6)


@pytest.mark.parametrize("c", [1e-6, 3e4])
def test_scale_equivariance(case, c):
    y, mps, _, prior = case
    one = PriorRecon(y, mps, prior, show_pbar=False).run()
    scaled = PriorRecon(c * y, mps, prior, show_pbar=False).run()
    np.testing.assert_allclose(scaled, c * one, rtol=1e-6, atol=c * 1e-8)


def test_global_phase(case):
    y, mps, _, prior = case
    phase = np.exp(2.1j)
    one = PriorRecon(y, mps, prior, show_pbar=False).run()
    turned = PriorRecon(phase * y, mps, prior, show_pbar=False).run()
    np.testing.assert_allclose(turned, phase * one, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_dtype_in_is_dtype_out(rng, dtype):
    y, mps, _, prior = make_case(rng, dtype)
    assert PriorRecon(y, mps, prior, show_pbar=False).run().dtype == dtype


def test_the_input_is_left_alone(case):
    y, mps, _, prior = case
    before = y.copy(), mps.copy()
    PriorRecon(y, mps, prior, show_pbar=False).run()
    np.testing.assert_array_equal(y, before[0])
    np.testing.assert_array_equal(mps, before[1])


def test_coil_batches_and_weights(case):
    y, mps, mask, prior = case
    plain = PriorRecon(y, mps, prior, show_pbar=False).run()
    for kwargs in ({"coil_batch_size": 2}, {"weights": mask * 1.0}):
        x = PriorRecon(y, mps, prior, show_pbar=False, **kwargs).run()
        np.testing.assert_allclose(x, plain, rtol=1e-6, atol=1e-9)


def test_single_coil(rng):
    y, _, mask, prior = make_case(rng, coils=1)
    mps = np.ones((1, *SHAPE), complex)
    assert np.isfinite(PriorRecon(y, mps, prior, show_pbar=False).run()).all()


@pytest.mark.parametrize("solver, atol", [("hqs", 1e-9), ("GradientMethod", 1e-4)])
def test_two_processes_share_the_coils(case, solver, atol):
    """Each process has half of the coils, here the same ones, and sums both."""
    y, mps, _, prior = case

    class Pair:
        rank, size = 0, 2

        def allreduce(self, x):
            x *= 2

    kwargs = {"noise_std": SIGMA, "solver": solver, "show_pbar": False}
    shared = PriorRecon(y, mps, prior, comm=Pair(), **kwargs).run()
    alone = PriorRecon(2**0.5 * y, 2**0.5 * mps, prior, **kwargs).run()
    np.testing.assert_allclose(shared, alone, atol=atol)


def test_non_cartesian(rng):
    _, mps, _, prior = make_case(rng)
    coord = (rng.random((400, 2)) - 0.5) * np.array(SHAPE)
    x0 = prior.sample(1, seed=5)[0]
    y = Sense(mps, coord=coord)(x0)
    # The signal reaches the edge of this k-space: the estimate is far too high.
    with pytest.warns(UserWarning, match="times the estimate"):
        app = PriorRecon(y, mps, prior, coord=coord, noise_std=1e-3, show_pbar=False)
    x = app.run()
    assert np.linalg.norm(x - x0) < 0.15 * np.linalg.norm(x0)


@pytest.mark.parametrize("solver", ["hqs", "ADMM"])
def test_progress_bar_and_time(case, solver, capsys):
    y, mps, _, prior = case
    app = PriorRecon(y, mps, prior, solver=solver, max_iter=3, show_pbar=True)
    app.run()
    assert "PriorRecon: 100%" in capsys.readouterr().err
    assert len(app.time) == 4


def test_objective_falls_to_its_minimum(case):
    y, mps, mask, prior = case
    app = PriorRecon(
        y,
        mps,
        prior,
        noise_std=SIGMA,
        solver="GradientMethod",
        max_iter=300,
        save_objective_values=True,
        show_pbar=False,
        accelerate=False,
    )
    app.run()
    values = np.array(app.objective_values)
    assert (np.diff(values) <= 1e-9 * abs(values[0])).all()
    A = Sense(mps, weights=mask * 1.0)
    best = exact(y, mps, mask, prior, app.proxg.lamda, app.scale)
    expected = 0.5 * np.linalg.norm(A(best) - y) ** 2
    expected -= app.proxg.lamda * prior.log_prob(best / app.scale)
    assert values[-1] == pytest.approx(expected, rel=1e-4)


def poison(value):
    def change(y, mps):
        y = y.copy()
        y[0, 0, 0] = value
        return y, mps

    return change


@pytest.mark.parametrize(
    "change, kwargs, message",
    [
        (poison(np.nan), {}, "y: 1 of .* NaN or infinite"),
        (poison(np.inf), {}, "y: 1 of .* NaN or infinite"),
        (lambda y, m: (0 * y, m), {}, "y: all values are zero"),
        (lambda y, m: (y, 0 * m), {}, "mps: all values are zero"),
        (lambda y, m: (y[:2], m), {}, "same shape"),
        (lambda y, m: (y[0], m[0]), {}, r"expected shape \(coils, H, W\)"),
        (
            lambda y, m: (torch.from_numpy(y), m),
            {},
            "y: expected a numpy or cupy array",
        ),
        (lambda y, m: (y.real, m), {}, "expected a complex array, got float64"),
        (lambda y, m: (y, m), {"coord": np.zeros((5, 3))}, "expected 2 coordinates"),
        (lambda y, m: (y, m), {"coord": np.zeros((5, 2))}, "y must have shape"),
        (lambda y, m: (y, m), {"weights": np.zeros(SHAPE)}, "all are zero"),
        (lambda y, m: (y, m), {"lamda": 0}, "lamda must be > 0"),
        (lambda y, m: (y, m), {"noise_std": -1}, "noise_std must be >= 0"),
        (lambda y, m: (y, m), {"solver": "fista"}, "solver must be one of"),
        (lambda y, m: (y, m), {"max_iter": 0}, "max_iter must be a whole number"),
    ],
)
def test_bad_input(case, change, kwargs, message):
    y, mps, _, prior = case
    with pytest.raises(ValueError, match=message):
        PriorRecon(*change(y, mps), prior, show_pbar=False, **kwargs)


def test_prior_of_the_wrong_kind(case):
    with pytest.raises(
        ValueError, match="expected a DenoiserPrior or DensityPrior, got str"
    ):
        PriorRecon(case[0], case[1], "brain", show_pbar=False)


def test_levels_rise_while_the_image_is_far_from_the_truth():
    """By doubling, at the start only, and not beyond the image itself."""
    hqs = HQS()
    level = hqs.levels(0.01, 10.0)
    assert level(None) == (hqs.first, False)
    assert level(0.9 * hqs.first)[0] == 2 * hqs.first
    assert level(0.9 * 2 * hqs.first)[0] == hqs.top
    assert level(0.9 * hqs.top)[0] < hqs.top
    level = hqs.levels(0.01, 10.0)
    level(None)
    fallen = level(0.1 * hqs.first)[0]
    assert fallen < hqs.first
    assert level(0.9 * fallen)[0] < fallen
    level = hqs.levels(0.01, 0.2)
    level(None)
    assert level(0.9 * hqs.first)[0] == 0.2
