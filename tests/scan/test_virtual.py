"""Fewer coils, of which nothing else has to know."""

import numpy as np
import pytest
import sigpy as sp
from sigpy.mri import birdcage_maps

from sigpy_priors.scan.coils import mix
from sigpy_priors.scan.virtual import COILS, virtual_coils

N = 48


@pytest.fixture
def scan(brain_slice, rng):
    """K-space of 20 coils, their maps, and white noise of 0.01."""
    image = sp.resize(brain_slice[0], (N, N))
    mps = birdcage_maps((20, N, N)).astype(np.complex64)
    z = rng.normal(size=(20, N, N, 2)).view(complex)[..., 0] / 2**0.5
    return sp.fft(mps * image, axes=(-2, -1)) + 0.01 * z, mps, 0.01 * z


def test_few_coils_are_left_alone(scan):
    assert virtual_coils(scan[0][:COILS]) is None
    assert virtual_coils(scan[0], count=20) is None


def test_what_is_lost_is_noise(scan):
    y, mps, noise = scan
    T, _, sigma = virtual_coils(y)
    assert T.shape == (COILS, 20) and sigma is None
    np.testing.assert_allclose(T @ T.conj().T, np.eye(COILS), atol=1e-6)
    few = T.conj().T @ mix(T, y).reshape(COILS, -1)
    lost = np.linalg.norm(y.reshape(20, -1) - few)
    assert lost < 1.05 * np.linalg.norm(noise) * (1 - COILS / 20) ** 0.5
    gone = 1 - np.linalg.norm(mix(T, mps)) ** 2 / np.linalg.norm(mps) ** 2
    assert gone < 5e-3


def test_noise_is_whitened_first(scan, rng):
    """With a covariance, of virtual coils as of the others."""
    y, _, noise = scan
    root = np.eye(20) + 0.3 * rng.normal(size=(20, 20))
    T, _, sigma = virtual_coils(
        mix(root, y), noise=root @ root.conj().T * 1e-4, count=6
    )
    after = mix(T, mix(root, noise)).reshape(6, -1)
    covariance = after @ after.conj().T / after.shape[1]
    np.testing.assert_allclose(covariance, sigma**2 * np.eye(6), atol=0.15 * sigma**2)


def test_a_bad_coil_is_not_the_first_virtual_one(scan, rng):
    """Its noise would be in all of them."""
    y, mps, _ = scan
    z = rng.normal(size=(N, N, 2)).view(complex)[..., 0]
    y = y.copy()
    y[3] += 30 * z
    T, _, _ = virtual_coils(y, count=8)
    assert np.abs(T[:, 3]).max() < 0.05


def test_zero_and_repeated_coils(scan):
    y = scan[0]
    more = np.concatenate([y[:8], 0 * y[:4], y[:8]])
    T, _, _ = virtual_coils(more, count=8)
    left = more.reshape(20, -1) - T.conj().T @ (T @ more.reshape(20, -1))
    assert np.linalg.norm(left) < 1e-4 * np.linalg.norm(more)


def test_a_count_that_cannot_be(scan):
    with pytest.raises(ValueError, match="at least 1 virtual coil"):
        virtual_coils(scan[0], count=0)


def test_maps_are_normalised_over_the_coils_that_were_measured(scan, rng):
    """What a noise scan says must not shade the image."""
    y, mps, _ = scan
    mps = mps / sp.rss(mps, axes=(0,))
    root = np.eye(20) + 0.5 * rng.normal(size=(20, 20))
    for noise, count in ((root @ root.T, 20), (root @ root.T, 14), (None, 14)):
        mixture = virtual_coils(y, noise, count)
        few = mix(mixture.forth, mps)
        estimated = few / np.linspace(1, 3, N)  # of any norm, as ESPIRiT's is another
        back = mixture.normalise(estimated)
        assert np.linalg.norm(back - few) < 0.1 * np.linalg.norm(few)
