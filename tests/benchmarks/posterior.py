"""Posterior samplers beside the exact posterior of a Gaussian prior.

    python tests/benchmarks/posterior.py [gaussian] [--size 64] [--methods mmps,pula]
    python tests/benchmarks/posterior.py gaussian --methods mmps,bart
    python tests/benchmarks/posterior.py noncartesian --size 24 [--repeats 4]
    python tests/benchmarks/posterior.py mixture
    python tests/benchmarks/posterior.py cost [--size 256] [--samples 1,2,5,10]

The prior is CN(m, C) on an ellipse with a smooth phase: a power-law spectrum,
multiplied with a contrast that varies over the image, so that C is dense and
diagonal in no simple basis. Every method sees the same data, denoiser and, as
near as its steps allow, 60 network evaluations for each sample.
"""

import argparse
import os
import time
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import sigpy as sp
import sigpy.mri as mr
import torch

from sigpy_priors.app.sampling import PosteriorSampling
from sigpy_priors.posterior.samplers import METHODS, Denoiser
from sigpy_priors.posterior.statistics import interval
from sigpy_priors.priors.gaussian import GaussianMixturePrior, GaussianPrior

SAMPLES = 16
NOISE = 0.01
COILS = 4
BART_LEVELS = 60


def complex_normal(rng, shape):
    z = rng.standard_normal((2,) + tuple(shape))
    return (z[0] + 1j * z[1]) / 2**0.5


