"""PriorRecon with lifted priors, products, and SigPy's own proxes beside a prior."""

import numpy as np
import pytest
import sigpy as sp
from sigpy.mri.linop import Sense

import sigpy_priors as spp
from sigpy_priors import linop
from sigpy_priors.app.recon import PriorRecon
from sigpy_priors.app.solvers import HQS
from sigpy_priors.scan.problem import Problem

SHAPE = (16, 12)
SIGMA = 0.05
FINE = HQS(cg_tol=1e-4, cg_iter=300)


def gaussian(power):
    k = np.hypot(*np.meshgrid(*[np.arange(n) - n // 2 for n in SHAPE], indexing="ij"))
    return spp.GaussianPrior(np.zeros(SHAPE), spectrum=1 / (1 + k) ** power)


@pytest.fixture
def case(rng):
    """K-space, maps, and the normal operator as a matrix."""
    mps = sp.mri.birdcage_maps((4, *SHAPE)).astype(complex)
    A = Sense(mps, weights=(rng.random(SHAPE) < 0.6) * 1.0)
    y = A(gaussian(2).sample(1, seed=5)[0])
    z = rng.standard_normal((2, *y.shape))
    y = (y + SIGMA * (z[0] + 1j * z[1]) / 2**0.5) * (y != 0)
    return y, mps, matrix(A.N), A.H(y)


def matrix(operator):
    eye = np.eye(int(np.prod(SHAPE)), dtype=complex).reshape(-1, *SHAPE)
    return np.stack([operator(e).ravel() for e in eye], 1)


def close(x, expected, tol):
    return np.linalg.norm(x - expected) < tol * np.linalg.norm(expected)


SOLVERS = [
    (FINE, 40, 3e-3),
    ("ADMM", 60, 1e-2),
    ("PrimalDualHybridGradient", 300, 5e-2),
]


@pytest.mark.parametrize("solver, max_iter, tol", SOLVERS)
@pytest.mark.parametrize(
    "W",
    [
        linop.KspaceRamp(SHAPE, 0.5),
        sp.linop.FFT(SHAPE) * linop.KspaceRamp(SHAPE, 0.5),
        linop.Copies(SHAPE, 2),
    ],
    ids=["ramp", "ramp to k-space", "copies"],
)
def test_a_lifted_gaussian_is_solved_exactly(case, W, solver, max_iter, tol):
    y, mps, data, AHy = case
    prior = spp.Lifted(gaussian(1), W)
    app = PriorRecon(
        y, mps, prior, noise_std=SIGMA, solver=solver, max_iter=max_iter,
        show_pbar=False,
    )  # fmt: skip
    lamda = app.regularizer.lamda / app.scale**2
    energy = matrix(lambda e: -lamda * prior.grad_log_prob(e))
    expected = np.linalg.solve(data + energy, AHy.ravel()).reshape(SHAPE)
    assert close(app.run(), expected, tol)


@pytest.mark.parametrize("solver, max_iter, tol", SOLVERS)
def test_a_product_is_solved_exactly(case, solver, max_iter, tol):
    y, mps, data, AHy = case
    prior = spp.Product([gaussian(2), gaussian(1)], [0.6, 1.3])
    app = PriorRecon(
        y, mps, prior, noise_std=SIGMA, solver=solver, max_iter=max_iter,
        show_pbar=False,
    )  # fmt: skip
    lamda = app.regularizer.lamda / app.scale**2
    energy = matrix(lambda e: -lamda * prior.grad_log_prob(e))
    expected = np.linalg.solve(data + energy, AHy.ravel()).reshape(SHAPE)
    assert close(app.run(), expected, tol)


@pytest.mark.parametrize("solver, max_iter, tol", SOLVERS)
def test_a_sigpy_prox_keeps_its_parameter(case, solver, max_iter, tol):
    """L2Reg beside a Gaussian: a sum of quadratics, whatever the levels are."""
    y, mps, data, AHy = case
    prior, D = gaussian(2), sp.linop.FiniteDifference(SHAPE)
    app = PriorRecon(
        y, mps, [prior, (sp.prox.L2Reg(D.oshape, 0.02), D), sp.prox.L2Reg(SHAPE, 0.01)],
        noise_std=SIGMA, solver=solver, max_iter=max_iter, show_pbar=False,
    )  # fmt: skip
    lamda = app.regularizer.lamda / app.scale**2
    energy = matrix(
        lambda e: -lamda * prior.grad_log_prob(e) + 0.02 * D.N(e) + 0.01 * e
    )
    expected = np.linalg.solve(data + energy, AHy.ravel()).reshape(SHAPE)
    assert close(app.run(), expected, tol)


def test_wavelets_beside_a_prior_reach_the_minimum(case):
    """Two solvers, whose steps have nothing in common, find one image."""
    y, mps, *_ = case
    wave = sp.linop.Wavelet(SHAPE, wave_name="haar")
    prox = sp.prox.UnitaryTransform(sp.prox.L1Reg(wave.oshape, 0.02), wave)
    images = [
        PriorRecon(
            y, mps, [gaussian(2), prox], noise_std=SIGMA, solver=solver,
            max_iter=max_iter, show_pbar=False,
        ).run()
        for solver, max_iter in ((FINE, 60), ("ADMM", 120))
    ]  # fmt: skip
    assert close(images[0], images[1], 1e-2)
    plain = PriorRecon(y, mps, gaussian(2), noise_std=SIGMA, show_pbar=False).run()
    assert not close(images[1], plain, 5e-2)


@pytest.mark.parametrize("solver", [None, "ADMM"])
def test_levels_end_where_the_prior_does(case, solver):
    """Whether it is alone, or shares its copy with a prox of SigPy."""
    y, mps, *_ = case

    class Short(spp.DenoiserPrior):
        sigma_range = (0.01, 0.3)

        def _denoise(self, x, sigma):
            return x / (1 + sigma.max() ** 2)

    highest = [
        PriorRecon(
            y, mps, prior, noise_std=SIGMA, solver=solver, show_pbar=False
        ).regularizer.highest
        for prior in (Short(), [Short(), sp.prox.L2Reg(SHAPE, 0.01)])
    ]  # fmt: skip
    assert highest == [0.3, 0.3]


def test_a_density_beside_a_denoiser(case):
    class Only(spp.DensityPrior):
        def log_prob(self, x):
            return gaussian(1).log_prob(x)

        def grad_log_prob(self, x):
            return gaussian(1).grad_log_prob(x)

    y, mps, *_ = case
    options = {"noise_std": SIGMA, "solver": FINE, "max_iter": 40, "show_pbar": False}
    both = [gaussian(2), gaussian(1)]
    expected = PriorRecon(y, mps, both, **options).run()
    mixed = PriorRecon(y, mps, [both[0], Only()], **options).run()
    assert close(mixed, expected, 1e-2)


def test_units_do_not_matter(case):
    y, mps, *_ = case
    W = linop.KspaceRamp(SHAPE)
    prior = [gaussian(2), spp.Lifted(gaussian(1), W)]
    x = PriorRecon(y, mps, prior, noise_std=SIGMA, show_pbar=False).run()
    other = PriorRecon(
        7 * y, 3 * mps, prior, noise_std=7 * SIGMA, show_pbar=False
    ).run()
    assert close(3 * other / 7, x, 1e-5)


def test_a_list_of_one_prior_is_that_prior(case):
    y, mps, *_ = case
    x, one = (
        PriorRecon(y, mps, p, noise_std=SIGMA, show_pbar=False).run()
        for p in (gaussian(2), [gaussian(2)])
    )
    np.testing.assert_array_equal(x, one)


def test_the_objective_has_all_densities(case):
    y, mps, *_ = case
    priors = [gaussian(2), spp.Lifted(gaussian(1), linop.Copies(SHAPE, 2))]
    app = PriorRecon(
        y, mps, priors, noise_std=SIGMA, solver=FINE, max_iter=3, show_pbar=False,
        save_objective_values=True,
    )  # fmt: skip
    x = app.run()
    lamda = app.regularizer.lamda
    expected = -lamda * sum(p.log_prob(x / app.scale) for p in priors)
    assert app.prior_values[-1] == pytest.approx(expected)


@pytest.mark.parametrize(
    "prior, solver, message",
    [
        ([], None, "a list with a learned prior"),
        ([sp.prox.NoOp(SHAPE)], None, "a list with a learned prior"),
        ([gaussian(1), "wavelet"], None, "expected priors, sigpy proximal"),
        ([gaussian(1), sp.prox.NoOp((3, 3))], None, r"of arrays \(3, 3\), expected"),
        ([gaussian(1), gaussian(2)], "GradientMethod", "takes one prior, got a list"),
        (spp.Lifted(gaussian(1), linop.KspaceRamp(SHAPE)), "GradientMethod", "white"),
        (
            [gaussian(1), (sp.prox.NoOp((2, 3, 3)), linop.Copies((3, 3), 2))],
            None,
            r"is of images \(3, 3\), expected",
        ),
    ],
)
def test_bad_arguments(case, prior, solver, message):
    y, mps, *_ = case
    with pytest.raises(ValueError, match=message):
        PriorRecon(y, mps, prior, noise_std=SIGMA, solver=solver, show_pbar=False).run()


LIFTS = {
    "ramp": lambda: linop.KspaceRamp(SHAPE, 0.5),
    "copies": lambda: linop.Copies(SHAPE, 2),
    "haar": lambda: linop.UndecimatedWavelet(SHAPE),
    "patches": lambda: linop.Patches(SHAPE, 4, 2),
}


@pytest.mark.parametrize("name", LIFTS)
def test_a_lifted_problem_is_the_problem(case, name, rng):
    """The prior's precision in z, and the data's: back in x they are those of x."""
    y, mps, data, AHy = case
    W = LIFTS[name]()
    problem = Problem(Sense(mps, weights=(np.abs(y[0]) > 0) * 1.0), y, SIGMA)
    lifted = problem.lift(W)
    spp.testing.check_linop(lifted.A, dtype=complex)
    z = rng.standard_normal(W.oshape) + 0j
    np.testing.assert_allclose(lifted.normal(z), lifted.A.H(lifted.A(z)), atol=1e-9)
    x = rng.standard_normal(SHAPE) + 0j
    assert lifted.value(W(x)) == pytest.approx(problem.value(x))
    # Least squares towards W m with a small weight is that towards m, in W's norm.
    found = linop.frame.pseudo_inverse(W)(lifted.solve(0.5, lifted.AHy, None, 500))
    expected = problem.solve(0.5, problem.AHy, None, 500, G=W)
    assert close(found, expected, 1e-3)


def test_what_a_lift_may_not_lose(case):
    y, mps, *_ = case
    problem = Problem(Sense(mps), y, SIGMA)
    with pytest.raises(ValueError, match="loses .* of what the data see"):
        problem.lift(linop.Band(SHAPE, 3))
    with pytest.raises(ValueError, match="expected an operator from images"):
        problem.lift(linop.Copies((4, 4), 2))
