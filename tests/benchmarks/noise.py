"""Estimated over true noise level, on simulated scans of validation slices.

    python tests/benchmarks/noise.py [--size 128] [--picture noise.png]

Over anatomies, masks and trajectories, 1 to 16 coils and noise of 0.002 to 0.1 of the
image's scale, with the true maps. Prints, for each number of coils, how many estimates
lie within 15 % and the worst ones.
"""

import argparse

import numpy as np
from simulate import scan

from sigpy_priors.scan.sense import sense_problem

SLICES = (("brain", 40), ("body", 90), ("phantom", 5))
MASKS = (
    "full", "1-D R=2", "Poisson R=4", "Poisson R=12", "1-D R=4", "equispaced R=4",
    "partial Fourier", "elliptical R=4", "radial 64", "spiral 8",
)  # fmt: skip
COILS = (1, 4, 8, 16)
LEVELS = (0.002, 0.01, 0.03, 0.1)


def ratios(coils, size):
    """Estimated over true noise level of every scan, and what scan it was."""
    for anatomy, index in SLICES:
        for mask in MASKS:
            for level in LEVELS:
                s = scan(anatomy, index, mask, coils, level, size)
                problem = sense_problem(s.y, s.mps, coord=s.coord)
                yield (
                    problem.noise_std / level,
                    (level, f"{anatomy}, {mask}, {level:g}"),
                )


def draw(found, path):
    """Estimated over true noise level, against the true one."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(6, 4), layout="constrained")).subplots()
    for k, (coils, rows) in enumerate(found.items()):
        level = np.array([r[1][0] for r in rows])
        ratio = [r[0] for r in rows]
        axes.loglog(level * 1.06**k, ratio, ".", label=f"{coils} coils", alpha=0.6)
    axes.axhspan(0.85, 1.15, color="0.9")
    axes.set_xlabel("true noise level, of the image's scale")
    axes.set_ylabel("estimated / true")
    axes.legend()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--picture")
    args = parser.parse_args()
    found = {}
    print("| coils | within 15 % | from | to | worst |\n|---|---|---|---|---|")
    for coils in COILS:
        rows = found[coils] = list(ratios(coils, args.size))
        ratio = np.array([r[0] for r in rows])
        worst = rows[int(np.argmax(np.abs(np.log(ratio))))][1][1]
        share = np.mean(np.abs(ratio - 1) <= 0.15)
        print(
            f"| {coils} | {share:.0%} | {ratio.min():.2f} | {ratio.max():.2f} | {worst} |",
            flush=True,
        )
    if args.picture:
        draw(found, args.picture)


if __name__ == "__main__":
    main()
