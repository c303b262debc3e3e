"""The denoiser contract: conventions, shapes, errors."""

import numpy as np
import pytest
import torch
from torch import nn

from sigpy_priors.models.precond import EDM, Direct
from sigpy_priors.models.unet import UNet
from sigpy_priors.prior import NetworkPrior
from sigpy_priors.testing import check_prior


class Wiener(nn.Module):
    """Exact denoiser of N(0, v) in each real channel."""

    stride = 4

    def __init__(self, v):
        super().__init__()
        self.v = nn.Parameter(torch.tensor(v, dtype=torch.float64))

    def forward(self, x, sigma):
        self.seen = sigma
        gain = self.v / (self.v + sigma**2)
        return gain[:, None, None, None] * x


def small_unet(seed=0):
    torch.manual_seed(seed)
    model = EDM(UNet(channels=(8, 8), blocks=(1, 1), emb_channels=8))
    with torch.no_grad():  # a new network is zero: give it something to say
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return NetworkPrior(model, sigma_range=(0.002, 10))


@pytest.mark.parametrize("shape", [(8, 8), (7, 10), (1, 5)])
def test_network_keeps_the_contract_at_any_size(shape):
    check_prior(small_unet(), shape, tol=1e-3)


def test_network_sees_sigma_over_sqrt_two():
    model = Direct(Wiener(0.5))
    prior = NetworkPrior(model)
    x = np.ones((4, 4), complex)
    out = prior.denoise(x, 1.0)
    # Complex variance 1 in prior and noise alike, half of it per channel.
    np.testing.assert_allclose(out, x / 2)
    inner = prior.to(torch.device("cpu"), torch.float64)
    assert inner.net.seen.item() == pytest.approx(1 / 2**0.5)


def test_padding_does_not_reach_inside():
    # A pointwise network: the padded border cannot change a pixel.
    prior = NetworkPrior(Direct(Wiener(0.5)))
    x = np.arange(15).reshape(3, 5) * (1 + 1j)
    np.testing.assert_allclose(prior.denoise(x, 1.0), x / 2)


def test_score_is_held_below_the_trained_range():
    prior = NetworkPrior(Direct(Wiener(0.5)), sigma_range=(0.1, 5))
    x = np.ones((4, 4), complex)
    np.testing.assert_allclose(prior.score(x, 0.01), prior.score(x, 0.1))


def test_gradient_flows_through_a_tensor():
    prior = small_unet()
    x = torch.randn(8, 8, dtype=torch.complex128, requires_grad=True)
    v = torch.randn(8, 8, dtype=torch.complex128)
    (grad,) = torch.autograd.grad((prior.denoise(x, 0.2) * v.conj()).real.sum(), x)
    step = 1e-6 * torch.randn(8, 8, dtype=torch.complex128)
    with torch.no_grad():
        change = prior.denoise(x + step, 0.2) - prior.denoise(x - step, 0.2)
    found = (change * v.conj()).real.sum() / 2
    assert found.item() == pytest.approx((grad.conj() * step).real.sum().item(), rel=1e-4)


def test_evaluations_count_images():
    prior = small_unet()
    prior.denoise(np.zeros((2, 3, 8, 8), complex), 0.1)
    prior.denoise(np.zeros((8, 8), complex), 0.1)
    assert prior.evaluations == 7


@pytest.mark.parametrize(
    "x, sigma, message",
    [
        (np.zeros(8, complex), 0.1, "expected an image"),
        (np.zeros((8, 8)), 0.1, "expected a complex image, got float64"),
        (np.zeros((8, 8), complex), -0.1, "sigma must be between"),
        (np.zeros((8, 8), complex), float("nan"), "sigma must be between"),
        (np.zeros((8, 8), complex), 11.0, "divided by its scale"),
        (np.zeros((3, 8, 8), complex), np.ones(2), "does not fit the batch axes"),
    ],
)
def test_bad_input(x, sigma, message):
    with pytest.raises(ValueError, match=message):
        small_unet().denoise(x, sigma)


@pytest.mark.gpu
def test_cupy_stays_on_its_device():
    cp = pytest.importorskip("cupy")
    prior = small_unet()
    x = cp.asarray(np.random.default_rng(0).standard_normal((8, 8)) + 0j)
    out = prior.denoise(x, 0.2)
    assert isinstance(out, cp.ndarray) and out.device == x.device
    np.testing.assert_allclose(out.get(), prior.denoise(x.get(), 0.2), rtol=1e-6)
