"""Several sets of ESPIRiT maps: an image for each, the data are their sum."""

import numpy as np
import pytest
import sigpy as sp
from sigpy.mri import birdcage_maps

from sigpy_priors.app import PosteriorSampling, PriorRecon
from sigpy_priors.data.example import example
from sigpy_priors.scan.sense import sense_problem

SIGMA = 0.01


@pytest.fixture(scope="module")
def folded():
    """A head in half of its field of view: k-space, two orthogonal sets of maps."""
    image, _ = example()
    image = sp.ifft(sp.resize(sp.fft(image), (128, 128))).astype(np.complex64)
    image /= np.percentile(np.abs(image), 99.8)
    mps = birdcage_maps((8, 128, 128))
    mps /= sp.rss(mps, axes=(0,))
    parts = np.stack([mps * image, np.roll(mps * image, 64, -2)])[:, :, 32:96]
    both = np.stack([mps, np.roll(mps, 64, -2)])[:, :, 32:96]
    # A basis of what both maps span, at every pixel.
    basis, _ = np.linalg.qr(np.moveaxis(both, (0, 1), (-1, -2)))
    sets = np.moveaxis(basis, (-1, -2), (0, 1)).astype(np.complex64)
    coils = parts.sum(axis=0)
    z = np.random.default_rng(0).standard_normal((2, *coils.shape)) / 2**0.5
    mask = np.ones((64, 1))
    mask[1:26:2] = mask[39:64:2] = 0
    y = mask * (sp.fft(coils, axes=(-2, -1)) + SIGMA * (z[0] + 1j * z[1]))
    return y.astype(np.complex64), sets, coils


def test_both_images_explain_the_data(brain, folded):
    y, sets, coils = folded
    problem = sense_problem(y, sets)
    assert problem.noise_std == pytest.approx(SIGMA, rel=0.15)
    assert sense_problem(y, sets[0]).noise_std > 3 * SIGMA
    x = PriorRecon(y, sets, brain, show_pbar=False).run()
    assert x.shape == (2, 64, 128) and x.dtype == np.complex64
    explained = (sets * x[:, None]).sum(axis=0)
    assert np.linalg.norm(explained - coils) < 0.08 * np.linalg.norm(coils)
    alone = sets[0] * PriorRecon(y, sets[0], brain, show_pbar=False).run()
    assert np.linalg.norm(alone - coils) > 0.15 * np.linalg.norm(coils)


def test_samples_have_both_images(brain, folded):
    y, sets, _ = folded
    app = PosteriorSampling(y, sets, brain, num_samples=2, steps=4, show_pbar=False)
    assert app.run().shape == (2, 2, 64, 128)


def test_one_set_is_the_usual_problem(folded):
    y, sets, _ = folded
    one, usual = sense_problem(y, sets[:1]), sense_problem(y, sets[0])
    assert one.noise_std == pytest.approx(usual.noise_std, rel=1e-3)
    np.testing.assert_allclose(one.AHy[0], usual.AHy, atol=1e-4)


def test_maps_of_several_slices_are_not_taken_for_sets(brain):
    _, mps = example(num_coils=4)
    y = sp.fft(mps, axes=(-2, -1)).astype(np.complex64)
    with pytest.raises(ValueError, match="not orthogonal.*maps of several slices"):
        PriorRecon(y, np.stack([mps, mps]), brain)
    with pytest.raises(ValueError, match=r"expected sets of maps .* got \(2, 4, 256"):
        PriorRecon(y[:, 1:], np.stack([mps, mps]), brain)
