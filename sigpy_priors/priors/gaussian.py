r"""Gaussian and Gaussian-mixture priors in closed form: the oracle of tests.

For :math:`x_0 \sim CN(m, C)` and :math:`n \sim CN(0, \sigma^2 I)`:

.. math::
    \log p_\sigma(x) = -(x-m)^H (C+\sigma^2)^{-1} (x-m) - \log|\pi(C+\sigma^2)|

    D(x, \sigma) = m + C (C + \sigma^2)^{-1} (x - m)

A mixture's denoiser is the average of its components' denoisers, weighted by
the probability of each component given x.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sigpy_priors.backend import arrays
from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_image
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior

__all__ = ["GaussianPrior", "GaussianMixturePrior"]


class _Modes:
    """A covariance by its eigenvalues and the transform to its eigenvectors."""

    def __init__(self, shape: Any, cov: Any, spectrum: Any) -> None:
        import torch

        self.shape = shape
        self.vectors = None
        if spectrum is not None:
            values = check_image("spectrum", np.asarray(spectrum))
            if values.dtype.kind == "c":
                raise ValueError("spectrum: expected real numbers, got complex ones.")
            values = values.astype(np.float64)
            if values.shape != shape:
                raise ValueError(
                    f"spectrum: expected the image shape {shape}, got {values.shape}."
                )
        else:
            cov = np.asarray(cov)
            n = math.prod(shape)
            if cov.shape != (n, n):
                raise ValueError(
                    f"cov: expected shape {(n, n)} for images {shape}, got {cov.shape}."
                )
            if not np.allclose(cov, cov.conj().T, atol=1e-6 * np.abs(cov).max()):
                raise ValueError("cov: not Hermitian.")
            values, vectors = np.linalg.eigh(cov.astype(np.complex128))
            self.vectors = torch.from_numpy(vectors)
        if not np.isfinite(values).all() or values.min() < -1e-9 * abs(values).max():
            raise ValueError(
                f"covariance must have finite eigenvalues >= 0, "
                f"the least is {values.min()}."
            )
        self.values = torch.from_numpy(np.maximum(values, 0)).reshape(-1)

    def forward(self, x: Any) -> Any:
        """Images (N, H, W) to coefficients (N, H W)."""
        import torch

        if not len(x):  # which no FFT takes
            return x.flatten(1)
        if self.vectors is not None:
            return x.flatten(1) @ self.vectors.to(x).conj()
        k = torch.fft.fft2(torch.fft.ifftshift(x, dim=(-2, -1)), norm="ortho")
        return torch.fft.fftshift(k, dim=(-2, -1)).flatten(1)

    def adjoint(self, c: Any) -> Any:
        """Coefficients (N, H W) to images (N, H, W)."""
        import torch

        if not len(c):
            return c.reshape((0, *self.shape))
        if self.vectors is not None:
            return (c @ self.vectors.to(c).mT).reshape((-1,) + self.shape)
        k = torch.fft.ifftshift(c.reshape((-1,) + self.shape), dim=(-2, -1))
        return torch.fft.fftshift(torch.fft.ifft2(k, norm="ortho"), dim=(-2, -1))


class _Component:
    def __init__(self, mean: Any, cov: Any, spectrum: Any) -> None:
        import torch

        mean = check_image("mean", np.asarray(mean)).astype(np.complex128)
        if mean.ndim != 2:
            raise ValueError(f"mean: expected an image (H, W), got {mean.shape}.")
        if (cov is None) == (spectrum is None):
            raise ValueError("give either cov or spectrum, and not both.")
        self.mean = torch.from_numpy(mean)
        self.modes = _Modes(mean.shape, cov, spectrum)

    def denoise(self, x: Any, sigma: Any) -> Any:
        mean = self.mean.to(x)
        values = self.modes.values.to(sigma)
        var = sigma[:, None] ** 2
        total = values + var
        # 0 / 0 where neither prior nor noise has variance: stay at the mean.
        gain = values / total.where(total > 0, 1)
        return mean + self.modes.adjoint(gain * self.modes.forward(x - mean))

    def log_prob(self, x: Any, sigma: Any) -> Any:
        total = self.modes.values.to(sigma) + sigma[:, None] ** 2
        c = self.modes.forward(x - self.mean.to(x))
        return -((c.abs() ** 2 / total).sum(-1) + (math.pi * total).log().sum(-1))

    def grad_log_prob(self, x: Any, sigma: Any) -> Any:
        total = self.modes.values.to(sigma) + sigma[:, None] ** 2
        c = self.modes.forward(x - self.mean.to(x))
        return -2 * self.modes.adjoint(c / total)

    def sample(self, rng: Any, n: Any) -> Any:
        import torch

        shape = (n, self.modes.values.numel())
        z = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        c = torch.from_numpy(z / 2**0.5) * self.modes.values.sqrt()
        return (self.mean + self.modes.adjoint(c)).numpy()


class GaussianMixturePrior(DenoiserPrior, DensityPrior):
    """Mixture of complex Gaussians.

    Args:
        weights (array): probabilities of the components, shape (K,).
        means (array): shape (K, H, W).
        covs (array or None): dense covariances, shape (K, H W, H W).
        spectra (array or None): instead of ``covs``, power spectra in centred
            orthonormal k-space, shape (K, H, W).

    Raises:
        ValueError: if shapes do not fit, weights are no probabilities, or a
            covariance is not Hermitian and positive semi-definite.
    """

    def __init__(
        self,
        weights: Array,
        means: Array,
        covs: Array | None = None,
        spectra: Array | None = None,
    ) -> None:
        weights = np.asarray(weights, dtype=np.float64)
        if weights.ndim != 1 or (weights < 0).any() or not weights.sum() > 0:
            raise ValueError(f"weights: expected K numbers >= 0, got {weights}.")
        for name, v in (("means", means), ("covs", covs), ("spectra", spectra)):
            if v is not None and len(v) != len(weights):
                raise ValueError(
                    f"{name}: expected {len(weights)} of them, got {len(v)}."
                )
        none = [None] * len(weights)
        self.weights = weights / weights.sum()
        self.components = [
            _Component(m, c, s)
            for m, c, s in zip(
                means,
                none if covs is None else covs,
                none if spectra is None else spectra,
            )
        ]

    @property
    def shape(self) -> tuple[int, ...]:
        """tuple of int: (H, W) of the images that it is of."""
        return self.components[0].modes.shape

    def _check(self, x):
        super()._check(x)
        shape = self.shape
        if tuple(x.shape[-2:]) != shape:
            raise ValueError(
                f"{self!r}: made for images {shape}, got {tuple(x.shape)}."
            )

    def _logits(self, x, sigma):
        import torch

        log_w = [math.log(w) if w > 0 else -math.inf for w in self.weights]
        return torch.stack(
            [w + c.log_prob(x, sigma) for w, c in zip(log_w, self.components)]
        )

    def _average(self, x, sigma, function):
        if len(self.components) == 1:
            return function(self.components[0], x, sigma)
        given = self._logits(x, sigma).softmax(0)[..., None, None]
        parts = (function(c, x, sigma) for c in self.components)
        return sum(p * part for p, part in zip(given, parts))

    def _denoise(self, x, sigma):
        return self._average(x, sigma, _Component.denoise)

    def log_prob(self, x: Array, sigma: float = 0.0) -> Array:
        """Exact log-density of x = x_0 + n, in nats.

        Args:
            x (array): images (..., H, W), complex.
            sigma (float): standard deviation of the complex noise n.

        Returns:
            array: shape (...).
        """
        z, s, batch = self._flat(x, sigma)
        return arrays.from_torch(self._logits(z, s).logsumexp(0).reshape(batch), x)

    def grad_log_prob(self, x: Array, sigma: float = 0.0) -> Array:
        r"""Exact :math:`2 \partial \log p_\sigma / \partial \bar x`.

        Args:
            x (array): images (..., H, W), complex.
            sigma (float): standard deviation of the complex noise.

        Returns:
            array: like ``x``.
        """
        z, s, _ = self._flat(x, sigma)
        out: Any = self._average(z, s, _Component.grad_log_prob)
        return arrays.from_torch(out.reshape(x.shape), x)

    def _flat(self, x, sigma):
        import torch

        self._check(x)
        z = arrays.to_torch(x)
        z = z.reshape((-1,) + z.shape[-2:])
        s = torch.full((len(z),), float(sigma), dtype=z.real.dtype, device=z.device)
        return z, s, tuple(x.shape[:-2])

    def sample(self, n: int, seed: int | np.random.Generator | None = None) -> Array:
        """Draw images.

        Args:
            n (int): how many.
            seed (int or numpy.random.Generator): source of randomness.

        Returns:
            array: shape (n, H, W), complex128.
        """
        rng = np.random.default_rng(seed)
        which = rng.choice(len(self.weights), size=n, p=self.weights)
        out = np.empty((n,) + self.components[0].modes.shape, np.complex128)
        for k, c in enumerate(self.components):
            out[which == k] = c.sample(rng, int((which == k).sum()))
        return out


class GaussianPrior(GaussianMixturePrior):
    """Complex Gaussian CN(mean, C).

    Args:
        mean (array): image (H, W).
        cov (array or None): dense covariance of the flattened image,
            Hermitian, shape (H W, H W).
        spectrum (array or None): instead of ``cov``, eigenvalues of a
            stationary covariance: the power spectrum in centred orthonormal
            k-space, shape (H, W).

    Raises:
        ValueError: as :class:`GaussianMixturePrior`.
    """

    def __init__(
        self, mean: Array, cov: Array | None = None, spectrum: Array | None = None
    ) -> None:
        super().__init__(
            [1.0],
            [mean],
            None if cov is None else [cov],
            None if spectrum is None else [spectrum],
        )

    def module(self) -> Any:
        import torch

        from sigpy_priors.priors.module import GaussianDenoiser, exportable

        (component,) = self.components
        modes = component.modes
        GaussianDenoiser.check_size(modes.shape)
        n = modes.values.numel()
        vectors = modes.adjoint(torch.eye(n, dtype=torch.complex128)).reshape(n, n).T
        return exportable(GaussianDenoiser(component.mean, modes.values, vectors))
