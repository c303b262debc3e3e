"""A prior in other coordinates: a Gaussian in z is a Gaussian in x."""

import numpy as np
import pytest
import sigpy as sp
import torch

import sigpy_priors as spp
from sigpy_priors import linop
from sigpy_priors.linop.frame import pseudo_inverse
from sigpy_priors.testing import check_prior

SHAPE = (6, 4)


def random(rng, shape):
    z = rng.standard_normal((2, *shape))
    return z[0] + 1j * z[1]


def matrix(W):
    """A linear operator as a matrix."""
    eye = np.eye(int(np.prod(W.ishape)))
    return np.stack([W(e.reshape(W.ishape).astype(complex)).ravel() for e in eye], 1)


class Columns(sp.linop.Compose):
    """Draws (h, w) as one column each, so that a Gaussian may join all of z."""

    def __init__(self, W):
        super().__init__([sp.linop.Reshape((int(np.prod(W.oshape)), 1), W.oshape), W])
        self.pinv = pseudo_inverse(W) * self.linops[0].H


LIFTS = {
    "FFT": lambda: sp.linop.FFT(SHAPE),
    "copies": lambda: linop.Copies(SHAPE, 3),
    "haar": lambda: linop.UndecimatedWavelet(SHAPE),
    "patches": lambda: linop.Patches(SHAPE, 2, 1),
    "ramp": lambda: linop.KspaceRamp(SHAPE),
}


@pytest.fixture(params=LIFTS)
def pair(request, rng):
    """A Gaussian of z on the range of W, lifted, and that of x; and its W."""
    W = Columns(LIFTS[request.param]())
    n = int(np.prod(SHAPE))
    half = random(rng, (n, n))
    cov, mean = half @ half.conj().T / n, random(rng, SHAPE)
    M = matrix(W)
    # Where W is redundant, what is beyond its range may vary as it likes.
    beyond = np.eye(len(M)) - M @ np.linalg.pinv(M)
    z = spp.GaussianPrior(W(mean), cov=M @ cov @ M.conj().T + 0.3 * beyond)
    return spp.Lifted(z, W), spp.GaussianPrior(mean, cov=cov), W


def test_the_density_is_exact(pair, rng):
    lifted, expected, _ = pair
    x = random(rng, (5, *SHAPE))
    np.testing.assert_allclose(
        np.diff(lifted.log_prob(x)), np.diff(expected.log_prob(x))
    )
    np.testing.assert_allclose(
        lifted.grad_log_prob(x), expected.grad_log_prob(x), rtol=1e-6
    )


def test_the_short_cut_is_exact_on_tight_frames(pair, rng):
    lifted, expected, _ = pair
    x = random(rng, (5, *SHAPE))
    if lifted.bound is None:
        with pytest.raises(ValueError, match="white noise of x is not white in W x"):
            lifted.denoise(x, 0.5)
        return
    for sigma in (0.1, np.linspace(0.2, 2, 5)):
        np.testing.assert_allclose(
            lifted.denoise(x, sigma), expected.denoise(x, sigma), atol=1e-9
        )


@pytest.mark.parametrize("name", ["FFT", "haar", "copies"])
def test_contract(name, smooth_prior):
    shape = smooth_prior.shape
    W = {
        "FFT": sp.linop.FFT(shape),
        "haar": linop.UndecimatedWavelet(shape, "db2", 2),
        "copies": linop.Copies(shape, 3),
    }[name]
    check_prior(spp.Lifted(smooth_prior, W), shape)


def test_one_event_of_three_axes(rng):
    """A prior of coil images, lifted to be one of x for each."""
    W = sp.linop.FFT((2, *SHAPE), axes=(-2, -1))
    z = spp.GaussianPrior(np.zeros(SHAPE), spectrum=rng.random(SHAPE) + 0.1)
    prior = spp.Lifted(z, W)
    assert prior.event_ndim == 3
    check_prior(prior, (2, *SHAPE))
    assert prior.log_prob(random(rng, (5, 2, *SHAPE))).shape == (5,)


def test_what_a_band_loses_is_left_alone(smooth_prior, rng):
    W = linop.Band(smooth_prior.shape, 3)
    x = random(rng, smooth_prior.shape)
    out = spp.Lifted(smooth_prior, W).denoise(x, 0.3)
    np.testing.assert_allclose(out - W(out), x - W(x), atol=1e-12)
    np.testing.assert_allclose(W(out), W(smooth_prior.denoise(W(x), 0.3)), atol=1e-12)


def test_copies_share_the_noise(smooth_prior, rng):
    """Three copies with noise sigma each tell what one of sigma / sqrt(3) does."""
    prior = spp.Lifted(smooth_prior, linop.Copies(smooth_prior.shape, 3))
    x = random(rng, smooth_prior.shape)
    np.testing.assert_allclose(
        prior.denoise(x, 0.3), smooth_prior.denoise(x, 0.3 * 3**0.5), atol=1e-12
    )


def test_gradients_of_tensors(pair, rng):
    lifted, expected, _ = pair
    x = torch.from_numpy(random(rng, (2, *SHAPE)))
    grads = []
    for prior in (lifted, expected):
        z = x.clone().requires_grad_()
        prior.log_prob(z).sum().backward()
        grads.append(z.grad)
    torch.testing.assert_close(*grads)
    if lifted.bound:
        assert torch.autograd.gradcheck(
            lambda z: lifted.denoise(z, 0.5), x.requires_grad_(), fast_mode=True
        )


def test_only_unitary_lifts_keep_the_normalisation(smooth_prior, rng):
    shape = smooth_prior.shape
    x = random(rng, shape)
    same = spp.Lifted(smooth_prior, sp.linop.FFT(shape)).bits_per_dim(x)
    assert same == pytest.approx(smooth_prior.bits_per_dim(sp.fft(x)))
    with pytest.raises(TypeError, match="up to a factor only"):
        spp.Lifted(smooth_prior, linop.KspaceRamp(shape)).bits_per_dim(x)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda p: spp.Lifted(p, np.eye(3)), "expected a sigpy Linop"),
        (lambda p: spp.Lifted(p, linop.Copies((4, 4), 2)), r"of \(\.\.\., 16, 16\)"),
        (lambda p: spp.Lifted("brain", linop.Copies((4, 4), 2)), "prior: expected"),
        (
            lambda p: spp.Lifted(p, sp.linop.FFT(p.shape), linop.Copies(p.shape, 2)),
            "pinv: expected an operator from",
        ),
        (
            lambda p: spp.Lifted(p, sp.linop.FFT(p.shape)).denoise(
                np.ones((8, 8), complex), 0.1
            ),
            r"made for images \(16, 16\)",
        ),
    ],
)
def test_bad_arguments(make, message, smooth_prior):
    with pytest.raises(ValueError, match=message):
        make(smooth_prior)
