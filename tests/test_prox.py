"""DenoiserReg is a proximal operator in SigPy's sense."""

import numpy as np
import pytest
import sigpy as sp

from sigpy_priors.priors.gaussian import GaussianPrior
from sigpy_priors.prox import DenoiserReg
from sigpy_priors.testing import ContractError, check_prox

SHAPE = (6, 5)


@pytest.mark.parametrize("alpha", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_gaussian_prior_is_l2reg(alpha, scale, rng):
    # -lamda log p = lamda |x|^2 / (v s^2): L2Reg's 1/2 lamda' |x|^2.
    v, lamda = 0.7, 0.3
    prior = GaussianPrior(np.zeros(SHAPE), spectrum=np.full(SHAPE, v))
    x = sp.randn(SHAPE, dtype=np.complex128)
    expected = sp.prox.L2Reg(SHAPE, 2 * lamda / (v * scale**2))(alpha, x)
    found = DenoiserReg(SHAPE, prior, lamda, scale)(alpha, x)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_biased_gaussian_is_biased_l2reg(rng):
    mean = sp.randn(SHAPE, dtype=np.complex128)
    prior = GaussianPrior(mean, spectrum=np.full(SHAPE, 2.0))
    x = sp.randn(SHAPE, dtype=np.complex128)
    expected = sp.prox.L2Reg(SHAPE, 0.4, y=mean)(0.8, x)
    np.testing.assert_allclose(DenoiserReg(SHAPE, prior, 0.4)(0.8, x), expected)


def test_minimises_its_objective(rng):
    prior = GaussianPrior(np.zeros(SHAPE), spectrum=rng.random(SHAPE) + 0.1)
    lamda = 0.2
    prox = DenoiserReg(SHAPE, prior, lamda)
    check_prox(prox, lambda x: -lamda * prior.log_prob(x))
    with pytest.raises(ContractError, match="not the minimiser"):
        check_prox(prox, lambda x: -2 * lamda * prior.log_prob(x))


def test_keeps_single_precision_and_batches():
    prior = GaussianPrior(np.zeros(SHAPE), spectrum=np.ones(SHAPE))
    x = sp.randn((3, *SHAPE), dtype=np.complex64)
    out = DenoiserReg(x.shape, prior, 0.5, scale=3.0)(1.0, x)
    assert out.dtype == np.complex64 and out.shape == x.shape


def test_works_in_the_users_own_app(rng):
    prior = GaussianPrior(np.zeros(SHAPE), spectrum=np.ones(SHAPE))
    A = sp.linop.Multiply(SHAPE, rng.random(SHAPE) + 0.5)
    y = sp.randn(SHAPE, dtype=np.complex128)
    kwargs = {"max_iter": 300, "show_pbar": False}
    reg = DenoiserReg(SHAPE, prior, 0.25)
    expected = sp.app.LinearLeastSquares(A, y, lamda=0.5, **kwargs).run()
    for solver in ("GradientMethod", "ADMM", "PrimalDualHybridGradient"):
        x = sp.app.LinearLeastSquares(A, y, proxg=reg, solver=solver, **kwargs).run()
        # SigPy's accelerated PDHG converges as 1 / k^2, the others linearly.
        rtol = 1e-3 if solver == "PrimalDualHybridGradient" else 1e-6
        np.testing.assert_allclose(x, expected, rtol=rtol, err_msg=solver)


@pytest.mark.parametrize(
    "args, message",
    [
        ((object(), 1.0), "expected a DenoiserPrior, got object"),
        ((None, -1.0), "lamda must be >= 0"),
        ((None, float("nan")), "lamda must be >= 0"),
        ((None, 1.0, 0.0), "scale must be > 0"),
    ],
)
def test_bad_arguments(args, message):
    good = GaussianPrior(np.zeros(SHAPE), spectrum=np.ones(SHAPE))
    with pytest.raises(ValueError, match=message):
        DenoiserReg(SHAPE, args[0] or good, *args[1:])
