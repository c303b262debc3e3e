"""Fixtures of the tests of ONNX; without the extra they are skipped."""

import math

import numpy as np
import pytest
import torch

for _name in ("onnx", "onnxruntime"):
    pytest.importorskip(_name, reason="needs the extra [onnx]")


@pytest.fixture(scope="session")
def smooth():
    """The closed-form denoiser in our convention, complex sigma."""
    from onnx_networks import Smooth

    denoiser = Smooth().eval()

    def ours(x, sigma):
        with torch.no_grad():
            z = torch.from_numpy(np.stack([x.real, x.imag])[None].astype(np.float32))
            out = denoiser(z, torch.tensor([sigma / math.sqrt(2)], dtype=torch.float32))
        return (out[0, 0] + 1j * out[0, 1]).numpy()

    return ours


@pytest.fixture
def image(rng):
    """A complex image of odd sizes."""
    x = rng.standard_normal((2, 53, 42)).astype(np.float32)
    return (x[0] + 1j * x[1]).astype(np.complex64)
