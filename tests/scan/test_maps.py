"""Coil maps from undersampled data, against the maps that made them."""

import numpy as np
import pytest
import sigpy as sp
from sigpy.mri.linop import Sense

from sigpy_priors.data.example import undersample
from sigpy_priors.scan.maps import estimate_maps
from sigpy_priors.show.metrics import object_mask


def alignment(mps, truth, image):
    """Mean |<estimated, true>| over the object; 1 for equal maps."""
    mask = object_mask(image) & (np.abs(mps).sum(axis=0) > 0)
    assert mask.sum() > 0.7 * object_mask(image).sum()
    return np.abs(np.sum(mps.conj() * truth, axis=0))[mask].mean()


def test_espirit(brain_slice):
    image, truth = brain_slice
    mps = estimate_maps(undersample(image, truth, 2))
    assert mps.shape == truth.shape and mps.dtype == np.complex64
    assert alignment(mps, truth, image) > 0.98


def test_jsense_for_noncartesian(brain_slice):
    image, truth = brain_slice
    angles = np.pi * np.arange(96) / 96
    direction = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    coord = np.linspace(-32, 32, 128)[:, None, None] * direction
    mps = estimate_maps(Sense(truth, coord=coord) * image, coord)
    assert mps.shape == truth.shape
    assert alignment(mps, truth, image) > 0.95
    np.testing.assert_allclose(sp.rss(mps, axes=(0,)), 1, rtol=1e-3)


def test_single_coil_has_map_one(brain_slice):
    y = undersample(brain_slice[0], np.ones((1, 64, 64), np.complex64), 2)
    np.testing.assert_array_equal(estimate_maps(y), np.ones((1, 64, 64)))


@pytest.mark.parametrize("width", [11, 16])
def test_narrow_calibration_region(brain_slice, width):
    """The largest full square is used, down to twice the kernel's width."""
    image, truth = brain_slice
    full = Sense(truth) * image
    mask = np.zeros(image.shape, bool)
    mask[::3, ::3] = True
    start = 32 - width // 2
    mask[start : start + width, start : start + width] = True
    y = full * mask
    if width < 12:
        with pytest.raises(ValueError, match="11 x 11 only.*give maps"):
            estimate_maps(y)
    else:
        assert alignment(estimate_maps(y), truth, image) > 0.98
