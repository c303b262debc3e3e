"""The size of an image, and units, by its trajectory."""

import numpy as np
import pytest
import sigpy.mri as mr

from sigpy_priors.scan.maps import estimate_maps
from sigpy_priors.scan.trajectory import image_shape


def spokes(n, count, first, golden=False):
    """Radial samples from ``first`` in steps of one, as BART and others count."""
    angle = np.arange(count)[:, None] * (np.pi * 0.618 if golden else np.pi / count)
    r = np.arange(n) + first
    return np.stack([r * np.sin(angle), r * np.cos(angle)], -1)


@pytest.mark.parametrize("n", [64, 256])
def test_nominal_size_of_radial_trajectories(n):
    for coord in (
        mr.radial((32, n, 2), (n, n)),
        mr.radial((32, 2 * n, 2), (n, n), golden=False),
        spokes(n, 32, -n / 2 + 0.5),  # bart traj -r
        spokes(n, 32, -n / 2),
        spokes(2 * n, 48, -n + 0.5) / 2,  # bart traj -o2
        spokes(n, 13, -n / 2, golden=True),  # none along an axis
        spokes(n, 32, -n / 2).astype(np.float32) * np.float32(1 + 1e-7),
    ):
        assert image_shape(coord) == (n, n)


def test_spirals_and_grids():
    t = np.linspace(0, 1, 4000)[:, None]
    spiral = 48 * t * np.concatenate([np.cos(90 * t), np.sin(90 * t)], axis=1)
    assert image_shape(spiral) == (96, 96)
    grid = np.stack(np.mgrid[-40:40, -24:24], -1)
    assert image_shape(grid) == (80, 48)
    assert image_shape(grid[:, :-10]) == (80, 48), "partial Fourier"


@pytest.mark.parametrize("factor", [1 / 128, 2 * np.pi / 128, 1 / 64])
def test_other_units(factor, rng):
    """Cycles and radians per pixel, and the edge of k-space at 1."""
    coord = spokes(128, 20, -64) * factor
    y = rng.normal(size=(3, 20, 128)).astype(complex)
    for shape in (None, (128, 128)):
        with pytest.raises(ValueError, match="coord.*1 / field of view"):
            estimate_maps(y, coord, shape=shape)


def test_a_shape_of_ones_own(rng):
    coord = spokes(64, 40, -32)
    y = rng.normal(size=(1, 40, 64)).astype(complex)
    assert estimate_maps(y, coord).shape == (1, 64, 64)
    assert estimate_maps(y, coord, shape=(80, 72)).shape == (1, 80, 72)
    with pytest.raises(ValueError, match="coord: reaches 32 along axis 1"):
        estimate_maps(y, coord, shape=(64, 48))
