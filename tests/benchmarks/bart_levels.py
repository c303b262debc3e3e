"""The default ``bart pics -R TF:`` on scans of any noise level.

    python tests/benchmarks/bart_levels.py [--size 128] [--prior brain]

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
"""

import argparse

import numpy as np
from bart_pics import wavelet
from cases import Case
from simulate import scan

import bart_plugin
import sigpy_priors as spp
from bart_plugin import toolbox
from sigpy_priors.scan.maps import estimate_maps
from sigpy_priors.show.metrics import object_mask, psnr

NOISE = (0.003, 0.01, 0.03, 0.05)
MASKS = ("Poisson R=4", "Poisson R=8", "1-D R=3")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--prior", default="brain")
    args = parser.parse_args()
    prior, bart, gaps = spp.load_prior(args.prior), toolbox.find(), []
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
