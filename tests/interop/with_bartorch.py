"""Run by the Python that has bartorch."""

import no_torchvision  # noqa: F401  isort: skip
import bartorch
import numpy as np
import torch
from common import N, exact, gaussian, run_all, scan

import sigpy_priors as spp


def check_the_denoiser_is_ours_at_the_levels_of_the_schedule():
    prior = gaussian()
    reg = spp.interop.bartorch.regularizer(prior, [0.4, 0.1], scale=2.0)
    assert isinstance(reg, bartorch.priors.ImplicitPrior)
    x = torch.randn(1, N, N, dtype=torch.complex64)
    want = 2 * prior.denoise(x / 2, 0.1)
    torch.testing.assert_close(reg.denoiser(x, torch.tensor(0.1)), want)


def check_fista_of_bart_finds_the_exact_image():
    """A denoiser at the level of sigma with unit steps is the prox of the posterior."""
    prior = gaussian()
    y, _, mask, sigma = scan(coils=1)
    A = bartorch.linop.Diagonal(
        torch.from_numpy(mask).to(torch.complex64), (N, N)
    ) @ bartorch.linop.FFT((N, N), axes=(-2, -1))
    reg = spp.interop.bartorch.regularizer(prior, sigma)
    x = bartorch.optim.fista(torch.from_numpy(y[0]), A, reg, maxiter=300, step=1.0)
    np.testing.assert_allclose(x.numpy(), exact(prior, y, mask, sigma), atol=5e-3)


if __name__ == "__main__":
    run_all(globals())
