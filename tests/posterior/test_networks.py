"""DDPM, SMLD and EDM networks reach every method through one contract."""

import numpy as np
import pytest
import torch
from sampling_oracle import SIZE

from sigpy_priors.models.precond import EDM, VP, Score
from sigpy_priors.posterior.samplers import METHODS
from sigpy_priors.priors.network import NetworkPrior


class Tiny(torch.nn.Module):
    """An untrained network, small in effect."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a = torch.nn.Conv2d(2, 4, 3, padding=1)
        self.b = torch.nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x, noise):
        return 0.1 * self.b(torch.tanh(self.a(x) + 0 * noise[:, None, None, None]))


class Whitening(torch.nn.Module):
    """The exact network of white images of variance s^2, per preconditioning."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x, noise):
        return self.factor(noise)[:, None, None, None] * x


def networks():
    return {
        "ddpm": VP(Tiny()),
        "smld": Score(Tiny(), scaled=True),
        "edm": EDM(Tiny()),
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["ddpm", "smld", "edm"])
def test_every_method_takes_every_preconditioning(oracle, method, name):
    prior = NetworkPrior(networks()[name], sigma_range=(0.01, 10))
    steps = 4 if method not in ("daps", "sgs") else 2
    app = oracle.app(prior=prior, method=method, steps=steps, num_samples=2)
    x = app.run()
    assert x.shape == (2, SIZE, SIZE) and np.isfinite(x).all()
    assert np.abs(x[0] - x[1]).max() > 0
    assert app.evaluations > 0 and app.operator_calls > 0


def test_preconditionings_of_one_denoiser_give_the_same_samples(oracle):
    """White images of deviation s: D = s^2 / (s^2 + sigma^2) x, written thrice."""
    s = 0.2

    class SmldNet(torch.nn.Module):
        def forward(self, x, sigma):
            return -x / (sigma**2 + s**2)[:, None, None, None]

    vp = VP(None)

    def eps(t):
        # sigma of a time, from the schedule that VP itself uses.
        table = vp.log_sigma.to(t)
        low = t.long().clamp(0, len(table) - 2)
        sigma = (table[low] + (t - low) * (table[low + 1] - table[low])).exp()
        return sigma * (1 + sigma**2).sqrt() / (sigma**2 + s**2)

    models = [
        EDM(Whitening(lambda noise: 0 * noise), s),
        Score(SmldNet()),
        VP(Whitening(eps)),
    ]
    runs = [
        oracle.app(
            prior=NetworkPrior(m, sigma_range=(0.02, 10)),
            num_samples=2,
            steps=6,
            y=oracle.y.astype(np.complex128),
        ).run()
        for m in models
    ]
    for x in runs[1:]:
        np.testing.assert_allclose(x, runs[0], atol=1e-3 * np.abs(runs[0]).max())
