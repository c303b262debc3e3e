"""Quality measures against their definitions, and what they must ignore."""

import numpy as np
import pytest

from sigpy_priors.show import metrics


@pytest.fixture
def disc():
    """A disc of magnitude 1 with a hole, and where it is, hole included."""
    v, u = np.mgrid[-32:32, -32:32]
    radius = np.hypot(u, v)
    return np.where((radius < 24) & (radius > 4), 1.0, 0.0), radius < 24


def test_object_mask(disc):
    """The hole belongs to the object, the background and one bright pixel do not."""
    image, inside = disc
    image = image.copy()
    image[1, 1] = 0.2
    mask = metrics.object_mask(image)
    assert mask[inside].all() and not mask[1, 1]
    # The smoothing widens it by a few pixels, not more.
    assert mask.sum() < 1.4 * inside.sum()


def test_definitions(disc, rng):
    image, inside = disc
    noisy = image + 0.1 * inside * rng.choice([-1.0, 1.0], image.shape)
    assert metrics.psnr(noisy + 1, image + 1, inside) == pytest.approx(26.02, abs=0.01)
    assert metrics.nrmse(noisy, image, inside) == pytest.approx(0.1, abs=0.003)


def test_a_bright_pixel_does_not_move_the_psnr(disc, rng):
    """Of an error outside of it: the peak is a percentile, not the maximum."""
    image, inside = disc
    noisy = image + 0.05 * inside * rng.choice([-1.0, 1.0], image.shape)
    bright = np.where((np.arange(64) == 40) & (np.arange(64)[:, None] == 30), 50, 0)
    plain = metrics.psnr(noisy, image, inside)
    assert metrics.psnr(noisy + bright, image + bright, inside) == pytest.approx(plain)


def test_psnr_of_a_mean_squared_error():
    assert metrics.psnr_of_mse(0.01) == pytest.approx(20)
    assert metrics.psnr_of_mse(0.01, peak=10) == pytest.approx(40)
    assert metrics.psnr_of_mse(0.0) == np.inf


def test_equal_images(disc):
    image, _ = disc
    assert metrics.psnr(image, image) == np.inf
    assert metrics.nrmse(image, image) == 0
    assert metrics.ssim(image, image) == pytest.approx(1)


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.nrmse, metrics.ssim])
def test_phase_and_background_do_not_count(disc, rng, measure):
    image, inside = disc
    noisy = image + 0.05 * rng.normal(size=image.shape)
    value = measure(noisy, image, inside)
    turned = noisy * np.exp(1j * rng.normal(size=image.shape))
    assert measure(turned, image, inside) == pytest.approx(value)
    far = np.hypot(*np.mgrid[-32:32, -32:32]) > 29  # beyond SSIM's window
    assert measure(noisy + far, image, inside) == pytest.approx(value)


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.nrmse, metrics.ssim])
def test_errors(disc, measure):
    image, inside = disc
    with pytest.raises(ValueError, match="two images of one shape"):
        measure(image[1:], image)
    with pytest.raises(ValueError, match="NaN"):
        measure(np.where(inside, np.nan, image), image)
    with pytest.raises(ValueError, match="expected a mask"):
        measure(image, image, ~(inside | True))
    with pytest.raises(ValueError, match="not zero"):
        measure(image, 0 * image)
