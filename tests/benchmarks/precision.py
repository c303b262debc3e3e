"""What reduced precision of the network costs in quality and saves in time.

    python tests/benchmarks/precision.py [--prior brain] [--images 8]

PSNR as in ``denoise.py`` (validation subject) and ``recon.py`` (real k-space,
PriorRecon), in full precision and in bfloat16; times are medians of calls that
alternate, at 256 x 256, for one image.
"""

import argparse
import time

import numpy as np
from cases import brain8
from denoise import images
from denoise import psnr as psnr_of_all

import sigpy_priors as spp
from sigpy_priors.show.metrics import object_mask, psnr
from sigpy_priors.train.validation import SIGMAS


def denoising(priors, count):
    """Mean PSNR of every noise level: rows (sigma, full, reduced)."""
    pairs = list(images(count))
    for sigma in SIGMAS:
        noisy = [(c, (c + sigma * n).astype(np.complex64)) for c, n in pairs]
        yield (
            sigma,
            *(
                np.mean([psnr_of_all(p.denoise(x, sigma), c) for c, x in noisy])
                for p in priors
            ),
        )


def reconstruction(priors):
    """PSNR of PriorRecon on real k-space: rows (mask, full, reduced)."""
    for case in brain8():
        mask = object_mask(case.reference)
        yield (
            case.name,
            *(
                psnr(
                    spp.app.PriorRecon(case.y, case.mps, p, show_pbar=False).run(),
                    case.reference,
                    mask,
                )
                for p in priors
            ),
        )


def times(priors, repeats=15):
    """Median seconds of one image, calls of the priors alternating."""
    x = (np.random.default_rng(0).standard_normal((256, 256)) + 0j).astype(np.complex64)
    found = []
    for _ in range(repeats + 1):
        row = []
        for p in priors:
            start = time.perf_counter()
            p.denoise(x, 0.1)
            row.append(time.perf_counter() - start)
        found.append(row)
    return np.median(found[1:], axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="brain")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--precision", default="bfloat16")
    args = parser.parse_args()
    full = spp.load_prior(args.prior, runtime="torch")
    priors = full, full.with_options(args.precision)
    print(f"| | full | {args.precision} | change |\n|---|---|---|---|")
    for rows, text in (
        (denoising(priors, args.images), "denoising, sigma {:g}"),
        (reconstruction(priors), "PriorRecon, {}"),
    ):
        for name, a, b in rows:
            print(
                f"| {text.format(name)}, PSNR / dB | {a:.2f} | {b:.2f} | "
                f"{b - a:+.3f} |",
                flush=True,
            )
    a, b = 1e3 * times(priors)
    print(f"| one image, ms | {a:.0f} | {b:.0f} | x {b / a:.2f} |")


if __name__ == "__main__":
    main()
