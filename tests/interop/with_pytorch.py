"""Run by the Python of the tests: sigpy.pytorch comes with SigPy."""

import numpy as np
import sigpy as sp
import sigpy.pytorch
import torch
from common import N, exact, gaussian, run_all, scan

import sigpy_priors as spp


def check_an_unrolled_method_is_the_one_in_sigpy():
    prior = gaussian()
    y, _, mask, sigma = scan(coils=1)
    A = sp.linop.Multiply((N, N), mask) * sp.linop.FFT((N, N), axes=(-2, -1))
    normal = sigpy.pytorch.to_pytorch_function(A.N, True, True).apply
    denoise = spp.interop.pytorch.denoiser(prior)
    b = sigpy.pytorch.to_pytorch(A.H(y[0]).astype(np.complex64))
    x, level = torch.zeros_like(b), torch.tensor(sigma, requires_grad=True)
    for _ in range(300):
        x = denoise(x - (normal(x) - b), sigma)
    got = sigpy.pytorch.from_pytorch(x, iscomplex=True)
    np.testing.assert_allclose(got, exact(prior, y, mask, sigma), atol=2e-3)
    # The gradient goes through, to the image and to what is before it.
    start = b.detach().requires_grad_()
    out = denoise(start - (normal(start) - b.detach()), level.detach())
    (out * torch.randn_like(out)).sum().backward()
    assert start.grad.abs().max() > 0


def check_the_layout_is_named():
    denoise = spp.interop.pytorch.denoiser(gaussian())
    for x in (torch.zeros(N, N), torch.zeros(N, N, dtype=torch.complex64)):
        try:
            denoise(x, 0.1)
        except ValueError as e:
            assert "(..., H, W, 2)" in str(e)
        else:
            raise AssertionError("taken")


if __name__ == "__main__":
    run_all(globals())
