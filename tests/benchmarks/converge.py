"""The default solver beside itself with 32 levels of 60 steps each.

    python tests/benchmarks/converge.py [--size 160] [--jobs 8] [--prior brain]

Simulated scans of validation slices, easy and hard masks, with the true maps and the
estimated noise level: PSNR of the default, of 8 levels of at most 8 conjugate gradient
steps (the constants of before), and of 32 x 60; evaluations of the prior and
applications of A^H A that the default took. The goal: no gap above 0.1 dB.
"""

import argparse
import dataclasses
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import sigpy as sp
from simulate import MASKS, TRAJECTORIES, image, poisson, scan

import sigpy_priors as spp
from sigpy_priors.app.solvers import HQS
from sigpy_priors.scan.sense import sense_problem
from sigpy_priors.show.metrics import object_mask, psnr

LONG = dataclasses.replace(HQS(), cg_tol=1e-6)
SHORT = dataclasses.replace(HQS(), cg_tol=1e-6, cg_iter=8)
SLICES = (("brain", 55, 0.01), ("body", 20, 0.02), ("brain", 205, 0.003))
ONE_COIL = ("full", "Poisson R=2", "Poisson R=4", "1-D R=2", "1-D R=3", "radial 64")


def cases():
    """Each as (mask, anatomy, slice, coils, noise)."""
    for mask in (*MASKS, *TRAJECTORIES):
        for anatomy, index, noise in SLICES:
            yield mask, anatomy, index, 8, noise
    for mask in ONE_COIL:
        for anatomy, index, noise in SLICES[:2]:
            yield mask, anatomy, index, 1, noise
    yield "3-D Poisson R=6", "brain", 40, 6, 0.02


def volume(index, coils, noise, depth=16, size=112):
    """Consecutive slices as one 3-D scan, undersampled across the readout."""
    x = np.stack([abs(image("brain", index + k, size)) for k in range(depth)])
    x = (x / np.percentile(x, 99.8)).astype(np.complex64)
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in x.shape), indexing="ij")
    centers = rng.uniform(-1.2, 1.2, (coils, 3))
    mps = [
        np.exp(-sum((a - c) ** 2 for a, c in zip(axes, at)) + 1j * i)
        for i, at in enumerate(centers)
    ]
    mps = (mps / sp.rss(mps, axes=(0,))).astype(np.complex64)
    first = (size - depth) // 2
    mask = poisson(size, 6)[first : first + depth, :, None]
    n = rng.standard_normal((2, *mps.shape)).astype(np.float32)
    y = sp.fft(mps * x, axes=(-3, -2, -1)) + noise * (n[0] + 1j * n[1]) / 2**0.5
    return (mask * y).astype(np.complex64), mps, x


def one(size, prior, case):
    """A line of the table."""
    mask, anatomy, index, coils, noise = case
    if mask.startswith("3-D"):
        y, mps, x = volume(index, coils, noise)
        problem = sense_problem(y, mps, three_d=True)
    else:
        s = scan(anatomy, index, mask, coils, noise, size, seed=index)
        problem, x = sense_problem(s.y, s.mps, coord=s.coord), s.image
    prior, found = spp.load_prior(prior), []
    for solver, levels in ((HQS(), None), (SHORT, 8), (LONG, 32)):
        app = spp.app.PriorRecon.of(
            problem, prior, solver=solver, max_iter=levels, show_pbar=False
        )
        before = problem.normals
        flat = x.reshape(-1, x.shape[-1])  # a volume's slices, one below the other
        value = psnr(app.run().reshape(flat.shape), flat, object_mask(flat))
        found.append((value, len(app.sigmas), problem.normals - before))
    return case, found, problem.noise_std / noise, app.converged


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--prior", default="brain")
    args = parser.parse_args()
    print(
        "| mask | slice | coils | noise | default | evaluations | normals | 8 x 8 | "
        "32 x 60 | gap |\n" + "|---" * 10 + "|"
    )
    gaps = []
    with ProcessPoolExecutor(args.jobs) as pool:
        rows = pool.map(partial(one, args.size, args.prior), cases())
        for (mask, anatomy, index, coils, noise), found, ratio, _ in rows:
            (own, count, normals), (short, *_), (long, *_) = found
            gaps.append(long - own)
            print(
                f"| {mask} | {anatomy} {index} | {coils} | {noise:g} (x {ratio:.2f}) | "
                f"{own:.2f} | {count} | {normals} | {short:.2f} | {long:.2f} | "
                f"{gaps[-1]:+.2f} |",
                flush=True,
            )
    gaps = np.array(gaps)
    print(
        f"\ngap: mean {gaps.mean():.2f} dB, greatest {gaps.max():.2f}; "
        f"{(gaps <= 0.1).mean():.0%} of {len(gaps)} within 0.1 dB"
    )


if __name__ == "__main__":
    main()
