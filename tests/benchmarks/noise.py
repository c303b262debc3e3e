"""Estimated over true noise level, on simulated scans of validation slices.

    python tests/benchmarks/noise.py [--size 128] [--jobs 8] [--picture noise.png]

Over anatomies, masks and trajectories, 1 to 32 coils, alike, correlated and unequal
noise of 0.002 to 0.1 of the image's scale, with the true maps. Prints, for each kind of
coils, how many estimates lie within 15 %, and the worst one.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product

import numpy as np
from simulate import scan

from sigpy_priors.scan.sense import sense_problem

SLICES = (("brain", 40), ("body", 90), ("phantom", 5))
MASKS = (
    "full", "1-D R=2", "Poisson R=4", "Poisson R=12", "1-D R=4", "equispaced R=4",
    "partial Fourier", "elliptical R=4", "radial 64", "spiral 8",
)  # fmt: skip


def covariance(coils, correlated):
    """Noise of the coils: correlated with their neighbours', or of unequal level."""
    if not correlated:
        return np.diag(np.geomspace(1, 4, coils))
    gap = np.abs(np.subtract.outer(np.arange(coils), np.arange(coils)))
    return 0.3 ** np.minimum(gap, coils - gap)


# Number of coils and, up to a factor, the covariance of their noise.
KINDS = {
    "1": (1, None),
    "4": (4, None),
    "8": (8, None),
    "16": (16, None),
    "32": (32, None),
    "8, correlated": (8, covariance(8, True)),
    "8, unequal": (8, covariance(8, False)),
}
LEVELS = (0.002, 0.01, 0.03, 0.1)


def compared(kind, size, case):
    """Estimated over true noise level of a scan, and what scan it was."""
    (anatomy, index), mask, level = case
    coils, cov = KINDS[kind]
    s = scan(anatomy, index, mask, coils, level, size, cov=cov)
    problem = sense_problem(s.y, s.mps, coord=s.coord)
    return problem.noise_std / level, (level, f"{anatomy}, {mask}, {level:g}")


def draw(found, path):
    """Estimated over true noise level, against the true one."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(6, 4), layout="constrained")).subplots()
    for k, (kind, rows) in enumerate(found.items()):
        level = np.array([r[1][0] for r in rows])
        ratio = [r[0] for r in rows]
        axes.loglog(level * 1.06**k, ratio, ".", label=f"{kind} coils", alpha=0.6)
    axes.axhspan(0.85, 1.15, color="0.9")
    axes.set_xlabel("true noise level, of the image's scale")
    axes.set_ylabel("estimated / true")
    axes.legend()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--picture")
    args = parser.parse_args()
    found = {}
    print("| coils | within 15 % | from | to | worst |\n|---|---|---|---|---|")
    pool = ProcessPoolExecutor(args.jobs)
    for kind in KINDS:
        one = partial(compared, kind, args.size)
        rows = found[kind] = list(pool.map(one, product(SLICES, MASKS, LEVELS)))
        ratio = np.array([r[0] for r in rows])
        worst = rows[int(np.argmax(np.abs(np.log(ratio))))][1][1]
        share = np.mean(np.abs(ratio - 1) <= 0.15)
        print(
            f"| {kind} | {share:.0%} | {ratio.min():.2f} | {ratio.max():.2f} | {worst} |",
            flush=True,
        )
    if args.picture:
        draw(found, args.picture)


if __name__ == "__main__":
    main()
