"""What runs out of memory is done in smaller pieces, and right."""

import numpy as np
import pytest
import sigpy as sp
import torch
from sigpy.mri.linop import Sense

from sigpy_priors.backend import memory
from sigpy_priors.linop import HalvingSense, SenseNormal
from sigpy_priors.models.precond import EDM
from sigpy_priors.models.unet import UNet
from sigpy_priors.priors.network import NetworkPrior
from sigpy_priors.testing import check_linop


class Limited(torch.nn.Module):
    """A network on a GPU that holds so many images."""

    def __init__(self, model, most):
        super().__init__()
        self.model, self.most, self.seen = model, most, []

    def forward(self, x, sigma):
        self.seen.append(len(x))
        if len(x) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return self.model(x, sigma)

    def __deepcopy__(self, memo):
        return self  # what it has seen is seen by the test


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = EDM(UNet(channels=(4,), blocks=(1,), emb_channels=8))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return model


@pytest.mark.parametrize(
    "error, memory_ran_out",
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (type("OutOfMemoryError", (Exception,), {})("cupy"), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory of that"), False),
    ],
)
def test_which_errors_are_of_memory(error, memory_ran_out):
    assert memory.out_of_memory(error) is memory_ran_out


def test_memory_that_ran_out_inside_an_operator():
    class Operator(sp.linop.Linop):
        def _apply(self, input):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(RuntimeError) as e:
        Operator((2,), (2,))(np.ones(2))
    assert memory.out_of_memory(e.value)


def test_a_batch_is_halved_until_it_fits(network, rng):
    x = rng.standard_normal((11, 8, 12)) + 1j * rng.standard_normal((11, 8, 12))
    sigma = np.linspace(0.1, 0.5, 11)
    expected = NetworkPrior(network).denoise(x, sigma)
    limited = Limited(network, most=3)
    prior = NetworkPrior(limited)
    np.testing.assert_allclose(prior.denoise(x, sigma), expected, atol=1e-6)
    assert limited.seen == [8, 4, 2, 2, 2, 2, 2, 1]
    limited.seen.clear()
    prior.denoise(x, sigma)
    assert max(limited.seen) == 2, "what did not fit was tried again"


def test_one_image_that_does_not_fit_is_an_error(network):
    prior = NetworkPrior(Limited(network, most=0))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        prior.denoise(np.ones((3, 8, 8), complex), 0.1)


def test_other_errors_are_not_tried_again(network):
    class Broken(Limited):
        def forward(self, x, sigma):
            self.seen.append(len(x))
            raise RuntimeError("size mismatch")

    broken = Broken(network, 1)
    with pytest.raises(RuntimeError, match="size mismatch"):
        NetworkPrior(broken).denoise(np.ones((3, 8, 8), complex), 0.1)
    assert broken.seen == [3]


def test_chunks_come_from_the_free_memory(monkeypatch):
    monkeypatch.setattr(memory, "_need", lambda function, gpu: function() * 100)
    monkeypatch.setattr(memory, "_free", lambda gpu: 1000)
    assert memory.fitting(lambda: 1, 0, 20) == 8  # 0.8 of 1000 / 100
    assert memory.fitting(lambda: 1, 0, 5) == 5
    assert memory.fitting(lambda: 99, 0, 5) == 1
    assert memory.fitting(None, 0, 1) == 1, "measured although there is one only"
    assert memory.fitting(None, -1, 100) == memory.CPU_BATCH


def test_coils_are_halved_until_they_fit(monkeypatch, rng):
    mps = rng.standard_normal((7, 6, 8)) + 1j * rng.standard_normal((7, 6, 8))
    weights = rng.random((7, 6, 8))
    x = rng.standard_normal((6, 8)) + 0j
    expected = Sense(mps, weights=weights).N * x
    seen, apply_coils = [], SenseNormal._apply_coils

    def limited(self, mps, *rest):
        seen.append(len(mps))
        if len(mps) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return apply_coils(self, mps, *rest)

    monkeypatch.setattr(SenseNormal, "_apply_coils", limited)
    normal = SenseNormal(mps, weights)
    np.testing.assert_allclose(normal(x), expected, atol=1e-10)
    np.testing.assert_allclose(normal(x), expected, atol=1e-10)
    assert seen == [7, 3, 1, 1, 1, 1, 1, 1, 1] + 7 * [1]


def test_coils_of_a_nufft_are_halved_until_they_fit(monkeypatch, rng):
    mps = rng.standard_normal((7, 6, 8)) + 1j * rng.standard_normal((7, 6, 8))
    coord = rng.uniform(-3, 3, (40, 2))
    x = rng.standard_normal((6, 8)) + 0j
    y = rng.standard_normal((7, 40)) + 0j
    sense = Sense(mps, coord=coord)
    expected = sense(x), sense.H(y), sense.N(x)
    check_linop(HalvingSense(mps, coord=coord), dtype=np.complex128)
    seen, apply = [], sp.linop.NUFFT._apply

    def limited(self, input):
        seen.append(self.ishape[0])
        if self.ishape[0] > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return apply(self, input)

    monkeypatch.setattr(sp.linop.NUFFT, "_apply", limited)
    for batch, tried in ((None, [7, 3] + 7 * [1]), (4, [4, 2, 2, 2, 1])):
        A = HalvingSense(mps, coil_batch_size=batch, coord=coord)
        seen.clear()
        np.testing.assert_allclose(A(x), expected[0], atol=1e-10)
        assert seen == tried
        np.testing.assert_allclose(A.H(y), expected[1], atol=1e-10)
        np.testing.assert_allclose(A.N(x), expected[2], atol=1e-10)
        assert max(seen[len(tried) :]) == tried[-2], "what did not fit was tried again"
