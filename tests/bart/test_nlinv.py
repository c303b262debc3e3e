"""``bart nlinv -R TF:``: image and coils with a prior."""

import numpy as np
import pytest
import sigpy as sp

import bart_plugin
from bart_plugin.fitting import fit_nlinv
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


@pytest.mark.parametrize("centre", [6, 16])
def test_the_level_follows_the_noise(scan, net_prior, centre):
    """Three times the nominal one, with and without a centre for ESPIRiT."""
    rng = np.random.default_rng(0)
    _, mps = scan((48, 40), "1d")
    mps = mps / sp.rss(mps, axes=(0,))
    full = sp.fft(mps * sp.shepp_logan((48, 40)), axes=(-1, -2))
    mask = rng.random((48, 40)) < 0.5
    middle = (
        slice(24 - centre // 2, 24 + centre // 2),
        slice(20 - centre // 2, 20 + centre // 2),
    )
    mask[24 - 8 : 24 + 8, 20] = False
    mask[middle] = True
    for noise in (0.03, 0.06):
        z = rng.standard_normal((2, *full.shape))
        y = mask * (full + noise * (z[0] + 1j * z[1]) / 2**0.5)
        level, peak = fit_nlinv(y.astype(np.complex64), net_prior)
        nominal = 3 * net_prior.strength**0.5 * noise
        assert level == pytest.approx(nominal, rel=0.5 if centre < 12 else 0.2)
        assert 0.8 < peak < 1.8
    y = (1e3 * y).astype(np.complex64)
    assert fit_nlinv(y, net_prior) == (level, peak)


def test_error_names_the_version(bart080, scan, net_prior):
    y, _ = scan((16, 12))
    with pytest.raises(bart_plugin.BartError, match=r"nlinv -R TF: needs BART 1.0.00"):
        bart_plugin.nlinv(y, net_prior, bart=bart080)


def test_wrong_data(net_prior):
    with pytest.raises(ValueError, match="coils, H, W"):
        bart_plugin.nlinv(np.ones((4, 4), complex), net_prior)
