"""PixelCNN: a normalised, strictly causal density, and how it is sampled."""

import itertools
import math

import numpy as np
import pytest
import torch

from sigpy_priors.models.ancestral import ancestral_sample
from sigpy_priors.models.logistic_mixture import LogisticMixture
from sigpy_priors.models.pixelcnn import PixelCNN


def network(channels=2, **options):
    torch.manual_seed(0)
    options = {"nr_filters": (8, 12, 16), "nr_resnet": (2, 1, 2)} | options
    model = PixelCNN(channels, nr_logistic_mix=3, **options).double()
    for p in model.parameters():
        p.data.normal_(0, 0.2)
    return model.requires_grad_(False)


@pytest.mark.parametrize("channels", [1, 2])
def test_strictly_causal(channels):
    model = network(channels)
    x = torch.randn(1, channels, 11, 14, dtype=torch.double, requires_grad=True)
    params = model.params(x)
    seen_left = seen_right = 0
    for i, j in itertools.product(range(11), range(14)):
        (g,) = torch.autograd.grad(params[0, i, j].sum(), x, retain_graph=True)
        g = g.abs().sum(1).flatten()
        place = i * 14 + j
        assert (g[place:] == 0).all()
        if i and j:
            assert g[place - 1] > 0  # left neighbour
            assert g[place - 14] > 0  # upper neighbour
        if i and j < 13:
            seen_right += g[place - 13] > 0
        seen_left += (g[:place] > 0).sum()
    assert seen_right == 10 * 13  # upper right neighbour: no blind spot
    assert seen_left > 0.8 * sum(range(11 * 14))


def test_imaginary_part_knows_the_real_one():
    mixture = LogisticMixture(2, 3, 33, 1.0)
    params = torch.randn(mixture.size, dtype=torch.double)
    x = torch.tensor([0.25, -0.5], dtype=torch.double, requires_grad=True)
    other = x.detach() * torch.tensor([1, 0.0])
    given = [mixture.log_prob(params, v) for v in (x, other)]
    # p(im | re) / p(im' | re) changes with re, so that they are coupled.
    moved = [mixture.log_prob(params, v + torch.tensor([0.5, 0])) for v in (x, other)]
    assert abs((given[0] - given[1]) - (moved[0] - moved[1])) > 1e-3


@pytest.mark.parametrize("channels", [1, 2])
def test_sums_to_one(channels):
    """All images of 2 x 2 pixels and four levels."""
    levels = 4 if channels == 1 else 2
    model = network(
        channels, levels=levels, bound=1.0, nr_filters=(4, 4), nr_resnet=(1, 1)
    )
    grid = np.linspace(-1, 1, levels)
    images = np.array(list(itertools.product(grid, repeat=4 * channels)))
    images = torch.from_numpy(images).reshape(-1, channels, 2, 2)
    total = model(images).sum((1, 2)).exp().sum().item()
    assert total == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("channels", [1, 2])
def test_pixel_sums_to_one_in_the_tails(channels):
    mixture = LogisticMixture(channels, 4, 9, 2.0)
    params = 3 * torch.randn(7, mixture.size, dtype=torch.double)
    grid = torch.linspace(-2, 2, 9, dtype=torch.double)
    values = torch.cartesian_prod(*[grid] * channels).reshape(-1, channels)
    p = mixture.log_prob(params[:, None], values).exp().sum(1)
    np.testing.assert_allclose(p.numpy(), 1, atol=1e-12)


def test_exact_where_a_difference_of_sigmoids_is_not():
    mixture = LogisticMixture(1, 1, 513, 2.0)
    params = torch.tensor([0.0, -1.5, -5.0], requires_grad=True)
    far = mixture.log_prob(params, torch.tensor([1.5]))
    # The tail of a logistic: exp(-(v - m) / s) times its width.
    scale = math.exp(-5)
    expected = -3 / scale + math.log(2 * math.sinh(mixture.step / 2 / scale))
    assert far.item() == pytest.approx(expected, rel=1e-5)
    (grad,) = torch.autograd.grad(far, params)
    assert torch.isfinite(grad).all()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("shape", [(8, 8), (7, 10), (9, 5)])
def test_cached_sampling_is_naive_sampling(channels, shape):
    model = network(channels)
    noise = torch.rand(2, *shape, 3 + channels, dtype=torch.double)
    x = ancestral_sample(model, shape, noise, show_pbar=False)
    naive = torch.zeros_like(x)
    for i, j in itertools.product(*map(range, shape)):
        params = model.params(naive)[:, i, j]
        naive[:, :, i, j] = model.mixture.sample(params, noise[:, i, j])
    assert torch.equal(x, naive)
    assert torch.equal(model.mixture.quantize(x), x)
    assert x.std() > 0


def test_samples_have_the_stated_distribution():
    mixture = LogisticMixture(1, 3, 9, 2.0)
    params = torch.randn(mixture.size, generator=torch.Generator().manual_seed(1))
    noise = torch.rand(40000, 4, generator=torch.Generator().manual_seed(2))
    x = mixture.sample(params.expand(len(noise), -1), noise)[:, 0]
    for value in torch.linspace(-2, 2, 9):
        p = mixture.log_prob(params, value[None]).exp().item()
        assert (x == value).float().mean().item() == pytest.approx(p, abs=0.01)


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="channels must be 1 or 2, got 3"):
        PixelCNN(3)
    with pytest.raises(ValueError, match="one entry per level"):
        PixelCNN(2, (8, 8), (1,))
