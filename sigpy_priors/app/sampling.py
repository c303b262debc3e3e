"""Posterior sampling as a SigPy App: samples, their mean and uncertainty."""

import hashlib
import inspect
import math

import numpy as np
import sigpy as sp
from tqdm.auto import tqdm

from sigpy_priors.backend import arrays
from sigpy_priors.backend import memory
from sigpy_priors.posterior import statistics
from sigpy_priors.priors.base import DenoiserPrior, check_kind
from sigpy_priors.scan.checks import check_data, check_finite
from sigpy_priors.posterior.draws import Draws
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.scan.problem import Problem, check_noise_std, sense_problem
from sigpy_priors.posterior.samplers import METHODS, DataTerm, Denoiser, Noise

__all__ = ["PosteriorSampling"]

# Highest noise level with data, which tell what is coarse, and without.
_SIGMA_MAX = 5.0
_SIGMA_MAX_PRIOR = 50.0
_STEPS_PRIOR = 60
# Lowest level, relative to that of the data. There samples differ from
# posterior ones by less than a hundredth of their standard deviation.
_SIGMA_MIN = 0.2
_SIGMA_FLOOR = 1e-4


class PosteriorSampling(sp.app.App):
    r"""Samples of :math:`p(x | y) \propto CN(y; A x, \sigma_y^2 I)\, p(x)`.

    Args:
        y (array): k-space measurements (coils, ...), zero where not sampled;
            with ``A``, of its output shape.
        mps (array or None): sensitivity maps (coils, H, W).
        prior (DenoiserPrior): learned prior.
        num_samples (int): how many to draw.
        A (Linop or None): instead of ``mps``, any SigPy operator from (H, W);
            it needs ``noise_std``.
        weights (array or None): mask or k-space weights, with ``mps``.
        coord (array or None): coordinates, with ``mps``.
        noise_std (float or None): standard deviation :math:`\sigma_y` of the
            complex noise of ``y``; None estimates it.
        method (str): one of :data:`sigpy_priors.posterior.samplers.METHODS`.
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
        show_pbar (bool): toggle progress bar.
        **options: of the method.

    Attributes:
        samples (array): shape (num_samples, H, W), after :meth:`run`.
        noise_std (float), scale (float): in use, in the units of ``y`` and of
            the image.
        sigmas (array): noise levels, relative to the scale.
        evaluations (float): network evaluations for each sample, Jacobian
            products counted as one each.
        operator_calls (float): applications of A^H A for each sample.

    Raises:
        ValueError: if something is not finite, does not fit, or is out of
            range.
        FloatingPointError: if samples diverge.

    References:
        Those of the methods: see :mod:`sigpy_priors.posterior.samplers`.
    """

    def __init__(
        self,
        y,
        mps=None,
        prior=None,
        num_samples=16,
        A=None,
        weights=None,
        coord=None,
        noise_std=None,
        method="mmps",
        steps=None,
        sigma_max=None,
        sigma_min=None,
        scale=None,
        seed=0,
        chunk_size=None,
        keep_samples=True,
        checkpoint=None,
        device=sp.cpu_device,
        coil_batch_size=None,
        show_pbar=True,
        **options,
    ):
        _check(y, mps, prior, A, coord, noise_std, method, options)
        for name, v in (("num_samples", num_samples), ("steps", steps),
                        ("chunk_size", chunk_size)):
            if v is not None and v < 1:
                raise ValueError(f"{name} must be at least 1, got {v}.")
        self.prior, self.method, self.seed = prior, method, int(seed)
        self.num_samples, self.options = num_samples, options
        self.device = sp.Device(device)
        if A is None:
            problem = sense_problem(
                y, mps, weights, coord, noise_std, self.device, coil_batch_size
            )
        else:
            problem = Problem(A, sp.to_device(y, self.device), noise_std)
        self.noise_std = problem.noise_std
        self._assemble(problem, scale)
        self._schedule(steps, sigma_max, sigma_min)
        self.chunk_size = min(chunk_size or self._fitting(), num_samples)
        self.draws = Draws(keep_samples, checkpoint, self._fingerprint(keep_samples))
        self.draws.load(self.device)
        super().__init__(None, show_pbar=show_pbar)

    @classmethod
    def from_linop(cls, A, y, prior, noise_std, **kwargs):
        """Sample for any SigPy operator, such as SMS or a field map's.

        Args:
            A (Linop): from images (H, W).
            y (array): data.
            prior (DenoiserPrior): learned prior.
            noise_std (float): of the complex noise of ``y``.
            **kwargs: other arguments of the class.

        Returns:
            PosteriorSampling: the app.
        """
        return cls(y, prior=prior, A=A, noise_std=noise_std, **kwargs)

    def _assemble(self, problem, scale):
        """Everything in the prior's units: ||A|| = 1, images near 1."""
        size = problem.largest_eigenvalue()
        self.informative = bool(size > 0 and (problem.y != 0).any())
        size = size if size > 0 else 1.0
        if scale is None:
            scale = 1.0
            if self.informative:
                scale = estimate_scale(problem.first_image(size))
        if not 0 < scale < math.inf:
            raise ValueError(f"scale must be > 0 and finite, got {scale}.")
        self.scale = float(scale)
        norm = math.sqrt(size)
        low = max(self.prior.sigma_range[0], _SIGMA_FLOOR)
        # Noiseless data still need a finite weight.
        sigma = max(self.noise_std / self.scale / norm, low)
        self.data = DataTerm(
            problem.A * (1 / norm), problem.y / (norm * self.scale), sigma,
            problem.normal * (1 / size),
        )  # fmt: skip

    def _schedule(self, steps, sigma_max, sigma_min):
        low, high = self.prior.sigma_range
        if sigma_max is None:
            top = _SIGMA_MAX if self.informative else _SIGMA_MAX_PRIOR
            sigma_max = min(top, high)
        if sigma_min is None:
            sigma_min = _SIGMA_MIN * self.data.sigma
            sigma_min = max(sigma_min, low, _SIGMA_FLOOR)
        if not 0 < sigma_min < sigma_max <= high:
            raise ValueError(
                f"noise levels must be 0 < sigma_min < sigma_max <= {high:g}, "
                f"got {sigma_min:g} and {sigma_max:g}."
            )
        if steps is None:
            steps = METHODS[self.method].steps
            if not self.informative and self.method == "mmps":
                steps = _STEPS_PRIOR
        self.sigmas = np.geomspace(sigma_max, sigma_min, steps).tolist()

    def run(self):
        """Draw the samples that are missing.

        After an interruption the finished chunks are kept, and calling this
        again goes on with the next one.

        Returns:
            array: samples (num_samples, H, W), or their mean with
            ``keep_samples=False``.
        """
        cost = METHODS[self.method].cost(len(self.sigmas), **self.options)
        with self.device, tqdm(
            total=self.num_samples * cost,
            initial=len(self.draws) * cost,
            desc=f"{type(self).__name__} ({self.method})",
            unit="evaluation",
            disable=not self.show_pbar,
        ) as bar:
            self._denoiser = Denoiser(self.prior, bar.update)
            self._drawn, self.data.normals = 0, 0
            while len(self.draws) < self.num_samples:
                bar.set_postfix_str(f"{len(self.draws)}/{self.num_samples} samples")
                first = len(self.draws)
                chunk, self.chunk_size = memory.halving(
                    lambda n: self._draw(range(first, first + n)),
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

    def _draw(self, numbers):
        """One chunk of samples, those of these numbers."""
        with arrays.on_stream_of(self.data.y):
            x = METHODS[self.method].function(
                self._denoiser,
                self.data,
                Noise(self.seed, numbers, self.data.y),
                self.sigmas,
                **self.options,
            )
            statistics.check_finite(x)
            return x * self.scale

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
        rest = (self.method, self.sigmas, self.seed, self.data.sigma, self.scale,
                keep, sorted(self.options.items()), repr(self.prior))
        sha.update(repr(rest).encode())
        return sha.hexdigest()

    @property
    def samples(self):
        """array: samples so far (S, H, W), in the units of the image."""
        return self.draws.samples[: self.num_samples]

    @property
    def mmse(self):
        """array: mean of the samples, the minimum-error estimate (H, W)."""
        return self.draws.mean.astype(self.data.AHy.dtype)

    @property
    def std(self):
        """array: pointwise standard deviation (H, W)."""
        return self.draws.moments.std.astype(self.data.AHy.real.dtype)

    def interval(self, level=0.9, part="magnitude"):
        """Pointwise credible interval: :func:`statistics.interval`."""
        return statistics.interval(self.samples, level, part)

    def hallucination_map(self, image, level=0.9, part="magnitude"):
        """Where an image leaves it: :func:`statistics.hallucination_map`."""
        return statistics.hallucination_map(self.samples, image, level, part)

    def diagnostics(self, chains=2):
        """Split R-hat and effective sample size of the magnitude.

        Samples are drawn independently, so that these tell trouble, not
        length: R-hat is near 1, up to the scatter of few samples.

        Args:
            chains (int): groups that the samples are divided into.

        Returns:
            dict: "rhat" and "ess", arrays (H, W).
        """
        x = np.abs(sp.to_device(self.samples, sp.cpu_device))
        x = x[: len(x) // chains * chains].reshape((chains, -1) + x.shape[1:])
        return {
            "rhat": statistics.split_rhat(x),
            "ess": statistics.effective_sample_size(x),
        }

    @property
    def evaluations(self):
        """float: network evaluations for each sample of the last run."""
        return self._denoiser.evaluations / max(self._drawn, 1)

    @property
    def operator_calls(self):
        """float: applications of A^H A for each sample of the last run."""
        return self.data.normals / max(self._drawn, 1)


def _check(y, mps, prior, A, coord, noise_std, method, options):
    """Every argument, before anything is computed."""
    check_kind(prior, DenoiserPrior)
    if (A is None) == (mps is None):
        raise ValueError("give either mps or A, and not both.")
    if A is not None:
        check_finite("y", y)
        if len(A.ishape) != 2 or tuple(y.shape) != tuple(A.oshape):
            raise ValueError(
                f"A: expected an operator from (H, W) to y's shape {y.shape}, "
                f"got {tuple(A.ishape)} to {tuple(A.oshape)}."
            )
        if noise_std is None:
            raise ValueError("noise_std is needed for a general operator A.")
        check_noise_std(noise_std)
    else:
        if mps.ndim == 4:
            raise ValueError(
                f"mps: got shape {mps.shape}, expected (coils, H, W); a volume is "
                f"sampled slice by slice with sigpy_priors.volume.sample."
            )
        check_data(y, mps, coord)
    if method not in METHODS:
        raise ValueError(
            f"method must be one of {', '.join(METHODS)}, got {method!r}."
        )
    known = list(inspect.signature(METHODS[method].function).parameters)[4:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"{method} has no option {', '.join(unknown)}; it has {', '.join(known)}."
        )
