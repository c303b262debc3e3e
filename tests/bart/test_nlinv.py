"""``bart nlinv -R TF:``: image and coils with a prior."""

import numpy as np
import pytest
import sigpy as sp

import bart_plugin
from sigpy_priors.priors.gaussian import GaussianPrior

SHAPE = (32, 24)


def test_prior_enters_the_image(bart100, scan):
    """With a strong prior that knows the edges, the outside becomes dark."""
    y, mps = scan(SHAPE, "1d")
    # Calibration lines, which nlinv needs.
    full = sp.fft(mps * sp.shepp_logan(SHAPE), axes=(-1, -2))
    y[:, 12:20] = full[:, 12:20]
    k = np.hypot(*np.meshgrid(np.arange(32) - 16, np.arange(24) - 12, indexing="ij"))
    smooth = GaussianPrior(np.zeros(SHAPE), spectrum=1e3 / (1 + k) ** 4)
    weak, coils = bart_plugin.nlinv(y, smooth, lamda=1e-6, sigma=0.3, bart=bart100)
    strong, _ = bart_plugin.nlinv(y, smooth, lamda=1.0, sigma=0.3, bart=bart100)
    assert weak.shape == SHAPE and coils.shape == (4, *SHAPE)

    def roughness(x):
        spectrum = np.abs(sp.fft(x, axes=(-1, -2))) ** 2
        return (spectrum * (k > 8)).sum() / spectrum.sum()

    assert roughness(strong) < 0.9 * roughness(weak)


def test_error_names_the_version(bart080, scan, net_prior):
    y, _ = scan((16, 12))
    with pytest.raises(bart_plugin.BartError, match=r"nlinv -R TF: needs BART 1.0.00"):
        bart_plugin.nlinv(y, net_prior, bart=bart080)


def test_wrong_data(net_prior):
    with pytest.raises(ValueError, match="coils, H, W"):
        bart_plugin.nlinv(np.ones((4, 4), complex), net_prior)
