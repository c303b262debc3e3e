"""The default sampler on Gaussian oracles that it was not tuned on.

    python tests/benchmarks/oracles.py [--samples 64] [--draws 4] [--method mmps]

Families of another spectrum, noise of 0.05 and 0.005, random masks and lines, and a
covariance that changes over the image; several draws of image, mask and noise each.
Prints the error of the mean in units of its Monte-Carlo floor, which is 1 for an exact
sampler whatever the number of samples, and the standard deviation over the exact one.
"""

import argparse

import numpy as np
import sigpy as sp
import sigpy.mri as mr
from posterior import complex_normal

from sigpy_priors.app.sampling import PosteriorSampling
from sigpy_priors.priors.gaussian import GaussianPrior

SIZE, COILS = 24, 4
# Name: spectrum of the distance k from the centre, noise, share of the samples, lines.
FAMILIES = {
    "power law, noise 0.05": (lambda k: (1 + k**2) ** -1.2, 0.05, 0.3, False),
    "power law, noise 0.005": (lambda k: (1 + k**2) ** -1.2, 0.005, 0.3, False),
    "exponential, lines, 0.005": (lambda k: np.exp(-k / 2.5) + 5e-5, 0.005, 0.3, True),
    "non-stationary, 0.02": (lambda k: (1 + k**2) ** -0.8, 0.02, 0.25, False),
}


class Oracle:
    """Data of one draw of a family, and its exact posterior."""

    def __init__(self, name, seed):
        spectrum, noise, share, lines = FAMILIES[name]
        rng = np.random.default_rng(seed)
        n = SIZE
        axes = np.meshgrid(*[np.arange(n) - n // 2] * 2, indexing="ij")
        u, v = (a / n for a in axes)
        cov = self.covariance(spectrum(np.hypot(*axes)))
        if name.startswith("non-stationary"):
            contrast = 0.15 + np.exp(-6 * (u - 0.1) ** 2 - 9 * v**2)
            contrast = (contrast + 0.5 * (np.abs(u) < 0.2)).ravel()
            cov = contrast[:, None] * cov * contrast + 1e-5 * np.eye(n * n)
        cov *= 0.15 / np.diag(cov).real.mean()
        mean = 0.5 * np.exp(-4 * (u**2 + v**2)) * np.exp(1j * u)
        self.prior, self.noise = GaussianPrior(mean, cov), noise
        mps = mr.birdcage_maps((COILS, n, n)).astype(np.complex64)
        weights = rng.random((n, 1) if lines else (n, n)) < share
        centre = slice(n // 2 - 2, n // 2 + 2)
        weights[centre, slice(None) if lines else centre] = True
        weights = np.broadcast_to(weights, (n, n)).astype(np.float32)
        self.A = mr.linop.Sense(mps / sp.rss(mps, axes=(0,)), weights=weights)
        x = self.prior.sample(1, seed + 1)[0].astype(np.complex64)
        n_y = complex_normal(rng, mps.shape) * weights
        self.y = (self.A(x) + noise * n_y).astype(np.complex64)
        self.solve(mean, cov)

    def covariance(self, spectrum):
        """Of a stationary Gaussian field."""
        eye = np.eye(SIZE**2, dtype=complex).reshape(-1, SIZE, SIZE)
        F = sp.fft(eye, axes=(-2, -1)).reshape(SIZE**2, -1).T
        cov = (F.conj().T * spectrum.ravel()) @ F
        return (cov + cov.conj().T) / 2

    def solve(self, mean, cov):
        eye = np.eye(SIZE**2, dtype=np.complex64).reshape(-1, SIZE, SIZE)
        gram = np.stack([self.A.N(e).ravel() for e in eye], 1).astype(complex)
        post = np.linalg.inv(np.linalg.inv(cov) + gram / self.noise**2)
        b = (self.A.H(self.y).ravel() - gram @ mean.ravel()) / self.noise**2
        self.mean = mean + (post @ b).reshape(SIZE, SIZE)
        self.var = np.diag(post).real.mean()

    def score(self, samples):
        """Error of the mean over its floor, and ratio of the deviations."""
        floor = np.sqrt(self.var * SIZE**2 / len(samples))
        error = np.linalg.norm(samples.mean(axis=0) - self.mean)
        var = samples.astype(complex).var(axis=0, ddof=1).mean()
        return error / floor, np.sqrt(var / self.var)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--method", default="mmps")
    args = parser.parse_args()
    print("| family | error of mean | std ratio | evaluations |\n|---|---|---|---|")
    for name in FAMILIES:
        scores = []
        for draw in range(args.draws):
            oracle = Oracle(name, 10 * draw)
            app = PosteriorSampling.from_linop(
                oracle.A, oracle.y, oracle.prior, oracle.noise, method=args.method,
                num_samples=args.samples, chunk_size=args.samples, scale=1.0,
                show_pbar=False,
            )  # fmt: skip
            scores.append(oracle.score(app.run()))
        mean, std = np.mean(scores, axis=0)
        print(f"| {name} | {mean:.2f} | {std:.3f} | {app.evaluations:g} |", flush=True)


if __name__ == "__main__":
    main()
