"""Operators and lifted priors as torch modules: twins of what SigPy computes."""

import numpy as np
import pytest
import sigpy as sp
import torch

import sigpy_priors as spp
from sigpy_priors import linop
from sigpy_priors.backend.arrays import from_channels, to_channels
from sigpy_priors.models.icnn import ICNN
from sigpy_priors.priors.linop_module import channel_linop

SHAPE = (12, 9)


def coil_maps():
    rng = np.random.default_rng(1)
    return rng.standard_normal((3, *SHAPE)) + 1j * rng.standard_normal((3, *SHAPE))


LIFTS = {
    "copies": lambda: linop.Copies(SHAPE, 3),
    "coils": lambda: linop.Coils(coil_maps()),
    "haar": lambda: linop.UndecimatedWavelet(SHAPE),
    "db2": lambda: linop.UndecimatedWavelet(SHAPE, "db2", 2),
    "band": lambda: linop.Band(SHAPE, 1, 4),
    "ramp": lambda: linop.KspaceRamp(SHAPE),
    "fft": lambda: sp.linop.FFT(SHAPE, axes=(-2, -1)),
    "ramp to k-space": lambda: sp.linop.FFT(SHAPE) * linop.KspaceRamp(SHAPE),
    "conjugate": lambda: sp.linop.Multiply(SHAPE, coil_maps()[0], conj=True),
    "scaled": lambda: 0.3j * linop.UndecimatedWavelet(SHAPE),
    "coils in k-space": lambda: (
        sp.linop.FFT((3, *SHAPE), axes=(-2, -1)) * linop.Coils(coil_maps())
    ),
    "identity": lambda: sp.linop.Identity(SHAPE),
}
TIGHT = [k for k in LIFTS if "ramp" not in k and k != "conjugate"]


def images(rng, n, shape):
    z = rng.standard_normal((2, n, *shape))
    return (z[0] + 1j * z[1]).astype(np.complex64)


def channels(x):
    return to_channels(torch.from_numpy(x))


def close(found, expected):
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", LIFTS)
def test_operator_and_adjoint(name, rng):
    W = LIFTS[name]()
    module = channel_linop(W)
    x = images(rng, 2, SHAPE)
    z = from_channels(module(channels(x))).numpy()
    expected = np.stack([W(v) for v in x])
    close(z.reshape(expected.shape), expected)
    z = images(rng, 2, W.oshape)
    back = from_channels(module.adjoint(channels(z.reshape(-1, *SHAPE)))).numpy()
    close(back, np.stack([W.H(v) for v in z]))


@pytest.fixture(scope="module")
def network(tiny_prior_file):
    return spp.load_prior(tiny_prior_file, runtime="torch")


@pytest.mark.parametrize("name", TIGHT)
def test_a_lifted_denoiser(name, network, rng):
    """Also below the noise levels that the network knows."""
    prior = spp.Lifted(network, LIFTS[name]())
    sigma = np.float32([0.003, 0.4])
    x = images(rng, 2, SHAPE)
    found = prior.module()(channels(x), torch.from_numpy(sigma))
    close(from_channels(found).numpy(), prior.denoise(x, sigma))


@pytest.mark.parametrize("name", LIFTS)
def test_a_lifted_density(name, rng):
    torch.manual_seed(0)
    prior = spp.Lifted(
        spp.EnergyPrior(ICNN(width=4, kernel=3, gain=3.0)), LIFTS[name]()
    )
    x = images(rng, 2, SHAPE)
    found = prior.module().with_gradient(channels(x))
    for one, expected in zip(found, prior.log_prob_and_grad(x)):
        one = from_channels(one) if one.ndim > 1 else one
        close(one.numpy(), expected)


def test_products(network, rng):
    torch.manual_seed(0)
    energy = spp.EnergyPrior(ICNN(width=4, kernel=3, gain=3.0))
    haar = linop.UndecimatedWavelet(SHAPE)
    x = images(rng, 2, SHAPE)
    prior = spp.Product([network, spp.Lifted(network, haar)], [0.4, 0.8])
    sigma = np.float32([0.003, 0.4])
    found = prior.module()(channels(x), torch.from_numpy(sigma))
    close(from_channels(found).numpy(), prior.denoise(x, sigma))
    prior = spp.Product([energy, spp.Lifted(energy, haar)], [0.4, 0.8])
    close(prior.module()(channels(x)).numpy(), prior.log_prob(x))
    assert prior.module().size == SHAPE


def test_what_has_no_module(network):
    energy = spp.EnergyPrior(ICNN(width=4, kernel=3))
    gaussian = spp.GaussianPrior(np.zeros(SHAPE), spectrum=np.ones(SHAPE))
    for prior, message in (
        (spp.Lifted(network, linop.KspaceRamp(SHAPE)), "expected a tight frame"),
        (spp.Lifted(network, linop.Patches(SHAPE, 3)), "has no twin in torch"),
        (spp.Lifted(gaussian, sp.linop.Identity((2, *SHAPE))), "images .H, W."),
        (spp.Product([energy, gaussian]), "expected densities alone"),
    ):
        with pytest.raises(TypeError, match=message):
            prior.module()
