"""PriorRecon beside L1WaveletRecon on real k-space, one run, same threads.

    python tests/benchmarks/recon.py [--prior brain] [--scans one_coil] [--picture OUT.png]

L1-wavelet is given the best lamda in hindsight; its time is that of its 100
default iterations. The learned prior runs with its defaults.
"""

import argparse
import time

import numpy as np
import sigpy.mri as mr
from cases import SCANS

import sigpy_priors as spp
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.show.metrics import nrmse, object_mask, psnr, ssim
from sigpy_priors.show.plot import compare

LAMDAS = np.geomspace(3e-4, 3e-2, 9)


def timed(app):
    """Run ``app()``: image and seconds, set-up included."""
    start = time.perf_counter()
    img = app().run()
    return img, time.perf_counter() - start


def best_wavelet(case, mask):
    """Best L1-wavelet image over the grid of lamda, and the median time."""
    runs = []
    for lamda in LAMDAS:
        img, seconds = timed(
            lambda lam=lamda: mr.app.L1WaveletRecon(
                case.y, case.mps, lam * estimate_scale(case.reference), show_pbar=False
            )
        )
        runs.append((psnr(img, case.reference, mask), lamda, seconds, img))
    best = max(runs, key=lambda r: r[0])
    return best[3], best[1], float(np.median([r[2] for r in runs]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="brain")
    parser.add_argument("--scans", choices=SCANS, default="brain8")
    parser.add_argument("--picture", help="of the case Poisson R=8")
    args = parser.parse_args()
    prior = spp.load_prior(args.prior)
    print("| mask | method | PSNR | SSIM | NRMSE | seconds |")
    print("|---|---|---|---|---|---|")
    gains, ratios = [], []
    for case in SCANS[args.scans]():
        mask = object_mask(case.reference)
        wave, lamda, wave_time = best_wavelet(case, mask)
        learned = []
        for _ in range(3):
            img, seconds = timed(
                lambda: spp.app.PriorRecon(case.y, case.mps, prior, show_pbar=False)
            )
            learned.append(seconds)
        rows = [
            (f"L1-wavelet, best lamda {lamda:.1g}", wave, wave_time),
            (f"PriorRecon, {args.prior}", img, float(np.median(learned))),
        ]
        for method, x, seconds in rows:
            values = [f(x, case.reference, mask) for f in (psnr, ssim, nrmse)]
            print(
                f"| {case.name} | {method} | {values[0]:.2f} | {values[1]:.3f} | "
                f"{values[2]:.3f} | {seconds:.2f} |",
                flush=True,
            )
        gains.append(psnr(img, case.reference, mask) - psnr(wave, case.reference, mask))
        ratios.append(rows[1][2] / wave_time)
        if args.picture and case.name == "Poisson R=8":
            compare({"L1-wavelet": wave, "PriorRecon": img}, case.reference).savefig(
                args.picture, dpi=120
            )
    print(f"\ngain: {np.mean(gains):+.2f} dB on average, {min(gains):+.2f} at least")
    print(f"time relative to L1-wavelet: {np.mean(ratios):.2f}")


if __name__ == "__main__":
    main()
