"""Apps change nothing that belongs to the caller, and give the same image twice."""

import multiprocessing
import random

import numpy as np
import pytest
import torch

from sigpy_priors import load_prior
from sigpy_priors.app import PosteriorSampling, PriorRecon
from sigpy_priors.app.solvers import SOLVERS
from sigpy_priors.priors.base import DensityPrior


def random_state():
    kind, keys, *rest = np.random.get_state()
    return (
        kind,
        keys.tobytes(),
        *rest,
        random.getstate(),
        *torch.get_rng_state().tolist(),
    )


def scan():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((2, 16, 16)) + 1j * rng.standard_normal((2, 16, 16))
    return y.astype(np.complex64), np.ones((2, 16, 16), np.complex64)


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_leave_global_generators_alone(solver, smooth_prior):
    y, mps = scan()
    assert isinstance(smooth_prior, DensityPrior)  # so that every solver takes it

    def image():
        app = PriorRecon(
            y, mps, smooth_prior, solver=solver, max_iter=5, show_pbar=False
        )
        return app.run()

    np.random.seed(3)
    before = random_state()
    one = image()
    assert random_state() == before
    np.random.seed(4)
    np.testing.assert_array_equal(image(), one)


def test_samplers_and_maps_leave_global_generators_alone(smooth_prior):
    from sigpy_priors.scan.maps import estimate_maps

    y, mps = scan()
    before = random_state()
    PosteriorSampling(y, mps, smooth_prior, 2, steps=3, show_pbar=False).run()
    estimate_maps(y, calib_width=16)
    coord = np.random.default_rng(0).uniform(-8, 8, (20, 16, 2))
    estimate_maps(y[:, :1].repeat(20, axis=1), coord, shape=(16, 16))
    assert random_state() == before


@pytest.mark.parametrize("given", [{"tau": 0.2}, {"sigma": 0.5}, {}])
def test_steps_of_the_primal_dual_method_fit_each_other(given, smooth_prior):
    r"""It converges where tau sigma ||A||^2 is not above one."""
    y, mps = scan()
    app = PriorRecon(
        y,
        mps,
        smooth_prior,
        solver="PrimalDualHybridGradient",
        show_pbar=False,
        **given,
    )
    assert app.tau * app.sigma * app.problem.norm**2 == pytest.approx(1, rel=0.02)
    for name, value in given.items():
        assert getattr(app, name) == value


def _denoise(queue, prior, x):
    try:
        queue.put(prior.denoise(x, 0.1))
    except Exception as e:
        queue.put(e)


@pytest.mark.parametrize("runtime", ["torch", "auto"])
def test_a_forked_process_computes(runtime, tiny_prior_file):
    """Threads of the parent are not in the child, which must not wait for them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        prior = load_prior(tiny_prior_file, runtime=runtime)
        x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.complex64)
        expected = prior.denoise(x, 0.1)
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=_denoise, args=(queue, prior, x))
        child.start()
        try:
            got = queue.get(timeout=60)
        finally:
            child.kill()
            child.join()
    finally:
        torch.set_num_threads(threads)
    assert isinstance(got, np.ndarray), got
    np.testing.assert_allclose(got, expected, atol=1e-5)
