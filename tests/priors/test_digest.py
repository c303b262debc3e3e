"""A prior's digest tells it from every other, and from nothing else."""

import numpy as np
import pytest

import sigpy_priors as spp
from sigpy_priors import linop, load_prior
from sigpy_priors.priors.base import DenoiserPrior
from sigpy_priors.priors.digest import prior_digest
from sigpy_priors.priors.gaussian import GaussianMixturePrior, GaussianPrior


class Own(DenoiserPrior):
    """A user's, with an array under a private name and a cache."""

    def __init__(self, mean):
        self._mean = np.asarray(mean)
        self._cache = {}

    def _denoise(self, x, sigma):
        self._cache[len(x)] = object()
        return x


def gaussian(level=1.0, mean=0.0):
    return GaussianPrior(np.full((4, 4), mean), spectrum=np.full((4, 4), level))


def mixture(level):
    return GaussianMixturePrior(
        [0.5, 0.5], np.zeros((2, 4, 4)), spectra=np.full((2, 4, 4), level)
    )


def lifted(power=1.0, level=1.0):
    return spp.Lifted(gaussian(level), linop.KspaceRamp((4, 4), power))


def copies(count=3):
    return spp.Lifted(gaussian(), linop.Copies((4, 4), count))


def product(level=1.0):
    return spp.Product([copies(), gaussian(level)], [0.5, 0.5])


@pytest.mark.parametrize(
    "make, one, other",
    [
        (gaussian, 1.0, 2.0),
        (mixture, 1.0, 2.0),
        (Own, [1.0], [2.0]),
        (lifted, 1.0, 0.5),
        (copies, 2, 3),
        (product, 1.0, 2.0),
    ],
)
def test_content_decides(make, one, other):
    assert prior_digest(make(one)) == prior_digest(make(one))
    assert prior_digest(make(one)) != prior_digest(make(other))


def test_use_changes_nothing(tiny_prior_file):
    for prior in (load_prior(tiny_prior_file), gaussian(), Own([1.0])):
        before = prior_digest(prior)
        prior.denoise(np.ones((4, 4), np.complex64), 0.5)
        assert prior_digest(prior) == before


@pytest.mark.parametrize("make", [copies, product])
def test_use_of_what_is_within_changes_nothing(make):
    """Neither its count of calls, nor what its operators keep."""
    prior = make()
    before = prior_digest(prior)
    x = np.ones((4, 4), np.complex64)
    prior.denoise(x, 0.5)
    prior.log_prob_and_grad(x)
    linop.frame.pseudo_inverse(copies().W)
    assert prior_digest(prior) == before
    ramp = lifted()
    before = prior_digest(ramp)
    assert ramp.W.N and ramp.W.H and ramp.pinv
    ramp.log_prob_and_grad(x)
    assert prior_digest(ramp) == before


def test_the_card_of_what_is_within_counts(tiny_prior_file):
    prior = load_prior(tiny_prior_file, runtime="torch")
    before = prior_digest(spp.Product([prior]))
    prior.card = prior.card.model_copy(update={"notes": "another"})
    assert prior_digest(spp.Product([prior])) != before


def test_weights_and_card_and_precision_count(tiny_prior_file):
    import torch

    prior = load_prior(tiny_prior_file, runtime="torch")
    digests = {prior_digest(prior), prior_digest(prior.with_options("bfloat16"))}
    prior.card = prior.card.model_copy(update={"strength": 0.5})
    digests.add(prior_digest(prior))
    with torch.no_grad():
        next(prior.model.parameters()).view(-1)[0] += 1
    digests.add(prior_digest(prior))
    assert len(digests) == 4
