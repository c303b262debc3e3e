"""``bart sample`` with exported graphs against closed forms."""

import numpy as np
import pytest
import sigpy as sp
import sigpy.mri as mr

import bart_plugin
from sigpy_priors.priors.gaussian import GaussianPrior

SHAPE = (12, 10)
NUMBER = 100


@pytest.fixture(scope="module")
def gaussian():
    """A prior, and its power spectrum."""
    k = np.hypot(*np.meshgrid(np.arange(12) - 6, np.arange(10) - 5, indexing="ij"))
    spectrum = 1 / (1 + k) ** 2
    return GaussianPrior(0.5 * sp.shepp_logan(SHAPE), spectrum=spectrum), spectrum


def _operator(function):
    basis = np.eye(np.prod(SHAPE)).reshape(-1, *SHAPE)
    return np.stack([function(e).ravel() for e in basis], axis=1)


@pytest.mark.parametrize("torchscript", [True, False], ids=["pt", "pb"])
def test_posterior(bart100, gaussian, torchscript):
    """Mean and deviation of samples given multi-coil data, scale and noise."""
    prior, spectrum = gaussian
    scale, noise = 3.0, 0.1
    rng = np.random.default_rng(0)
    mps = mr.birdcage_maps((3, *SHAPE))
    mps = mps / sp.rss(mps, axes=(0,))
    mask = rng.random(SHAPE) < 0.5
    x = prior.sample(1, seed=1)[0]

    def forward(u):
        return sp.fft(mps * u * scale, axes=(-1, -2)) * mask

    z = rng.standard_normal((2, 3, *SHAPE))
    y = forward(x) + mask * noise / 2**0.5 * (z[0] + 1j * z[1])

    A = _operator(forward)
    modes = _operator(lambda u: sp.fft(u, axes=(-1, -2)))
    precision = modes.conj().T @ np.diag(1 / spectrum.ravel()) @ modes
    cov = np.linalg.inv(precision + A.conj().T @ A / noise**2)
    m = prior.components[0].mean.numpy().ravel()
    mean = m + cov @ (A.conj().T @ (y.ravel() - A @ m)) / noise**2
    std = np.sqrt(np.diag(cov).real)

    drawn = bart_plugin.sample(
        prior, y=y, mps=mps, noise_std=noise, scale=scale, n=NUMBER, levels=50,
        langevin=2, sigma_max=3, sigma_min=0.01, torchscript=torchscript, bart=bart100,
    )  # fmt: skip
    drawn = drawn.reshape(NUMBER, -1) / scale
    error = np.sqrt(np.mean(np.abs(drawn.mean(0) - mean) ** 2 / std**2))
    # The sampling error of a mean, and half as much for a discrete sampler.
    assert error < 1.5 / NUMBER**0.5
    assert abs(np.mean(drawn.std(0) / std) - 1) < 0.05
    # The data have told something: the prior alone would not pass.
    assert np.mean(std) < 0.8 * np.sqrt(np.mean(spectrum))


def test_samples_of_a_network(bart100, net_prior):
    x = bart_plugin.sample(
        net_prior, (16, 12), n=2, levels=4, sigma_max=1, sigma_min=0.1, bart=bart100
    )
    again = bart_plugin.sample(
        net_prior, (16, 12), n=2, levels=4, sigma_max=1, sigma_min=0.1, bart=bart100,
        torchscript=False,
    )  # fmt: skip
    assert x.shape == (2, 16, 12)
    # The same random numbers through both formats.
    assert np.linalg.norm(x - again) <= 1e-4 * np.linalg.norm(x)


def test_needs_1_0(bart080, gaussian):
    with pytest.raises(bart_plugin.BartError, match="needs BART 1.0.00"):
        bart_plugin.sample(gaussian[0], SHAPE, bart=bart080)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(y=np.ones((1, *SHAPE), complex)), "noise_std"),
        (dict(shape=None), "shape"),
        (dict(sigma_min=2, sigma_max=1), "sigma_min"),
        (dict(n=0), "n must be a whole number"),
        (dict(levels=2.5), "levels must be a whole number"),
    ],
)
def test_wrong_settings(bart100, gaussian, change, words):
    with pytest.raises(ValueError, match=words):
        bart_plugin.sample(gaussian[0], **{"shape": SHAPE, "bart": bart100, **change})


def test_levels_above_the_range_are_refused(bart100, net_prior):
    with pytest.raises(ValueError, match="sigma_max <= 10"):
        bart_plugin.sample(net_prior, (16, 12), sigma_max=11, bart=bart100)
