"""Optimiser, schedule, averaging, and how denoisers are measured."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from sigpy_priors.models.precond import Direct
from sigpy_priors.train.config import OptimConfig
from sigpy_priors.train.loop import _average
from sigpy_priors.train.optim import Muon, _orthogonalize, cosine, make_optimizers
from sigpy_priors.train.validation import denoising_psnr, validation_set


def test_cosine_schedule_with_warmup():
    config = OptimConfig(steps=1000, warmup=10)
    rate = [cosine(s, s / 1000, config) for s in range(1000)]
    assert rate[0] == pytest.approx(0.1)
    assert rate[9] == pytest.approx(1, abs=1e-3) == max(rate)
    assert rate[500] == pytest.approx(0.5)
    assert 0 < rate[999] < 1e-4
    assert all(a > b for a, b in zip(rate[9:], rate[10:]))
    assert cosine(0, 0.0, OptimConfig(warmup=0)) == 1
    assert cosine(10, 1.3, config) == 0


def test_the_average_follows_the_weights_and_copies_buffers():
    net, ema = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    expected = 1.0
    for step in range(200):
        with torch.no_grad():
            net.weight.fill_(step)
            net.running_mean.fill_(step)
        _average(ema, net, 0.9, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert ema.weight.item() == pytest.approx(expected, rel=1e-5)
    # The lag of an average with decay 0.9 behind a ramp is 9 steps.
    assert ema.weight.item() == pytest.approx(199 - 9, abs=0.1)
    assert ema.running_mean.item() == 199


def test_orthogonalized_updates_have_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((12, 90), (90, 12)):
        values = torch.linalg.svdvals(_orthogonalize(torch.randn(shape)))
        assert 0.6 < values.min() and values.max() < 1.3


def test_muon_takes_inner_kernels_and_adamw_the_rest():
    net = nn.Sequential(nn.Conv2d(2, 16, 3), nn.Conv2d(16, 16, 3), nn.Conv2d(16, 2, 3))
    adamw, muon = make_optimizers(net, OptimConfig(lr=0.5, lr_rest=0.25))
    assert isinstance(muon, Muon)
    assert [p is net[1].weight for p in muon.param_groups[0]["params"]] == [True]
    assert len(adamw.param_groups[0]["params"]) == 5
    assert muon.param_groups[0]["peak_lr"] == 0.5
    assert adamw.param_groups[0]["peak_lr"] == 0.25


def test_muon_descends():
    torch.manual_seed(0)
    target = torch.randn(12, 10, 3, 3)
    kernel = nn.Parameter(torch.zeros_like(target))
    opt = Muon([kernel], lr=0.05)
    losses = []
    for _ in range(60):
        loss = (kernel - target).square().mean()
        loss.backward()
        opt.step()
        opt.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    with pytest.raises(ValueError, match="no closure"):
        opt.step(lambda: 0)


class Scaled(nn.Module):
    """A "denoiser" that multiplies its input."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x, noise):
        return self.factor * x


def test_psnr_of_doing_nothing_is_the_noise_level():
    """E|n|^2 = sigma^2 over both channels, peak 1: PSNR = -20 log10(sigma)."""
    torch.manual_seed(0)
    clean, noise = torch.zeros(4, 2, 64, 64), torch.randn(4, 2, 64, 64)
    table = denoising_psnr(Direct(Scaled(1.0)), clean, noise, (0.01, 0.1, 0.5))
    for sigma, psnr in table.items():
        assert psnr == pytest.approx(-20 * math.log10(sigma), abs=0.1)
    clean = torch.full((1, 2, 32, 32), 0.1 / 2**0.5)
    table = denoising_psnr(Direct(Scaled(0.0)), clean, 0 * clean, (0.3,))
    assert table[0.3] == pytest.approx(20, abs=1e-3)


def test_the_validation_set_is_the_same_every_time(make_config, tiny_data):
    clean, noise = validation_set(make_config(val_images=3), tiny_data)
    again, _ = validation_set(make_config(val_images=3, seed=9), tiny_data)
    assert torch.equal(clean, again)
    assert clean.shape == noise.shape == (3, 2, 32, 32)
    assert np.hypot(*clean[0].numpy()).max() > 0.3
    assert abs(noise.std() - 1) < 0.05
    # A deeper network needs larger images.
    clean, _ = validation_set(make_config(), tiny_data, stride=24)
    assert clean.shape[-2:] == (96, 96)
