"""A small Gaussian oracle: 16x16, 4 coils, half of the lines."""

import numpy as np
import sigpy as sp
import sigpy.mri as mr

from sigpy_priors.priors.gaussian import GaussianPrior

SIZE, NOISE = 16, 0.02


def complex_normal(rng, shape):
    z = rng.standard_normal((2,) + tuple(shape))
    return (z[0] + 1j * z[1]) / 2**0.5


class Oracle:
    def __init__(self, weights=None):
        rng = np.random.default_rng(0)
        n = SIZE
        u, v = np.meshgrid(*[(np.arange(n) - n // 2) / n] * 2, indexing="ij")
        envelope = 0.1 + np.exp(-8 * (u**2 + 1.5 * v**2))
        gap = np.subtract.outer(u.ravel(), u.ravel()) ** 2
        gap += np.subtract.outer(v.ravel(), v.ravel()) ** 2
        cov = 0.1 * np.exp(-40 * gap) * np.outer(envelope, envelope)
        self.cov = cov + 1e-4 * np.eye(n * n)
        self.mean = 0.3 * envelope * np.exp(2j * u)
        self.prior = GaussianPrior(self.mean, self.cov)
        mps = mr.birdcage_maps((4, n, n)).astype(np.complex64)
        self.mps = mps / sp.rss(mps, axes=(0,))
        if weights is None:
            weights = np.zeros((n, n), np.float32)
            weights[[1, 3, 6, 7, 8, 9, 11, 14]] = 1
        self.weights = weights
        self.A = mr.linop.Sense(self.mps, weights=weights)
        self.x = self.prior.sample(1, 1)[0].astype(np.complex64)
        noise = NOISE * complex_normal(rng, self.mps.shape) * weights
        self.y = (self.A(self.x) + noise).astype(np.complex64)
        self.solve(self.A, self.y)

    def solve(self, A, y):
        """The exact posterior."""
        n2 = SIZE**2
        eye = np.eye(n2, dtype=np.complex64).reshape(n2, SIZE, SIZE)
        gram = np.stack([A.N(e).ravel() for e in eye], 1)
        cov = np.linalg.inv(np.linalg.inv(self.cov) + gram / NOISE**2)
        b = (A.H(y).ravel() - gram @ self.mean.ravel()) / NOISE**2
        self.post_mean = self.mean + (cov @ b).reshape(SIZE, SIZE)
        self.post_std = np.sqrt(np.diag(cov).real).reshape(SIZE, SIZE)
        self.post_half = np.linalg.cholesky((cov + cov.conj().T) / 2)

    def draw(self, count, seed):
        z = complex_normal(np.random.default_rng(seed), (count, SIZE**2))
        return self.post_mean + (z @ self.post_half.T).reshape(-1, SIZE, SIZE)

    def score(self, samples):
        """Error of the mean over its Monte-Carlo floor, and ratio of stds."""
        floor = np.sqrt((self.post_std**2).sum() / len(samples))
        error = np.linalg.norm(samples.mean(axis=0) - self.post_mean)
        var = samples.astype(np.complex128).var(axis=0, ddof=1)
        return error / floor, np.sqrt(var.mean() / (self.post_std**2).mean())

    def app(self, **kwargs):
        from sigpy_priors.app.sampling import PosteriorSampling

        defaults = dict(
            y=self.y,
            mps=self.mps,
            prior=self.prior,
            weights=self.weights,
            noise_std=NOISE,
            scale=1.0,
            show_pbar=False,
            num_samples=4,
        )
        return PosteriorSampling(**defaults | kwargs)
