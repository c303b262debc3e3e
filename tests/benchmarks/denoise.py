"""Denoising beside BM3D and wavelets, on the subject kept for validation.

    python tests/benchmarks/denoise.py [--prior brain] [--images 8]

Complex images with random smooth phase; PSNR with peak 1, the 99.8th
percentile of the magnitude. BM3D (package ``bm3d``) runs on real and imaginary
part with the true noise level. Wavelet soft-thresholding has the threshold
that is best in hindsight for every image.
"""

import argparse

import numpy as np
import sigpy as sp
from cases import data_folder

import sigpy_priors as spp
from sigpy_priors.io.images import read_slices
from sigpy_priors.train.augment import complex_crop
from sigpy_priors.train.validation import SIGMAS


def images(count):
    """Validation slices as complex images, and unit complex noise."""
    slices = read_slices(data_folder() / "brain_magnitude_val.npz")
    for k in np.linspace(0, len(slices) - 1, count + 2).round().astype(int)[1:-1]:
        rng = np.random.default_rng(int(k))
        img = slices[k] / np.float32(np.percentile(slices[k], 99.8))
        c = complex_crop(img, 256, rng, affine=0).numpy()
        n = rng.standard_normal((2, 256, 256)).astype(np.float32) / 2**0.5
        yield c[0] + 1j * c[1], n[0] + 1j * n[1]


def psnr(x, reference):
    return -10 * np.log10(np.mean(np.abs(x - reference) ** 2))


def bm3d(x, sigma):
    import bm3d

    per_channel = sigma / 2**0.5
    return bm3d.bm3d(x.real, per_channel) + 1j * bm3d.bm3d(x.imag, per_channel)


def wavelet(x, sigma, clean):
    W = sp.linop.Wavelet(x.shape, wave_name="db4")
    coefficients = W(x)
    candidates = (
        W.H(sp.soft_thresh(t * sigma, coefficients)) for t in np.linspace(0.2, 3, 15)
    )
    return max(candidates, key=lambda c: psnr(c, clean))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="brain")
    parser.add_argument("--images", type=int, default=8)
    args = parser.parse_args()
    prior = spp.load_prior(args.prior)
    print("| sigma | noisy | wavelet | BM3D | learned |")
    print("|---|---|---|---|---|")
    for sigma in SIGMAS:
        rows = []
        for clean, noise in images(args.images):
            x = (clean + sigma * noise).astype(np.complex64)
            found = (
                x,
                wavelet(x, sigma, clean),
                bm3d(x, sigma),
                prior.denoise(x, sigma),
            )
            rows.append([psnr(f, clean) for f in found])
        cells = " | ".join(f"{v:.2f}" for v in np.mean(rows, axis=0))
        print(f"| {sigma:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
