r"""What every sampler speaks to, beside the problem: a counted denoiser, and noise.

All arrays have a leading sample axis, (N, H, W) images and (N, ...) data.
Everything is in the prior's units: images divided by their scale, and so are
the data and their noise level (:meth:`sigpy_priors.scan.problem.Problem.in_units_of`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend import arrays
from sigpy_priors.backend.arrays import Array
from sigpy_priors.priors.base import DenoiserPrior

__all__ = ["Denoiser", "Noise"]


class Noise:
    """Complex white noise, one random stream per sample.

    A sample's noise depends on the seed and its own number only, not on the
    chunk that it is drawn in.

    Args:
        seed (int): seed of all samples.
        numbers (sequence of int): the samples of this chunk.
        like (array): its dtype and device are used.
    """

    def __init__(self, seed: int, numbers: Sequence[int], like: Array) -> None:
        self.rngs = [
            np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(i),)))
            for i in numbers
        ]
        self.dtype = np.dtype(like.dtype)
        self.device = sp.get_device(like)

    def __len__(self) -> Any:
        return len(self.rngs)

    def __call__(self, shape: Any) -> Any:
        """Draw n ~ CN(0, 1), E|n|^2 = 1, of shape (N, *shape)."""
        real = np.float32 if self.dtype == np.complex64 else np.float64
        out = np.empty((len(self),) + tuple(shape), self.dtype)
        for n, rng in zip(out, self.rngs):
            z = rng.standard_normal((2,) + tuple(shape), dtype=real)
            n.real, n.imag = z * math.sqrt(0.5)
        return sp.to_device(out, self.device)


class Denoiser:
    """A prior's denoiser on samples, with its Jacobian and its cost.

    Args:
        prior (DenoiserPrior): the prior.
        progress (function or None): told of every image that went through the
            network, or its Jacobian.

    Attributes:
        forwards (int): images denoised.
        vjps (int): images multiplied with the adjoint Jacobian, each of which
            costs about as much as denoising once more.
    """

    def __init__(self, prior: DenoiserPrior, progress: Callable | None = None) -> None:
        self.prior = prior
        self.sigma_range = prior.sigma_range
        self.forwards = 0
        self.vjps = 0
        self._progress = progress or (lambda count: None)

    @property
    def evaluations(self) -> Any:
        """Network evaluations: forward passes and Jacobian products."""
        return self.forwards + self.vjps

    def __call__(self, x: Any, sigma: Any) -> Any:
        out = self.prior.denoise(x, float(sigma))
        self.forwards += len(x)
        self._progress(len(x))
        return out

    def linearize(self, x: Array, sigma: float) -> tuple:
        """Denoise, and get the adjoint Jacobian at ``x``.

        Args:
            x (array): images (N, H, W).
            sigma (float): noise level.

        Returns:
            tuple: D(x, sigma), and a function that multiplies images with the
            adjoint of its Jacobian.
        """
        import torch

        z = arrays.to_torch(x).detach().clone().requires_grad_()
        out = self.prior.denoise(z, float(sigma))
        self.forwards += len(x)
        self._progress(len(x))

        def pullback(v):
            (g,) = torch.autograd.grad(out, z, arrays.to_torch(v), retain_graph=True)
            self.vjps += len(x)
            self._progress(len(x))
            return arrays.from_torch(g.detach().resolve_conj(), x)

        return arrays.from_torch(out.detach(), x), pullback
