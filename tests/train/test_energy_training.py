"""Energies train by the loop of the denoisers, to a gradient that removes noise."""

import numpy as np
import pytest
import torch

import sigpy_priors as spp
from sigpy_priors.priors.module import add_noise, channel_sigma
from sigpy_priors.train.batches import Batch
from sigpy_priors.train.loop import train
from sigpy_priors.train.objective import EnergyObjective

MODEL = {
    "architecture": "icnn", "precond": None,
    "options": {"width": 10, "layers": 2, "kernel": 5, "gain": 10.0},
}  # fmt: skip
SETTINGS = {"kind": "energy", "sigma": {"center": 0.2, "spread": 0}, "model": MODEL}


def test_one_step_along_the_gradient_denoises(make_config, tiny_data, tmp_path):
    config = make_config(
        **SETTINGS, optim__steps=200, optim__lr_rest=0.01, optim__ema=0.9,
        weight_dtype="float32",
    )  # fmt: skip
    file = train(config, tiny_data, tmp_path, device="cpu", show_pbar=False)
    prior = spp.load_prior(file)
    assert isinstance(prior, spp.EnergyPrior)
    assert (prior.card.kind, prior.card.sigma) == ("energy", 0.2)
    found = prior.card.validation["PSNR in dB at sigma 0.2"]
    assert found["denoised"] > found["noisy"] + 2
    img = np.load(tiny_data / "val.npz")["img"][0].astype(np.complex64)
    img = img / np.percentile(abs(img), 99.8)
    n = np.random.default_rng(3).standard_normal((*img.shape, 2)) @ [1, 1j]
    noisy = img + 0.2 / 2**0.5 * n
    step = 0.2**2 / 2 * prior.grad_log_prob(noisy)
    before, after = (np.linalg.norm(v - img) for v in (noisy, noisy + step))
    assert after < 0.8 * before


def test_the_loss_is_least_for_the_true_energy(make_config):
    """White images of variance v: the energy of the noisy ones is |x|^2 / 2 (v + s^2)."""
    objective = EnergyObjective(make_config(**SETTINGS))
    v, sigma = 0.5, torch.full((200,), 0.4)
    s = channel_sigma(sigma[0])
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(200, 2, 16, 16, generator=generator) for _ in range(2))
    batch = Batch(v**0.5 * x, noise, sigma)

    def loss(precision):
        return objective.loss(lambda z: precision / 2 * z.square(), batch).item()

    exact = 1 / (v + s**2).item()
    assert loss(exact) == pytest.approx(v * exact, rel=0.02)
    assert loss(exact) < min(loss(0.8 * exact), loss(1.2 * exact))
    noisy = add_noise(batch.x, noise, sigma)
    assert noisy.var().item() == pytest.approx(1 / exact, rel=0.02)


@pytest.mark.parametrize("changes", [{"sigma__spread": 1.0}, {"model__precond": "edm"}])
def test_what_an_energy_has_not(make_config, changes):
    with pytest.raises(ValueError, match="of one noise level"):
        make_config(**SETTINGS | changes)
