"""The samplers of deepinv beside ours, on the Gaussian oracle.

    python -m venv VENV && VENV/bin/pip install --no-deps deepinv==0.5.0
    echo SITE-PACKAGES > VENV/lib/python3.11/site-packages/base.pth
    PYTHONPATH=. VENV/bin/python tests/benchmarks/posterior_deepinv.py [--size 32]

SITE-PACKAGES is the folder of the environment in which sigpy_priors runs: so
deepinv sees the same torch, and nothing that it wants is installed. What it
imports beyond (torchvision, requests, natsort) serves nothing here: empty
modules stand for them.

Same data, same denoiser, about the same 60 network evaluations for each
sample, Jacobian products counted. Complex images are two real channels with
noise sigma / sqrt(2) each. deepinv's settings are its defaults, but for the
noise levels of the denoiser, 10 to 0.002.
"""

import argparse
import importlib.abc
import importlib.machinery
import os
import sys
import time
import types
from contextlib import contextmanager

os.environ.setdefault("OMP_NUM_THREADS", "1")


class _Empty(types.ModuleType):
    """A module in which every capitalised name is a class, others a module."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {}) if name[0].isupper() else _Empty(name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torchvision", "requests", "natsort"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return _Empty(spec.name)

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, _Finder())

import deepinv
import numpy as np
import torch
from deepinv.sampling import (
    DPS,
    DDPMSolver,
    DiffPIR,
    PiGDMDataFidelity,
    PosteriorDiffusion,
    VarianceExplodingDiffusion,
)
from posterior import NOISE, SAMPLES, Problem, row

from sigpy_priors.app.sampling import PosteriorSampling
from sigpy_priors.backend.arrays import from_channels, to_channels
from sigpy_priors.priors.gaussian import GaussianPrior

SIGMA = NOISE / 2**0.5


class Denoiser(deepinv.models.Denoiser):
    """A prior for real channels, counting its calls."""

    def __init__(self, prior):
        super().__init__()
        self.prior, self.calls = prior, 0

    def forward(self, x, sigma, *args, **kwargs):
        z = from_channels(x)
        sigma = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1).expand(len(z))
        self.calls += len(z)
        return to_channels(self.prior._denoise(z, sigma * 2**0.5)).to(x.dtype)


class Sense(deepinv.physics.LinearPhysics):
    """Cartesian SENSE on real channels."""

    def __init__(self, problem):
        super().__init__(noise_model=deepinv.physics.GaussianNoise(SIGMA))
        self.mps = torch.from_numpy(problem.mps)
        self.mask = torch.from_numpy(problem.weights)

    def _fft(self, x, transform):
        x = torch.fft.ifftshift(x, dim=(-2, -1))
        return torch.fft.fftshift(transform(x, norm="ortho"), dim=(-2, -1))

    def A(self, x, **kwargs):
        z = from_channels(x)[:, None] * self.mps
        k = self.mask * self._fft(z, torch.fft.fft2)
        return torch.cat([k.real, k.imag], 1).to(x.dtype)

    def A_adjoint(self, y, **kwargs):
        k = torch.complex(*y.chunk(2, 1)) * self.mask
        z = (self.mps.conj() * self._fft(k, torch.fft.ifft2)).sum(1)
        return to_channels(z).to(y.dtype)


@contextmanager
def unclamped():
    """Without the clamp to [0, 1] that DiffPIR applies to denoised images."""
    clamp, torch.Tensor.clamp = torch.Tensor.clamp, lambda x, *a, **k: x
    try:
        yield
    finally:
        torch.Tensor.clamp = clamp


def samplers(denoiser):
    """Name to (sampler, network evaluations per call of the denoiser)."""
    l2 = deepinv.optim.L2()
    ve = {"sigma_min": 0.002 / 2**0.5, "sigma_max": 10 / 2**0.5, "alpha": 1.0}
    pir = DiffPIR(denoiser, l2, sigma=SIGMA, max_iter=60)
    steps = torch.linspace(1, 0, 30, dtype=torch.float64)
    pigdm = PosteriorDiffusion(
        PiGDMDataFidelity(denoiser),
        denoiser,
        VarianceExplodingDiffusion(**ve),
        DDPMSolver(timesteps=steps),
        minus_one_one=False,
    )
    dps = DPS(denoiser, schedule="ve", num_steps=30, minus_one_one=False)
    return {
        "DiffPIR": (pir, False),
        "DiffPIR, no clamp": (pir, True),
        "DPS": (dps, False),
        "PiGDM": (pigdm, False),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32)
    args = parser.parse_args()
    problem = Problem(args.size)
    prior = GaussianPrior(problem.mean, problem.cov)
    print("method       | mean/fl. | std rat. | cover90 | calls | A^H A | seconds")
    row("exact", problem.score(problem.draw(SAMPLES, 0)))
    app = PosteriorSampling(
        problem.y,
        problem.mps,
        prior,
        SAMPLES,
        weights=problem.weights,
        noise_std=NOISE,
        scale=1.0,
        chunk_size=SAMPLES,
        show_pbar=False,
    )
    start = time.time()
    row(
        "mmps",
        problem.score(app.run()),
        app.evaluations,
        app.operator_calls,
        time.time() - start,
    )
    physics = Sense(problem)
    y = torch.from_numpy(problem.y)[None].repeat(SAMPLES, 1, 1, 1)
    y = torch.cat([y.real, y.imag], 1)
    shape = (SAMPLES, 2) + problem.x.shape
    for name in ("DiffPIR", "DiffPIR, no clamp", "DPS", "PiGDM"):
        denoiser = Denoiser(prior)
        sampler, bare = samplers(denoiser)[name]
        start = time.time()
        torch.manual_seed(0)
        if isinstance(sampler, DiffPIR):
            if bare:
                with unclamped():
                    x = sampler(y, physics)
            else:
                x = sampler(y, physics)
        else:
            x = sampler(y, physics, x_init=shape, seed=0)
        x = from_channels(x.detach()).numpy().astype(np.complex128)
        try:
            row(
                name,
                problem.score(x),
                denoiser.calls / SAMPLES,
                seconds=time.time() - start,
            )
        except (ValueError, FloatingPointError) as e:
            print(f"{name}: {e}")


if __name__ == "__main__":
    main()
