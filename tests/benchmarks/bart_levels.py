"""The default ``bart pics -R TF:`` on scans of any noise level.

    python tests/benchmarks/bart_levels.py [--size 128] [--prior brain] [--nlinv]

Simulated scans of validation slices, maps by ESPIRiT: PSNR of BART's wavelet with the
best lambda in hindsight, of the default of ``bart_plugin.pics``, and of ``PriorRecon``.
With --size 112 and BART 1.0.00:

    | noise | mask         | wavelet | `-R TF:` | PriorRecon |
    |-------|--------------|---------|----------|------------|
    | 0.003 | Poisson R=4  | 32.72   | 34.63    | 34.70      |
    | 0.003 | Poisson R=8  | 26.66   | 28.55    | 28.99      |
    | 0.003 | 1-D R=3      | 28.00   | 31.56    | 29.72      |
    | 0.01  | Poisson R=4  | 29.65   | 31.31    | 31.31      |
    | 0.01  | Poisson R=8  | 24.85   | 26.88    | 27.06      |
    | 0.01  | 1-D R=3      | 26.82   | 31.12    | 31.31      |
    | 0.03  | Poisson R=4  | 25.79   | 27.62    | 27.49      |
    | 0.03  | Poisson R=8  | 22.26   | 24.28    | 24.14      |
    | 0.03  | 1-D R=3      | 24.27   | 27.04    | 26.88      |
    | 0.05  | Poisson R=4  | 24.96   | 26.14    | 26.34      |
    | 0.05  | Poisson R=8  | 23.03   | 25.39    | 25.40      |
    | 0.05  | 1-D R=3      | 23.67   | 26.53    | 26.78      |

2.36 dB over the wavelet on average, 1.18 at least; beside PriorRecon +0.07 on average,
-0.44 at least. (At 0.003 and 1-D R = 3 errors of the maps are what is left: PriorRecon
converged has 29.60, and BART's few steps of conjugate gradients keep off them.)

With --nlinv, ``bart nlinv -R TF:`` instead at 0.02 and at multiples of the nominal level,
whose peak is the image's, size 112:

    | noise | mask         | 0.02  | 1.5   | 3     | 4.5   |
    |-------|--------------|-------|-------|-------|-------|
    | 0.003 | Poisson R=4  | 32.88 | 33.06 | 33.66 | 33.08 |
    | 0.003 | 1-D R=3      | 29.82 | 26.69 | 28.14 | 29.32 |
    | 0.01  | Poisson R=4  | 30.04 | 29.12 | 30.03 | 29.87 |
    | 0.03  | Poisson R=4  | 22.32 | 24.05 | 24.75 | 24.57 |
    | 0.03  | 1-D R=3      | 22.80 | 23.92 | 24.58 | 24.02 |

The default is 3, and 0.02 at least.
"""

import argparse

import numpy as np
from bart_pics import scaled, wavelet
from cases import Case
from simulate import scan

import bart_plugin
import sigpy_priors as spp
from bart_plugin import toolbox
from bart_plugin.algorithms import Admm
from bart_plugin.fitting import fit_admm
from sigpy_priors.scan.maps import estimate_maps
from sigpy_priors.scan.sense import sense_problem
from sigpy_priors.show.metrics import object_mask, psnr

NOISE = (0.003, 0.01, 0.03, 0.05)
MASKS = ("Poisson R=4", "Poisson R=8", "1-D R=3")


def nlinv_levels(prior, bart, size):
    print("| noise | mask | 0.02 | 1.5 | 3 | 4.5 |\n" + "|---" * 6 + "|")
    for k, noise in enumerate(NOISE):
        for mask in MASKS:
            s = scan("brain", 60 + 40 * k, mask, 8, noise, size, seed=k)
            inside = object_mask(s.image)
            fit = fit_admm(sense_problem(s.y, estimate_maps(s.y)), prior, Admm())
            row = []
            for times in (None, 1.5, 3, 4.5):
                level = fit.algorithm.last * times / 3 if times else 0.02
                x, _ = bart_plugin.nlinv(
                    s.y, prior, sigma=level, peak=fit.peak if times else 1.0, bart=bart
                )
                row.append(psnr(scaled(x, s.image, inside), s.image, inside))
            print(f"| {noise} | {mask} | " + " | ".join(f"{v:.2f}" for v in row) + " |",
                  flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--prior", default="brain")
    parser.add_argument("--nlinv", action="store_true")
    args = parser.parse_args()
    prior, bart, gaps = spp.load_prior(args.prior), toolbox.find(), []
    if args.nlinv:
        return nlinv_levels(prior, bart, args.size)
    print("| noise | mask | wavelet | `-R TF:` | PriorRecon |\n|---|---|---|---|---|")
    for k, noise in enumerate(NOISE):
        for mask in MASKS:
            s = scan("brain", 60 + 40 * k, mask, 8, noise, args.size, seed=k)
            case = Case(mask, s.y, estimate_maps(s.y), None, s.image)
            inside = object_mask(s.image)
            best, *_ = wavelet(case, bart)
            x = bart_plugin.pics(case.y, case.mps, prior, bart=bart)
            app = spp.app.PriorRecon(case.y, case.mps, prior, show_pbar=False)
            own, ours = psnr(x, s.image, inside), psnr(app.run(), s.image, inside)
            gaps.append((own - best, own - ours))
            print(
                f"| {noise} | {mask} | {best:.2f} | {own:.2f} | {ours:.2f} |",
                flush=True,
            )
    over, under = np.array(gaps).T
    print(
        f"\nover the wavelet {over.mean():.2f} dB, at least {over.min():.2f}; beside "
        f"PriorRecon {under.mean():.2f}, at least {under.min():.2f}"
    )


if __name__ == "__main__":
    main()
