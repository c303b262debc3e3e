"""What a density costs: its gradient beside its forward pass, LogPriorReg
beside the bare gradient, and a cached sample.

    python tests/benchmarks/density.py [--prior brain-pixelcnn]

Ratios are of medians of calls in turn, in one run.
"""

import argparse
import time

import numpy as np
import sigpy as sp
import torch
from prox import in_turn

import sigpy_priors as spp
from sigpy_priors.backend import arrays


def contenders(prior, shape):
    """LogPriorReg, the bare gradient, and the bare forward pass of one image."""
    x = 0.3 * sp.randn(shape, dtype=np.complex64)
    reg = spp.prox.LogPriorReg(shape, prior, 0.5)
    model = prior.to(torch.device("cpu"), torch.float32)
    channels = arrays.to_channels(torch.from_numpy(x)[None])
    channels = arrays.density_channels(channels, model.channels)
    channels = channels.contiguous(memory_format=torch.channels_last)

    def gradient():
        z = channels.detach().requires_grad_(True)
        torch.autograd.grad(model(z).sum(), z)

    def forward():
        with torch.no_grad():
            model(channels)

    return (lambda: reg(0.01, x)), gradient, forward


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="brain-pixelcnn")
    args = parser.parse_args()
    prior = spp.load_prior(args.prior)
    reg, gradient, forward = in_turn(contenders(prior, (256, 256)), 9)
    print(f"256 x 256: gradient / forward = {gradient / forward:.2f}")
    print(f"           LogPriorReg / bare gradient = {reg / gradient:.3f}")
    start = time.perf_counter()
    prior.sample((64, 64), show_pbar=False)
    print(f"a sample of 64 x 64: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
