"""Noise level and scale from the data: within a factor that does no harm."""

import numpy as np
import pytest
import sigpy as sp
import sigpy.mri as mr

from sigpy_priors.scan.noise import estimate_noise, estimate_scale

N = 128


@pytest.fixture(scope="module")
def signal():
    """k-space of a phantom seen by six coils, without noise."""
    img = sp.shepp_logan((N, N), dtype=np.complex64)
    return sp.fft(img * mr.birdcage_maps((6, N, N)), axes=(-2, -1)).astype(np.complex64)


def noise(shape, sigma, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return sigma * (z / 2**0.5).astype(np.complex64)


def mask(kind):
    m = np.zeros((N, N), np.float32)
    if kind == "poisson":
        m = np.abs(mr.poisson((N, N), 4, calib=(16, 16), seed=0))
    elif kind == "1d":
        m[:, ::4] = 1
        m[:, N // 2 - 8 : N // 2 + 8] = 1
    elif kind == "partial fourier":
        m[: 5 * N // 8] = 1
    else:
        m[:] = 1
    return m


@pytest.mark.parametrize("kind", ["full", "poisson", "1d", "partial fourier"])
@pytest.mark.parametrize("coils", [1, 6])
@pytest.mark.parametrize("sigma", [0.03, 0.1])
def test_within_a_third(signal, kind, coils, sigma):
    y = (signal + noise(signal.shape, sigma))[:coils] * mask(kind)
    assert 0.75 * sigma < estimate_noise(y) < 1.34 * sigma


def test_pure_noise_is_exact():
    y = noise((4, N, N), 0.3)
    assert estimate_noise(y) == pytest.approx(0.3, rel=0.03)


def test_non_cartesian(signal):
    angle = np.pi * np.arange(64)[:, None] / 64
    r = np.linspace(-N / 2, N / 2, N)
    coord = np.stack([r * np.cos(angle), r * np.sin(angle)], -1)
    img = sp.ifft(signal, axes=(-2, -1))
    y = sp.nufft(img, coord)
    y = y + noise(y.shape, 0.05)
    assert 0.7 * 0.05 < estimate_noise(y, coord=coord) < 1.4 * 0.05


def test_scales_with_the_data(signal):
    y = signal + noise(signal.shape, 0.05)
    assert estimate_noise(1e-6 * y) == pytest.approx(1e-6 * estimate_noise(y), rel=1e-4)


def test_weights_hide_samples(signal):
    y = signal + noise(signal.shape, 0.05)
    y[:, :8] = 100  # spoiled lines
    w = np.ones((N, N))
    w[:8] = 0
    assert estimate_noise(y, weights=w) < 0.07


def test_nothing_sampled():
    with pytest.raises(ValueError, match="no sample differs from zero"):
        estimate_noise(np.zeros((2, 8, 8), np.complex64))


def test_image_scale():
    x = np.linspace(0, 1, 1001) * 1j
    assert estimate_scale(x) == pytest.approx(0.998, abs=1e-3)
    with pytest.raises(ValueError, match="scale is 0"):
        estimate_scale(np.zeros((4, 4)))


def test_one_bright_pixel_still_has_a_scale():
    x = np.zeros((64, 64), complex)
    x[3, 3] = 2
    assert estimate_scale(x) == 2
