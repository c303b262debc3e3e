"""Sampling z = W x with a prior of z: back in x, the exact posterior of a Gaussian."""

import numpy as np
import pytest
import sigpy as sp
from sampling_oracle import NOISE, SIZE
from test_oracle import BOUNDS

from sigpy_priors import linop
from sigpy_priors.app.sampling import PosteriorSampling
from sigpy_priors.linop.frame import pseudo_inverse
from sigpy_priors.posterior.samplers import METHODS
from sigpy_priors.priors.gaussian import GaussianPrior
from sigpy_priors.scan.problem import Problem

SHAPE = (SIZE, SIZE)


def matrix(W):
    eye = np.eye(SIZE**2, dtype=complex).reshape(-1, *SHAPE)
    return np.stack([W(e).ravel() for e in eye], 1)


def samples(oracle, W, shape, beyond=0.0, **kwargs):
    """Samples of x, and the app that made those of z; z is of one axis or an image."""
    M = matrix(W)
    cov = M @ oracle.cov @ M.conj().T
    cov += beyond * (np.eye(len(M)) - M @ np.linalg.pinv(M))
    to_z = sp.linop.Reshape(shape, W.oshape) * W
    prior = GaussianPrior(to_z(oracle.mean), cov=(cov + cov.conj().T) / 2)
    problem = Problem(oracle.A, oracle.y, NOISE)
    back = pseudo_inverse(W) * sp.linop.Reshape(W.oshape, shape)
    app = PosteriorSampling.of(
        problem.lift(to_z, back), prior, scale=1.0, show_pbar=False, **kwargs
    )
    z = app.run()
    return np.stack([back(v) for v in z]), app


@pytest.mark.parametrize("method", METHODS)
def test_every_method_samples_a_square_lift(oracle, method):
    W = linop.KspaceRamp(SHAPE, 0.25)
    x, app = samples(oracle, W, SHAPE, num_samples=8, method=method, chunk_size=8)
    mean, std = oracle.score(x)
    limit, low, high = BOUNDS[method]
    assert mean < 1.2 * limit  # the problem is somewhat worse conditioned
    assert 0.9 * low < std < 1.1 * high
    assert 50 <= app.evaluations <= 62


def test_a_redundant_lift_has_the_exact_mean_and_deviation(oracle):
    """What z does beyond the range of W, here as much as an image, does no harm."""
    W = linop.Copies(SHAPE, 2)
    x, _ = samples(oracle, W, (2 * SIZE**2, 1), 0.01, num_samples=16, chunk_size=16)
    mean, std = oracle.score(x)
    assert mean < 1.3
    assert std == pytest.approx(1, abs=0.06)
