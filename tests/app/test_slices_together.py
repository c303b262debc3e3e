"""PriorRecon with slices=True: together they are what they are one by one."""

import numpy as np
import pytest
import sigpy as sp

from sigpy_priors import load_prior
from sigpy_priors.app import PriorRecon
from sigpy_priors.app.solvers import HQS
from sigpy_priors.data.example import undersample
from sigpy_priors.priors.gaussian import GaussianPrior


@pytest.fixture(scope="module")
def scans(brain_slice):
    """Three slices of different units, noise and sampling; one with a dead coil."""
    image, mps = brain_slice
    rng = np.random.default_rng(0)
    ys, maps = [], []
    for scale, factor, level in ((1, 2, 0.01), (300, 6, 0.001), (1e-3, 3, 0.1)):
        y = undersample(scale * np.roll(image, factor, 0), mps, factor)
        noise = rng.standard_normal((2, *y.shape)) * level * scale
        ys.append(np.where(y != 0, y + noise[0] + 1j * noise[1], 0).astype(y.dtype))
        maps.append(mps.copy())
    ys[1][2] = 0
    maps[1][2] = 0
    return np.stack(ys), np.stack(maps)


@pytest.fixture(scope="module")
def network(tiny_prior_file):
    return load_prior(tiny_prior_file)


def _one_by_one(y, mps, prior, **options):
    apps = [PriorRecon(a, b, prior, show_pbar=False, **options) for a, b in zip(y, mps)]
    return apps, [app.run() for app in apps]


def _same(app, together, apps, images, tol=1e-4):
    assert together.shape == (len(images), *images[0].shape)
    for i, (one, image) in enumerate(zip(apps, images)):
        assert app.noise_std[i] == pytest.approx(one.noise_std, rel=1e-5)
        assert app.scale[i] == pytest.approx(one.scale, rel=1e-4)
        np.testing.assert_allclose(app.sigmas[i], one.sigmas, rtol=1e-3)
        assert app.converged[i] == one.converged
        assert np.abs(together[i] - image).max() < tol * np.abs(image).max()


def test_a_gaussian(scans):
    y, mps = scans
    k = np.hypot(*np.meshgrid(*[np.arange(64) - 32] * 2, indexing="ij"))
    prior = GaussianPrior(np.zeros((64, 64)), spectrum=40 / (1 + k**2))
    apps, images = _one_by_one(y, mps, prior)
    app = PriorRecon(y, mps, prior, slices=True, show_pbar=False)
    _same(app, app.run(), apps, images)
    assert len({len(s) for s in app.sigmas}) > 1  # each has ended on its own


@pytest.mark.parametrize(
    "options", [{}, {"max_iter": 3}, {"lamda": 2, "solver": HQS(steps=3)}]
)
def test_a_network(scans, network, options):
    y, mps = scans
    apps, images = _one_by_one(y, mps, network, **options)
    app = PriorRecon(y, mps, network, slices=True, show_pbar=False, **options)
    _same(app, app.run(), apps, images)


def test_one_slice_and_a_given_level(scans, network):
    y, mps = scans
    options = dict(noise_std=0.02, max_iter=4)
    apps, images = _one_by_one(y[:1], mps[:1], network, **options)
    app = PriorRecon(y[:1], mps[:1], network, slices=True, show_pbar=False, **options)
    _same(app, app.run(), apps, images)


def test_samples_off_a_grid(scans, network, rng):
    _, mps = scans
    coord = rng.uniform(-30, 30, (600, 2)).astype(np.float32)
    x = rng.standard_normal((2, 64, 64)).astype(np.complex64)
    y = np.stack([sp.mri.linop.Sense(m, coord)(v) for m, v in zip(mps, x)])
    options = dict(coord=coord, noise_std=0.5, max_iter=2)
    apps, images = _one_by_one(y, mps[:2], network, **options)
    app = PriorRecon(y, mps[:2], network, slices=True, show_pbar=False, **options)
    _same(app, app.run(), apps, images)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(solver="ADMM"), "slices=True: expected solver 'hqs'"),
        (dict(three_d=True), "two-dimensional k-space"),
        (dict(tol=1e-3), "got 'hqs', .* tol; give"),
        (dict(y=np.ones((3, 4, 64, 64), complex)[0]), r"expected \(slices, coils, ...\)"),
        (dict(mps=np.ones((2, 4, 64, 64), complex)), r"\(slices, coils, H, W\) with"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(scans, network, change, words):
    given = dict(y=scans[0], mps=scans[1], prior=network, slices=True) | change
    with pytest.raises(ValueError, match=words):
        PriorRecon(**given, show_pbar=False)


def test_an_error_names_the_slice(scans, network):
    y, mps = scans[0].copy(), scans[1]
    y[2] = 0
    with pytest.raises(ValueError, match="slice 2: y: all values are zero"):
        PriorRecon(y, mps, network, noise_std=0.1, slices=True, show_pbar=False)
    y[2, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="slice 2: y"):
        PriorRecon(y, mps, network, slices=True, show_pbar=False)
