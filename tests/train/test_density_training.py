"""Densities train by the loop of the denoisers."""

import numpy as np
import pytest
import torch

from sigpy_priors import load_prior
from sigpy_priors.load import read_card
from sigpy_priors.priors.module import density_channels
from sigpy_priors.train.loop import train
from sigpy_priors.train.objective import DensityObjective
from sigpy_priors.train.validation import bits_per_dim, trivial_bits

MODEL = {
    "architecture": "pixelcnn", "precond": None,
    "options": {"nr_filters": [12, 16], "nr_resnet": [1, 1], "nr_logistic_mix": 3},
}  # fmt: skip
SIGMA = {"center": 0.05, "spread": 0}


@pytest.fixture(params=[2, 1], ids=["complex", "magnitude"])
def config(request, make_config):
    def make(**changes):
        options = MODEL["options"] | {"channels": request.param}
        changes = {"kind": "density", "sigma": SIGMA, **changes}
        return make_config(model=MODEL | {"options": options}, **changes)

    return make


def test_better_than_models_without_context(config, tiny_data, tmp_path):
    file = train(
        config(optim__steps=300, optim__lr_rest=0.01, optim__ema=0.9, optim__lr=0.02),
        tiny_data, tmp_path, device="cpu", show_pbar=False,
    )  # fmt: skip
    bits = read_card(file).validation["bits per dimension"]
    assert bits["PixelCNN"] < bits["mixture without context"] - 0.2
    assert bits["mixture without context"] < bits["Gaussian"] + 0.01
    card = read_card(file)
    assert (card.kind, card.sigma, card.sigma_range) == ("density", 0.05, None)

    prior = load_prior(file)
    img = np.load(tiny_data / "val.npz")["img"][0].astype(np.complex64)
    noise = np.random.default_rng(0).standard_normal((*img.shape, 2)) @ [1, 1j]
    noisy = img / np.percentile(abs(img), 99.8) + 0.05 / 2**0.5 * noise
    # The gradient leads back from more noise than the images had.
    worse = noisy + 0.2 * np.random.default_rng(1).standard_normal((*img.shape, 2)) @ [
        1,
        1j,
    ]
    ascent = prior.grad_log_prob(worse)
    assert np.vdot(ascent, noisy - worse).real > 0
    assert prior.log_prob(worse) < prior.log_prob(noisy)


def test_continues_exactly(config, tiny_data, tmp_path, monkeypatch):
    whole = train(config(), tiny_data, tmp_path / "a", device="cpu", show_pbar=False)
    from sigpy_priors.train import loop

    advance = loop._Run._advance

    def stop(self, *args):
        if self.step == 7:
            raise KeyboardInterrupt
        return advance(self, *args)

    with monkeypatch.context() as mp:
        mp.setattr(loop._Run, "_advance", stop)
        with pytest.raises(KeyboardInterrupt, match="from step 5 of 12"):
            train(config(), tiny_data, tmp_path / "b", device="cpu", show_pbar=False)
    again = train(config(), tiny_data, tmp_path / "b", device="cpu", show_pbar=False)
    a, b = (read_card(f).weights_sha256 for f in (whole, again))
    assert a == b


def test_the_density_is_of_noisy_images_on_the_grid(config):
    objective = DensityObjective(config())
    x = torch.full((3, 2, 16, 16), 0.5)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    images = objective._images(x, noise, torch.full((3,), 0.05))
    clean = density_channels(x, objective.net.channels)
    assert images.shape == clean.shape
    # Noise of the complex level 0.05 is 0.05 / sqrt 2 in every real number.
    assert (images - clean).std().item() == pytest.approx(0.05 / 2**0.5, rel=0.05)
    steps = (images + 2) / objective.net.mixture.step
    torch.testing.assert_close(steps, steps.round(), atol=2e-4, rtol=0)


def test_bits_of_a_known_distribution(config):
    """Independent normal pixels: bits/dim is the entropy over the grid."""
    net = DensityObjective(config()).net
    x = 0.2 * torch.randn(
        4, net.channels, 64, 64, generator=torch.Generator().manual_seed(0)
    )
    bits = trivial_bits(net, net.mixture.quantize(x))
    entropy = np.log2(0.2 * np.sqrt(2 * np.pi * np.e) / net.mixture.step)
    assert bits["Gaussian"] == pytest.approx(entropy, abs=0.02)
    assert bits["mixture without context"] == pytest.approx(entropy, abs=0.05)
    assert bits_per_dim(net, net.mixture.quantize(x)) > entropy


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kind": "density"}, "density is of one noise level"),
        ({"sigma__spread": 0}, "denoiser needs sigma.spread > 0"),
        ({"model__precond": None}, "denoiser needs sigma.spread > 0"),
    ],
)
def test_kinds_that_do_not_fit(make_config, changes, message):
    with pytest.raises(ValueError, match=message):
        make_config(**changes)


def test_log_has_the_bits(config, tiny_data, tmp_path):
    train(config(), tiny_data, tmp_path, device="cpu", show_pbar=False)
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert [r.split(",")[1] for r in rows if r.startswith("bits_per_dim")] == [
        "6",
        "12",
    ]