def gaussian_model(n):
    """Mean (n, n) and dense covariance (n n, n n) of the prior."""
    axes = np.meshgrid(*[np.arange(n) - n // 2] * 2, indexing="ij")
    u, v = (a / (n / 2) for a in axes)
    envelope = 0.05 + 1 / (1 + np.exp(12 * (np.hypot(u / 0.85, v / 0.7) - 1)))
    envelope *= 1 + 0.3 * np.cos(3 * u + 1) * np.sin(4 * v)
    spectrum = (1 + (axes[0] ** 2 + axes[1] ** 2) / 4) ** -1.5
    spectrum *= 0.09 / spectrum.mean()
    basis = sp.ifft(np.eye(n * n).reshape(-1, n, n), axes=(-2, -1)).reshape(n * n, -1)
    root = envelope.reshape(-1, 1) * basis.T * np.sqrt(spectrum.ravel())
    cov = root @ root.conj().T
    cov[np.diag_indices(n * n)] += 1e-4
    return 0.3 * envelope * np.exp(1j * u), cov


def lines(n, share, rng):
    """Mask of whole lines, denser at the centre."""
    mask = np.zeros(n)
    mask[n // 2 - n // 24 : n // 2 + (n + 23) // 24] = 1
    p = np.exp(-0.5 * ((np.arange(n) - n // 2) / (0.25 * n)) ** 2) * (1 - mask)
    count = round(share * n) - int(mask.sum())
    mask[rng.choice(n, count, replace=False, p=p / p.sum())] = 1
    return np.repeat(mask[:, None], n, 1).astype(np.float32)


class Problem:
    """Data of one draw of the prior, and its exact posterior."""

    def __init__(self, n, radial=False, seed=0):
        rng = np.random.default_rng(seed)
        self.n = n
        self.mean, self.cov = gaussian_model(n)
        mps = mr.birdcage_maps((COILS, n, n)).astype(np.complex64)
        self.mps = mps / np.maximum(sp.rss(mps, axes=(0,)), 1e-6)
        self.coord = self.weights = None
        if radial:
            self.coord = mr.radial((round(0.4 * n), 2 * n, 2), (n, n)).astype(
                np.float32
            )
        else:
            self.weights = lines(n, 0.28, rng)
        self.A = mr.linop.Sense(self.mps, coord=self.coord, weights=self.weights)
        half = np.linalg.cholesky(self.cov)
        self.x = self.mean + (half @ complex_normal(rng, (n * n,))).reshape(n, n)
        noise = NOISE * complex_normal(rng, self.A.oshape)
        if self.weights is not None:
            noise *= self.weights
        self.y = (self.A(self.x.astype(np.complex64)) + noise).astype(np.complex64)
        self._exact()

    def _exact(self):
        n2 = self.n**2
        from sigpy_priors.linop import SenseNormal

        normal = self.A.N
        if self.coord is None:
            normal = SenseNormal(self.mps, self.weights)
        columns = (
            normal(e.reshape(self.n, -1)) for e in np.eye(n2, dtype=np.complex64)
        )
        gram = np.stack([c.ravel() for c in columns], 1)
        gram = (gram + gram.conj().T) / 2
        precision = np.linalg.inv(self.cov) + gram / NOISE**2
        cov = np.linalg.inv(precision)
        cov = (cov + cov.conj().T) / 2
        b = (self.A.H(self.y).ravel() - gram @ self.mean.ravel()) / NOISE**2
        self.post_mean = self.mean + (cov @ b).reshape(self.n, self.n)
        self.post_std = np.sqrt(np.diag(cov).real).reshape(self.n, self.n)
        self.half = np.linalg.cholesky(cov)

    def draw(self, count, seed):
        """Exact posterior samples."""
        z = complex_normal(np.random.default_rng(seed), (count, self.n**2))
        return self.post_mean + (z @ self.half.T).reshape(-1, self.n, self.n)

    def score(self, samples):
        """Error of the mean over its floor, std ratio and coverage."""
        count = len(samples)
        floor = np.sqrt((self.post_std**2).sum() / count)
        mean = samples.mean(axis=0)
        var = (np.abs(samples - mean) ** 2).sum(axis=0) / (count - 1)
        inside = [
            np.mean((lo <= t) & (t <= hi))
            for part in ("real", "imag")
            for lo, hi in [interval(samples, 0.9, part)]
            for t in [getattr(self.draw(32, 10**6), part)]
        ]
        return {
            "mean": float(np.linalg.norm(mean - self.post_mean) / floor),
            "std": float(np.sqrt(var.mean() / (self.post_std**2).mean())),
            "coverage": float(np.mean(inside)),
        }


def row(name, score, evaluations=None, calls=None, seconds=None):
    cells = [f"{name:12s}", *(f"{score[k]:8.3f}" for k in ("mean", "std", "coverage"))]
    for v, form in ((evaluations, "6.0f"), (calls, "7.0f"), (seconds, "7.1f")):
        cells.append("" if v is None else format(v, form))
    print(" | ".join(cells), flush=True)


def bart_sample(problem, prior, seed):
    """``bart sample`` with the prior as a graph: Langevin steps at every level."""
    import bart_plugin

    return bart_plugin.sample(
        prior,
        y=problem.y,
        mps=problem.mps,
        noise_std=NOISE,
        n=SAMPLES,
        levels=BART_LEVELS,
        seed=seed,
    ).astype(np.complex128)


def mean_of(scores):
    return {k: float(np.mean([s[k] for s in scores])) for k in scores[0]}


def run_gaussian(args, radial=False):
    problem = Problem(args.size, radial)
    print("method       | mean/fl. | std rat. | cover90 | evals | A^H A | seconds")
    exact = range(max(args.repeats, 5))
    row("exact", mean_of([problem.score(problem.draw(SAMPLES, s)) for s in exact]))
    prior = GaussianPrior(problem.mean, problem.cov)
    for method in args.methods.split(","):
        if method == "bart" and radial:
            raise SystemExit("bart sample: Cartesian only here.")
        start, scores, cost = time.time(), [], (BART_LEVELS, None)
        try:
            for seed in range(args.seed, args.seed + args.repeats):
                if method == "bart":
                    samples = bart_sample(problem, prior, seed + 1)
                else:
                    app = PosteriorSampling(
                        problem.y,
                        problem.mps,
                        prior,
                        SAMPLES,
                        weights=problem.weights,
                        coord=problem.coord,
                        noise_std=NOISE,
                        method=method,
                        scale=1.0,
                        chunk_size=SAMPLES,
                        seed=seed,
                        show_pbar=False,
                    )
                    samples = app.run()
                    cost = app.evaluations, app.operator_calls
                scores.append(problem.score(samples))
        except FloatingPointError as e:
            print(f"{method:12s} | {e}")
            continue
        row(method, mean_of(scores), *cost, (time.time() - start) / args.repeats)


def mixture_problem():
    """Three modes of two pixels, and data on their sum."""
    means = np.array([[[1.0, 1.0]], [[-1.0, 1.2]], [[0.2, -1.2]]])
    weights = np.array([0.7, 0.2, 0.1])
    covs = np.array([np.eye(2) * 0.01] * 3)
    return GaussianMixturePrior(weights, means, covs=covs), means, weights


def mode_shares(samples, means):
    near = np.abs(samples[:, None] - means[None]) ** 2
    return np.bincount(near.sum(axis=(2, 3)).argmin(axis=1), minlength=3) / len(samples)


def run_mixture(args):
    prior, means, weights = mixture_problem()
    count = args.count
    row_ = np.array([[0.4, 0.2]])
    for name, sigma in (("prior", None), ("sum, 0.5", 0.5), ("sum, 0.1", 0.1)):
        if sigma is None:
            A = sp.linop.Multiply((1, 2), np.zeros((1, 2)))
            y, expected, sigma = np.zeros((1, 2), complex), weights, 0.0
        else:
            A = sp.linop.Sum((1, 2), (1,)) * sp.linop.Multiply((1, 2), row_)
            y = np.asarray(A(np.array([[0.3, 0.9]], complex)))
            var = sigma**2 + 0.01 * (row_**2).sum()
            gap = np.array(
                [np.abs(y - A(m.astype(complex))) ** 2 for m in means]
            ).ravel()
            expected = weights * np.exp(-gap / var)
            expected /= expected.sum()
        print(name, "expected", np.round(expected, 3))
        for method in args.methods.split(","):
            app = PosteriorSampling.from_linop(
                A,
                y,
                prior,
                sigma,
                num_samples=count,
                scale=1.0,
                method=method,
                chunk_size=count,
                show_pbar=False,
                seed=args.seed,
            )
            try:
                shares = mode_shares(app.run(), means)
            except FloatingPointError as e:
                print(f"  {method:8s} {e}")
                continue
            worst = np.abs(shares - expected).max()
            print(
                f"  {method:8s} {np.round(shares, 3)} worst {worst:.3f} "
                f"evaluations {app.evaluations:.0f}",
                flush=True,
            )


def seconds_of(function, repeats=3):
    """Median seconds that this process computes for a call, after a first one."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return float(np.median(seconds[1:]))


def clocked(function, seconds):
    """A function that adds the processor time of each call to a list."""

    def call(*args, **kwargs):
        start = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            seconds.append(time.process_time() - start)

    return call


def cost_of(app, image):
    """Seconds of a run, its overhead, and what a network and A^H A cost.

    The overhead is over network evaluations and operator calls, each at what
    it takes alone, in the same batch, before and after the run; then over
    what the same calls took within the run, which scatters less. All are
    seconds of processor time, which other processes disturb less: on one
    thread and an idle machine the same as those of the clock.
    """
    batch = np.stack([image] * app.chunk_size)
    denoiser = Denoiser(app.prior)
    _, pullback = denoiser.linearize(batch, 0.1)
    parts = [
        lambda: denoiser.linearize(batch, 0.1),
        lambda: pullback(batch),
        lambda: app.data.normal(batch),
    ]
    alone = [np.array([seconds_of(f) for f in parts])]
    calls = []
    app.data._normal = clocked(app.data._normal, calls)
    start = time.process_time()
    with (
        mock.patch.object(app.prior, "denoise", clocked(app.prior.denoise, calls)),
        mock.patch.object(torch.autograd, "grad", clocked(torch.autograd.grad, calls)),
    ):
        app.run()
    total = time.process_time() - start
    # Of one run only: the operator's count starts anew with it.
    counts = [app._denoiser.forwards, app._denoiser.vjps, app.data.normals]
    alone.append(np.array([seconds_of(f) for f in parts]))
    alone = np.mean(alone, 0) / len(batch)
    return total, total / float(alone @ counts) - 1, total / sum(calls) - 1, alone


def run_cost(args):
    """Time beyond network evaluations and operator calls, bundled prior."""
    from sigpy_priors import load_prior

    n, rng = args.size, np.random.default_rng(0)
    prior = load_prior("brain")
    mps = mr.birdcage_maps((8, n, n)).astype(np.complex64)
    mps /= np.maximum(sp.rss(mps, axes=(0,)), 1e-6)
    mask = lines(n, 0.28, rng)
    x = sp.util.resize(sp.shepp_logan((n, n)), (n, n)).astype(np.complex64)
    noise = NOISE * complex_normal(rng, mps.shape)
    y = (mask * (sp.fft(mps * x, axes=(-2, -1)) + noise)).astype(np.complex64)
    print(f"{n}x{n}, 8 coils, {prior!r}, {os.environ['OMP_NUM_THREADS']} thread(s)")
    print(
        "| samples | seconds | for each | overhead | in the run | D | Jacobian | A^H A |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for count in map(int, args.samples.split(",")):
        rounds = []
        for _ in range(args.rounds):
            app = PosteriorSampling(y, mps, prior, count, weights=mask, show_pbar=False)
            rounds.append(cost_of(app, x))
        total, overhead, inside = (np.median([r[i] for r in rounds]) for i in range(3))
        one, product, normal = np.median([r[3] for r in rounds], axis=0)
        print(
            f"| {count} | {total:.1f} | {total / count:.1f} | {overhead:.1%} | {inside:.1%} "
            f"| {one:.3f} | {product:.3f} | {normal:.4f} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "what",
        nargs="?",
        default="gaussian",
        choices=["gaussian", "noncartesian", "mixture", "cost"],
    )
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--samples", default="1,4", help="of cost, several")
    parser.add_argument("--rounds", type=int, default=1, help="of cost")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=1, help="seeds to average over")
    args = parser.parse_args()
    if args.what == "mixture":
        run_mixture(args)
    elif args.what == "cost":
        run_cost(args)
    else:
        run_gaussian(args, args.what == "noncartesian")


if __name__ == "__main__":
    main()
