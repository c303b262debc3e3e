"""Learning of clean images from noisy ones: a known Gaussian prior is given back."""

import numpy as np
import pytest
import torch
from torch import nn

from sigpy_priors.load import read_card
from sigpy_priors.priors.module import add_noise
from sigpy_priors.train.ambient import added_level, noisy_estimate
from sigpy_priors.train.batches import Batches
from sigpy_priors.train.datasets import open_training
from sigpy_priors.train.loop import train
from sigpy_priors.train.objective import DenoiserObjective
from sigpy_priors.train.slice_noise import estimate_slice_noise, restored_noise

SIZE, BAND, POWER, OWN = 48, 4, 0.16, 0.08


def complex_normal(rng, shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / 2**0.5


def distance():
    f = np.fft.fftfreq(SIZE) * SIZE
    return np.hypot(f[:, None], f[None])


@pytest.fixture(scope="module")
def noisy_folder(tmp_path_factory):
    """Images of a Gaussian prior, all its power below a frequency, plus noise."""
    root, rng = tmp_path_factory.mktemp("noisy"), np.random.default_rng(0)
    inside = distance() < BAND
    white = np.fft.fft2(complex_normal(rng, (200, SIZE, SIZE)), norm="ortho")
    clean = np.fft.ifft2(white * inside * np.sqrt(POWER / inside.mean()), norm="ortho")
    noisy = clean + OWN * complex_normal(rng, clean.shape)
    np.save(root / "train.npy", noisy.astype(np.complex64))
    return root


class Wiener(nn.Module):
    """The denoiser of a stationary Gaussian: its spectrum is what is learned."""

    stride = 1

    def __init__(self):
        super().__init__()
        self.log_power = nn.Parameter(torch.full((SIZE, SIZE), -4.0))

    def forward(self, x, per_channel):
        k = torch.fft.fft2(torch.complex(x[:, 0], x[:, 1]))
        power = self.log_power.exp()
        k = k * power / (power + 2 * per_channel[:, None, None] ** 2)
        z = torch.fft.ifft2(k)
        return torch.stack([z.real, z.imag], dim=1)


def learned_spectrum(config, root):
    """Power per mode below and above the band's edge, and the noise that was found."""
    slices = open_training(config.data, root)
    batches, objective = Batches(slices, config, "cpu"), DenoiserObjective(config)
    model = Wiener()
    adam = torch.optim.Adam(model.parameters(), lr=0.15)
    for step in range(120):
        adam.param_groups[0]["lr"] = 0.15 * (1 - step / 120)
        adam.zero_grad()
        objective.loss(model, batches(step, SIZE)).backward()
        adam.step()
    power, k = model.log_power.detach().exp().numpy(), distance()
    scale = np.mean(slices.scales)
    above = power[k > BAND + 3].mean() * scale**2
    return power[k < BAND - 1].mean() * scale**2, above, slices.noise * slices.scales


def test_the_priors_spectrum_comes_back_and_not_the_noisy_ones(
    make_config, noisy_folder
):
    changes = dict(
        data__train=["train.npy"], data__affine=0, data__crop=[SIZE],
        data__add_phase=False, optim__batch_size=32,
        sigma__center=0.1, sigma__spread=0.7, sigma__min=0.06,
    )  # fmt: skip
    low, high, found = learned_spectrum(
        make_config(**changes, data__noise_aware=True), noisy_folder
    )
    np.testing.assert_allclose(found, OWN, rtol=0.2)
    assert abs(found.mean() / OWN - 1) < 0.07
    assert abs(high) < 0.2 * OWN**2
    naive_low, naive_high, found = learned_spectrum(
        make_config(**changes), noisy_folder
    )
    assert naive_high == pytest.approx(OWN**2, rel=0.25) and not found.any()
    # The band itself is kept by both.
    assert min(low, naive_low) > 30 * OWN**2


def test_the_identity_pixel_by_pixel():
    """Images of one pixel, normal: both posterior means are known, for any levels."""
    sigma = torch.tensor([0.5, 0.5, 0.2, 0.3])
    own = torch.tensor([0.0, 0.3, 0.1, 0.4])[:, None, None, None]
    added = added_level(sigma, own)
    total = torch.maximum(sigma, own[:, 0, 0, 0])[:, None, None, None]
    torch.testing.assert_close(added**2 + own**2, total**2)
    variance = 0.7  # of the clean image; channels are alike
    x = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    clean = x * variance / (variance + sigma[:, None, None, None] ** 2)
    noisy = x * (variance + own**2) / (variance + sigma[:, None, None, None] ** 2)
    got = noisy_estimate(x, clean, sigma, added)
    torch.testing.assert_close(got[:3], noisy[:3])
    # Its own noise is above the level: whatever the network says, it learns nothing.
    torch.testing.assert_close(got[3], x[3])
    torch.testing.assert_close(add_noise(x, x, added)[3], x[3])


@pytest.mark.parametrize("level", [0.02, 0.05])
def test_the_noise_of_a_magnitude_is_found(level):
    i, j = np.mgrid[-1:1:128j, -1:1:128j]
    clean = (i**2 + j**2 < 0.8) * (0.6 + 0.2 * np.cos(9 * i) * np.cos(7 * j))
    clean = clean + 0.2 * (np.hypot(i - 0.2, j) < 0.2)
    rng = np.random.default_rng(1)
    noisy = np.abs(clean + level * complex_normal(rng, clean.shape))
    assert estimate_slice_noise(noisy) == pytest.approx(level, rel=0.1)
    steps = np.round(170 * noisy) / 170  # as 8-bit images are
    assert estimate_slice_noise(steps) == pytest.approx(level, rel=0.12)
    assert estimate_slice_noise(clean) < 0.006
    assert np.isnan(estimate_slice_noise(0 * clean))


def test_a_magnitude_gets_its_lost_phase_back():
    """What comes back is the true image with complex noise, white and of mean zero."""
    rng, level = np.random.default_rng(2), 0.1
    for true in (0.0, 0.3, 1.0):  # of noise alone, some counts as signal
        noisy = np.abs(true + level * complex_normal(rng, (4, 64, 64)))
        unit = torch.from_numpy(rng.standard_normal(noisy.shape, np.float32))
        m = torch.from_numpy(noisy.astype(np.float32))
        phase, own = restored_noise(m, torch.full((4, 1, 1), level), unit)
        z = torch.polar(m, phase)
        noise = z - true
        assert abs(noise.mean()) < 0.06 * level
        assert noise.real.std().item() == pytest.approx(level / 2**0.5, rel=0.06)
        assert noise.imag.std().item() == pytest.approx(level / 2**0.5, rel=0.06)
        # Of noise alone the power around a pixel is now and then below its mean.
        assert own.mean() > 0.9 * level and own.max() < 1.001 * level
    phase, own = restored_noise(m, torch.zeros(4, 1, 1), unit)
    assert not phase.any() and not own.any()
    # A background that was set to zero has no noise.
    m[:, :32] = 0
    _, own = restored_noise(m, torch.full((4, 1, 1), level), unit)
    assert not own[:, :29].any() and (own[:, 35:] > 0.99 * level).all()


def test_the_card_says_from_which_level_on_it_was_trained(
    make_config, noisy_folder, tmp_path
):
    """All images are noisy: below that level the score is held."""
    config = make_config(
        data__train=["train.npy"], data__val=[], data__noise_aware=True,
        optim__steps=1,
    )  # fmt: skip
    file = train(config, noisy_folder, tmp_path, "cpu", show_pbar=False)
    slices = open_training(config.data, noisy_folder)
    low, high = read_card(file).sigma_range
    assert low == pytest.approx(slices.noise.min() / 0.8**0.5) and low > 0.01
    assert high == config.sigma.max
