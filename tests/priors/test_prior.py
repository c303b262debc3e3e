"""The denoiser contract: conventions, shapes, errors."""

import numpy as np
import pytest
import sigpy as sp
import torch
from torch import nn

from sigpy_priors.models.precond import EDM, Direct
from sigpy_priors.models.unet import UNet
from sigpy_priors.priors.network import NetworkPrior
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
    np.testing.assert_allclose(out, x / 2, rtol=1e-6)
    inner = prior.to(torch.device("cpu"), torch.float32)
    assert inner.model.net.seen.item() == pytest.approx(1 / 2**0.5)


def test_padding_does_not_reach_inside():
    # A pointwise network: the padded border cannot change a pixel.
    prior = NetworkPrior(Direct(Wiener(0.5)))
    x = np.arange(15).reshape(3, 5) * (1 + 1j)
    np.testing.assert_allclose(prior.denoise(x, 1.0), x / 2)


def test_score_is_held_below_the_trained_range():
    prior = NetworkPrior(Direct(Wiener(0.5)), sigma_range=(0.1, 5))
    x = np.ones((4, 4), complex)
    np.testing.assert_allclose(prior.score(x, 0.01), prior.score(x, 0.1), rtol=1e-3)
    prior = prior.with_options("double")
    np.testing.assert_allclose(prior.score(x, 0.01), prior.score(x, 0.1))


def test_gradient_flows_through_a_tensor():
    prior = small_unet().with_options("double")
    x = torch.randn(8, 8, dtype=torch.complex128, requires_grad=True)
    v = torch.randn(8, 8, dtype=torch.complex128)
    (grad,) = torch.autograd.grad((prior.denoise(x, 0.2) * v.conj()).real.sum(), x)
    step = 1e-6 * torch.randn(8, 8, dtype=torch.complex128)
    with torch.no_grad():
        change = prior.denoise(x + step, 0.2) - prior.denoise(x - step, 0.2)
    found = (change * v.conj()).real.sum() / 2
    assert found.item() == pytest.approx(
        (grad.conj() * step).real.sum().item(), rel=1e-4
    )


def test_a_double_image_runs_the_network_in_single_precision():
    prior = small_unet()
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 2)).view(complex)[..., 0]
    out = prior.denoise(x, 0.2)
    assert out.dtype == np.complex128
    assert list(prior._copies) == [(torch.device("cpu"), torch.float32)]
    exact = prior.with_options("double").denoise(x, 0.2)
    assert 0 < np.abs(out - exact).max() < 1e-5 * np.abs(exact).max()


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


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_bfloat16_changes_little_and_keeps_the_kind(brain, brain_slice, dtype):
    image = brain_slice[0].astype(dtype)
    noisy = image + 0.1 * sp.util.randn(image.shape, dtype=dtype)
    full = brain.denoise(noisy, 0.1)
    fast = brain.with_options("bfloat16").denoise(noisy, 0.1)
    assert fast.dtype == dtype
    change, error = np.linalg.norm(fast - full), np.linalg.norm(full - image)
    assert 0 < change < 0.1 * error


def test_bfloat16_has_a_gradient(brain, brain_slice):
    image = torch.from_numpy(brain_slice[0].astype(np.complex64))
    x = (image + 0.5 * torch.randn_like(image)).requires_grad_()
    grads = []
    for prior in (brain, brain.with_options("bfloat16")):
        out = prior.denoise(x, 0.5)
        grads.append(torch.autograd.grad(out.abs().square().sum(), x)[0])
    assert 0 < (grads[1] - grads[0]).norm() < 0.05 * grads[0].norm()


def test_options_share_weights_and_are_checked():
    prior = small_unet()
    prior.strength = 0.5
    fast = prior.with_options("tf32")
    assert fast.model is prior.model and fast.strength == 0.5
    assert fast.sigma_range == prior.sigma_range and prior.precision == "full"
    x = np.ones((8, 8), np.complex64)
    np.testing.assert_array_equal(fast.denoise(x, 0.1), prior.denoise(x, 0.1))
    with pytest.raises(ValueError, match="full, double, tf32, bfloat16, got 'float8'"):
        prior.with_options("float8")


def test_compiled_once_for_a_device_and_used(monkeypatch):
    calls = []

    def compiler(model, **options):
        calls.append(options)
        buffer = []

        def graph(x, sigma):  # as a CUDA graph: its result is overwritten later
            buffer[:] = buffer or [torch.empty_like(x)]
            return buffer[0].copy_(model(x, sigma))

        return graph

    monkeypatch.setattr(torch, "compile", compiler)
    plain = small_unet()
    prior = plain.with_options(compile=True)
    a, b = (prior.denoise(np.full((8, 8), v, complex), 0.1) for v in (1, 2))
    assert calls == [{"dynamic": False, "mode": "default"}]
    np.testing.assert_allclose(a, plain.denoise(np.full((8, 8), 1 + 0j), 0.1))
    np.testing.assert_allclose(b, plain.denoise(np.full((8, 8), 2 + 0j), 0.1))


@pytest.mark.gpu
def test_cupy_stays_on_its_device():
    cp = pytest.importorskip("cupy")
    prior = small_unet()
    x = cp.asarray(np.random.default_rng(0).standard_normal((8, 8)) + 0j)
    out = prior.denoise(x, 0.2)
    assert isinstance(out, cp.ndarray) and out.device == x.device
    np.testing.assert_allclose(out.get(), prior.denoise(x.get(), 0.2), rtol=1e-6)
