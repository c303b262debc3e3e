"""A prior of your own, checked against a closed form
==================================================

The "network" is one that predicts the noise of a DDPM (eps), and happens to be
known in closed form, so that everything here can be verified. Any torch
module takes its place: choose the preconditioning that it was trained with::

    python examples/3_own_prior.py
"""

import argparse

import numpy as np
import torch

import sigpy_priors as spp
from sigpy_priors.models.precond import VP
from sigpy_priors.testing import check_prior


class Eps(torch.nn.Module):
    """Exact noise predictor for white images of variance v per channel."""

    def __init__(self, v=0.04):
        super().__init__()
        self.v = torch.nn.Parameter(torch.tensor(v))
        betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
        self.register_buffer("alpha_bar", torch.cumprod(1 - betas, 0))

    def forward(self, z, t):
        # Between two steps the schedule is read as the preconditioning does.
        table = 0.5 * torch.log((1 - self.alpha_bar) / self.alpha_bar).to(z)
        lo = t.floor().long().clamp(0, len(table) - 2)
        sigma = torch.exp(table[lo] + (t - lo) * (table[lo + 1] - table[lo]))
        sigma = sigma[:, None, None, None]
        x = z * torch.sqrt(1 + sigma**2)
        return sigma * x / (self.v.to(z) + sigma**2)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args(argv)

    model = VP(Eps(), output="eps")
    low, high = model.sigma_range  # per channel; a complex sigma is sqrt(2) larger
    prior = spp.NetworkPrior(model, sigma_range=(2**0.5 * low, 2**0.5 * high))
    check_prior(prior, (32, 24), tol=1e-3)

    exact = spp.GaussianPrior(np.zeros((32, 24)), spectrum=np.full((32, 24), 0.08))
    x = np.random.default_rng(0).standard_normal((32, 24)) + 0j
    error = np.abs(prior.denoise(x, 0.1) - exact.denoise(x, 0.1)).max()
    print(f"contract kept; largest difference to the closed form: {error:.1e}")


if __name__ == "__main__":
    main()
