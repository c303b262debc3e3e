"""No app gives an image away that is not finite."""

import re

import numpy as np
import pytest

from sigpy_priors.app import PosteriorSampling, PriorRecon
from sigpy_priors.backend.errors import unwrap
from sigpy_priors.priors.base import DenoiserPrior
from sigpy_priors.priors.gaussian import GaussianPrior


class Broken(DenoiserPrior):
    """Finite where it is tried, and not afterwards: what no check of a file sees."""

    def __init__(self, value):
        self.value = value
        self.calls = 0

    def _denoise(self, x, sigma):
        self.calls += 1
        return x if self.calls < 3 else x * self.value


def _twin(y, mps, prior, **kwargs):
    from bart_plugin.twin.pics import BartPics

    return BartPics(y, mps, prior, max_iter=8, **kwargs)


def _samples(y, mps, prior, **kwargs):
    return PosteriorSampling(y, mps, prior, 2, steps=6, method="pula", **kwargs)


@pytest.mark.parametrize("app", [PriorRecon, _samples, _twin])
@pytest.mark.parametrize("value", [np.nan, 1e38, np.inf])
def test_an_app_raises_rather_than_return_nan(app, value):
    rng = np.random.default_rng(0)
    y = rng.standard_normal((1, 16, 16)) + 1j * rng.standard_normal((1, 16, 16))
    y = y.astype(np.complex64)
    mps = np.ones((1, 16, 16), np.complex64)
    with np.errstate(all="ignore"), pytest.raises(Exception) as e:
        app(y, mps, Broken(value), show_pbar=False).run()
    error = unwrap(e.value)
    assert isinstance(error, FloatingPointError | ValueError)
    assert re.search("NaN|finite", str(error))


def test_samples_beyond_single_precision_are_refused():
    """Finite at the prior's scale, and not in the units of the image."""
    prior = GaussianPrior(np.zeros((16, 16)), spectrum=np.full((16, 16), 9.0))
    y = np.zeros((1, 16, 16), np.complex64)
    app = PosteriorSampling(
        y, y + 1, prior, 2, steps=3, scale=3e38, noise_std=1e39, show_pbar=False
    )
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError):
        app.run()
