"""What arrays themselves tell of their layout."""

import numpy as np
import pytest
import sigpy as sp
import sigpy.mri as mr

from sigpy_priors.data.example import undersample
from sigpy_priors.io.axes import coils_are_last
from sigpy_priors.scan.checks import check_cartesian, check_data
from sigpy_priors.scan.maps import estimate_maps


@pytest.fixture
def grid(brain_slice):
    """K-space and maps, (4, 64, 64)."""
    image, mps = brain_slice
    return undersample(image, mps, 2), mps


def test_k_space_on_a_grid(grid, brain_slice):
    image, mps = brain_slice
    full = sp.fft(mps * image, axes=(-2, -1))
    lines = np.zeros((64, 1))
    lines[::4], lines[26:38] = 1, 1
    calibration = np.zeros((64, 1))
    calibration[26:38] = 1
    for y in (grid[0], full, full * lines, full * calibration, full[..., 20:44]):
        check_cartesian(y)
        check_cartesian(y.swapaxes(1, 2))


@pytest.mark.parametrize("spokes", [9, 64, 200])
def test_spokes_without_coordinates(brain_slice, spokes):
    image, mps = brain_slice
    y = sp.nufft(mps * image, mr.radial((spokes, 64, 2), (64, 64)))
    for turned in (y, y.swapaxes(1, 2)):
        with pytest.raises(ValueError, match="spokes.*coord= .--coord"):
            check_cartesian(turned)
        with pytest.raises(ValueError, match="spokes"):
            estimate_maps(turned)
        with pytest.raises(ValueError, match="spokes"):
            check_data(turned, np.ones_like(turned))


def test_partitions_in_place_of_coils(brain_slice, rng):
    """A 3-D scan (coils, D, H, W), taken for slices; coils have no order."""
    image, mps = brain_slice
    depth = np.exp(-(((np.arange(32) - 15) / 9) ** 2))
    z = rng.normal(size=(32, 64, 64)) * 0.05
    y = sp.fft(depth[:, None, None] * image + z)
    with pytest.raises(ValueError, match="3-D scan.*three_d=True"):
        check_cartesian(y)
    coils = sp.fft(mps * image, axes=(-2, -1))
    near = np.exp(-np.arange(16))[:, None, None] * coils[:1]
    check_cartesian(near[rng.permutation(16)])


def test_centre_in_the_corner(grid):
    with pytest.raises(ValueError, match="fftshift"):
        estimate_maps(np.fft.ifftshift(grid[0], axes=(-2, -1)))


def test_which_axis_is_of_coils(grid, rng):
    y = grid[0]
    assert coils_are_last(np.moveaxis(y, 0, -1))
    assert not coils_are_last(y)
    # Many coils and a narrow image: the same shape may be either.
    many = np.tensordot(rng.normal(size=(64, 4)), y[:, :, 17:47], 1)
    assert many.shape == (64, 64, 30) and not coils_are_last(many)
    assert coils_are_last(np.moveaxis(many[:14], 0, -1))
