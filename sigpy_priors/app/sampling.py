"""Posterior sampling as a SigPy App: samples, their mean and uncertainty."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import sigpy as sp
from tqdm.auto import tqdm

from sigpy_priors.app.chained import ChainRun
from sigpy_priors.app.duration import announce
from sigpy_priors.app.sampling_settings import (
    CHAINS,
    SIGMA_FLOOR,
    check_sampling,
    method_of,
    noise_levels,
)
from sigpy_priors.backend import arrays, memory
from sigpy_priors.backend.arrays import Array
from sigpy_priors.posterior import statistics
from sigpy_priors.posterior.draws import Draws
from sigpy_priors.posterior.samplers import METHODS, Denoiser, Noise
from sigpy_priors.priors.base import Prior
from sigpy_priors.priors.digest import prior_digest
from sigpy_priors.scan.checks import check_finite
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.scan.problem import Problem
from sigpy_priors.scan.sense import sense_problem

__all__ = ["PosteriorSampling"]


class PosteriorSampling(sp.app.App):
    r"""Samples of :math:`p(x | y) \propto CN(y; A x, \sigma_y^2 I)\, p(x)`.

    A denoiser is sampled by one of
    :data:`sigpy_priors.posterior.samplers.METHODS`, each sample on its own. A density
    is sampled by Markov chains on the exact log-posterior, with its ``strength``:
    "hmc", :mod:`sigpy_priors.posterior.chains`, until they agree.

    Where the maps are zero the data say nothing, and nothing is claimed: samples
    are zero there. :meth:`of` takes a
    :class:`sigpy_priors.scan.problem.Problem`, :meth:`from_linop` any SigPy operator.

    Args:
        y (array): k-space measurements (coils, ...), zero where not sampled.
        mps (array): sensitivity maps (coils, H, W), or sets (sets, coils, H, W).
        prior (DenoiserPrior or DensityPrior): learned prior.
        num_samples (int): how many to draw; of chains, how many independent ones.
        weights (float, array or None): relative precisions of the data.
        coord (array or None): coordinates, in 1 / field of view.
        noise_std (float or None): standard deviation :math:`\sigma_y` of the
            complex noise of ``y``; None estimates it.
        method (str or None): a sampler of denoisers, "hmc" with a density; None is
            "mmps", or "hmc" for what is a density only.
        steps (int or None): noise levels; None for about 60 network
            evaluations.
        sigma_max (float or None): highest noise level, relative to the scale.
        sigma_min (float or None): lowest one.
        scale (float or None): image magnitude that the prior sees as 1; None
            estimates it.
        seed (int): of all samples; sample i is the same in any chunk, up to
            rounding.
        chunk_size (int or None): samples that go through the network
            together, None for as many as fit; halved when memory runs out.
        keep_samples (bool): False keeps their mean and variance only.
        checkpoint (str, Path or None): ``.npz`` file to which finished chunks
            are written, and from which an interrupted run goes on.
        device (Device): device to compute on.
        coil_batch_size (int or None): coils at a time.
        noise (array or None): covariance, deviations or a noise scan of the
            coils (:func:`sigpy_priors.scan.sense.sense_problem`).
        three_d (bool): k-space is three-dimensional, (coils, D, H, W).
        show_pbar (bool): toggle progress bar.
        **options: of the method; of "hmc" chains, warmup and max_gradients
            (:class:`sigpy_priors.app.chained.ChainRun`).

    Attributes:
        samples (array): shape (num_samples, H, W), after :meth:`run`.
        noise_std (float), scale (float): in use, in the units of ``y`` and of
            the image.
        sigmas (array): noise levels, relative to the scale.
        evaluations (float): network evaluations for each sample, Jacobian
            products counted as one each.
        operator_calls (float): applications of A^H A for each sample.
        converged (bool): of chains, whether R-hat is below 1.05 in 95 % of the pixels.

    Raises:
        ValueError: if something is not finite, does not fit, or is out of
            range.
        FloatingPointError: if samples diverge.

    References:
        Those of the methods: see :mod:`sigpy_priors.posterior.samplers`.
    """

    def __init__(
        self,
        y: Array,
        mps: Array,
        prior: Prior,
        num_samples: int = 16,
        weights: Array | float | None = None,
        coord: Array | None = None,
        noise_std: float | None = None,
        device: Any = sp.cpu_device,
        coil_batch_size: int | None = None,
        noise: Array | None = None,
        three_d: bool = False,
        **kwargs: Any,
    ) -> None:
        check_sampling(prior, num_samples, kwargs, PosteriorSampling._assemble)
        problem = sense_problem(
            y, mps, weights, coord, noise_std, noise, device, coil_batch_size,
            three_d=three_d,
        )  # fmt: skip
        self._assemble(problem, prior, num_samples, **kwargs)

    @classmethod
    def of(
        cls,
        problem: Problem,
        prior: Prior,
        num_samples: int = 16,
        **kwargs: Any,
    ) -> PosteriorSampling:
        """Sample for any inverse problem.

        Args:
            problem (Problem): operator, data and noise.
            prior (DenoiserPrior): learned prior.
            num_samples (int): how many to draw.
            **kwargs: other arguments of the class.

        Returns:
            PosteriorSampling: the app.
        """
        check_sampling(prior, num_samples, kwargs, cls._assemble, problem.linear)
        app = cls.__new__(cls)
        app._assemble(problem, prior, num_samples, **kwargs)
        return app

    @classmethod
    def from_linop(
        cls,
        A: sp.linop.Linop,
        y: Array,
        prior: Prior,
        noise_std: float,
        **kwargs: Any,
    ) -> PosteriorSampling:
        """Sample for any SigPy operator, such as SMS or a field map's.

        Args:
            A (Linop): from images (..., H, W); the prior sees each (H, W).
            y (array): data.
            prior (DenoiserPrior): learned prior.
            noise_std (float): standard deviation of the complex noise of ``y``.
            **kwargs: of :meth:`of`.

        Returns:
            PosteriorSampling: the app.
        """
        check_finite("y", y)
        return cls.of(Problem(A, y, noise_std), prior, **kwargs)

    def _assemble(
        self,
        problem: Problem,
        prior: Prior,
        num_samples: int,
        method: str | None = None,
        steps: int | None = None,
        sigma_max: float | None = None,
        sigma_min: float | None = None,
        scale: float | None = None,
        seed: int = 0,
        chunk_size: int | None = None,
        keep_samples: bool = True,
        checkpoint: str | Path | None = None,
        show_pbar: bool = True,
        **options: Any,
    ) -> None:
        if len(problem.shape) < prior.event_ndim:
            raise ValueError(
                f"{prior!r} is of images with {prior.event_ndim} axes, got an operator "
                f"from {problem.shape}."
            )
        self.prior: Any = prior
        self.method = method_of(method, prior, problem.linear)
        self.seed, self.converged = int(seed), False
        self.num_samples, self.options = num_samples, options
        self.device = sp.get_device(problem.y)
        self.noise_std = problem.noise_std
        self._in_units_of_prior(problem, scale)
        chained = self.method == CHAINS
        self.sigmas: list[float] = []
        self.chunk_size = num_samples
        if not chained:
            self.sigmas = noise_levels(
                self.prior, self.method, self.data.noise_std, self.informative, steps,
                sigma_max, sigma_min,
            )  # fmt: skip
            self.chunk_size = min(chunk_size or self._fitting(), num_samples)
        fingerprint = "" if checkpoint is None else self._fingerprint(keep_samples)
        self.draws = Draws(keep_samples, checkpoint, fingerprint)
        self._run_of_chains: Any = None
        if chained:
            self._chain_up()
        else:
            self.draws.load(self.device)
        super().__init__(None, show_pbar=show_pbar)

    def _chain_up(self) -> None:
        if not self.informative:
            raise ValueError(
                f"y: no data, so that {self.prior!r} alone is to be sampled: it has a "
                f"method sample of its own."
            )
        self._run_of_chains = ChainRun(
            self.data, self.prior, self.seed, self.draws, **self.options
        )
        self._run_of_chains.load(self.device)

    def _in_units_of_prior(self, problem: Problem, scale: float | None) -> None:
        """||A|| = 1, images near 1."""
        xp = sp.get_array_module(problem.y)
        norm = problem.norm
        self.informative = bool(norm > 0 and xp.any(problem.y))
        norm = norm or 1.0
        if scale is None:
            scale = 1.0
            if self.informative:
                scale = estimate_scale(problem.first_image())
        if not 0 < scale < math.inf:
            raise ValueError(f"scale must be > 0 and finite, got {scale}.")
        self.scale = float(scale)
        # What the data do not see would be invented from the prior alone.
        self._support = problem.support if self.informative else None
        low = SIGMA_FLOOR
        if self.method != CHAINS:
            low = max(self.prior.sigma_range[0], low)
        self.data = problem.in_units_of(self.scale, norm)
        # Noiseless data still need a finite weight.
        self.data.noise_std = max(self.data.noise_std, low)

    def run(self) -> Array:
        """Draw the samples that are missing.

        After an interruption the finished chunks are kept, and calling this
        again goes on with the next one.

        Returns:
            array: samples (num_samples, H, W), or their mean with
            ``keep_samples=False``.
        """
        if self._run_of_chains is not None:
            return self._run_chains()
        cost = METHODS[self.method].evaluations(len(self.sigmas), **self.options)
        left = self.num_samples - len(self.draws)
        if self.show_pbar:
            announce(
                self.prior, self.method, self.data.AHy, self.sigmas[-1], left, cost
            )
        with (
            self.device,
            tqdm(
                total=self.num_samples * cost,
                initial=len(self.draws) * cost,
                desc=f"{type(self).__name__} ({self.method})",
                unit="evaluation",
                disable=not self.show_pbar,
            ) as bar,
        ):
            self._denoiser = Denoiser(self.prior, bar.update)
            self._drawn, self.data.normals = 0, 0
            while len(self.draws) < self.num_samples:
                bar.set_postfix_str(f"{len(self.draws)}/{self.num_samples} samples")
                first = len(self.draws)
                chunk, self.chunk_size = memory.halving(
                    lambda n, first=first: self._draw(range(first, first + n)),
                    self.chunk_size,
                    self.num_samples - first,
                )
                self.draws.add(chunk)
                self._drawn += len(chunk)
                self.draws.save()
                # What a sample really costs, which may depend on the data.
                left = self.num_samples - len(self.draws)
                bar.total = round(bar.n + left * self.evaluations)
            bar.set_postfix_str(f"{len(self.draws)}/{self.num_samples} samples")
        return self.samples if self.draws.keep else self.mmse

    def _run_chains(self) -> Array:
        run = self._run_of_chains
        with self.device, arrays.on_stream_of(self.data.y):
            run.run(self.num_samples, lambda x: x * self.scale, self.show_pbar)
        self.converged = run.chains.converged
        return self.samples if self.draws.keep else self.mmse

    def _draw(self, numbers):
        """One chunk of samples, those of these numbers."""
        with arrays.on_stream_of(self.data.y):
            try:
                x = METHODS[self.method].function(
                    self._denoiser,
                    self.data,
                    Noise(self.seed, numbers, self.data.y),
                    self.sigmas,
                    **self.options,
                )
            except ValueError as e:
                if "NaN" not in str(e):
                    raise
                raise FloatingPointError(
                    f"{self.method} diverged: the image is no longer finite; take more "
                    f"steps, smaller ones, or another method."
                ) from e
            x = x * self.scale
            statistics.check_finite(x)
            if self._support is None:
                return x
            return sp.get_array_module(x).where(self._support, x, 0)

    def _fitting(self):
        """Samples that fit together: by far the most is what a Jacobian keeps."""

        def one():
            x = self.data.AHy[None]
            with arrays.on_stream_of(x):
                out, pullback = Denoiser(self.prior).linearize(x, self.sigmas[0])
                pullback(out)

        return memory.fitting(one, self.device.id, self.num_samples)

    def _fingerprint(self, keep):
        sha = hashlib.sha256()
        for a in (self.data.y, self.data.AHy):
            sha.update(np.ascontiguousarray(sp.to_device(a, sp.cpu_device)).tobytes())
        rest = (
            self.method,
            self.sigmas,
            self.seed,
            self.data.noise_std,
            self.scale,
            keep,
            sorted(self.options.items()),
            prior_digest(self.prior),
        )
        sha.update(repr(rest).encode())
        return sha.hexdigest()

    @property
    def samples(self) -> Array:
        """array: samples so far (S, H, W), in the units of the image."""
        return self.draws.samples[: self.num_samples]

    @property
    def mmse(self) -> Array:
        """array: mean of the samples, the minimum-error estimate (H, W)."""
        return self.draws.mean.astype(self.data.AHy.dtype)

    @property
    def std(self) -> Array:
        """array: pointwise standard deviation (H, W)."""
        return self.draws.moments.std.astype(self.data.AHy.real.dtype)

    def interval(self, level: float = 0.9, part: str = "magnitude") -> Any:
        """Pointwise credible interval: :func:`statistics.interval`."""
        return statistics.interval(self.samples, level, part)

    def hallucination_map(
        self, image: Any, level: float = 0.9, part: str = "magnitude"
    ) -> Any:
        """Where an image leaves it: :func:`statistics.hallucination_map`."""
        return statistics.hallucination_map(self.samples, image, level, part)

    def diagnostics(self, chains: int = 2) -> dict:
        """Do the samples agree: :func:`statistics.diagnostics`; of hmc, its chains."""
        if self._run_of_chains is not None:
            return self._run_of_chains.diagnostics()
        return statistics.diagnostics(self.samples, chains)

    @property
    def evaluations(self) -> float:
        """float: network evaluations for each sample of the last run."""
        if self._run_of_chains is not None:
            return self._run_of_chains.chains.target.gradients / self.num_samples
        return self._denoiser.evaluations / max(self._drawn, 1)

    @property
    def operator_calls(self) -> float:
        """float: applications of A^H A for each sample of the last run."""
        drawn = self.num_samples if self._run_of_chains is not None else self._drawn
        return self.data.normals / max(drawn, 1)
