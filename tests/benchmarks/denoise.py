"""Denoising beside BM3D and wavelets, on the subjects kept for validation.

    python tests/benchmarks/denoise.py [--prior brain ...] [--images 8]

Complex images with random smooth phase; PSNR with peak 1, the 99.8th percentile of the
magnitude. BM3D (package ``bm3d``; a dash without it) runs on real and imaginary part with
the true noise level. Wavelet soft-thresholding has the threshold that is best in hindsight
for every image.

The slices have noise of their own, s0 (``train/slice_noise.py``). "as stored": sigma is
added to it, and the error is to the stored slice, so that who takes its noise for
anatomy gains. "clean": sigma is all of the noise, and the error is to the slice without
any. It is not known, but its mean square is: of r = x0 + n0, let y = r + n and
t = r - (s0/s)^2 n with noise n of level s, s^2 = sigma^2 - s0^2. The noises of y and t are
uncorrelated, hence E|D(y) - t|^2 = E|D(y) - x0|^2 + s0^2 + s0^4 / s^2 (Pang et al. 2021,
Recorrupted-to-Recorrupted, CVPR). Slices with s0 > 0.7 sigma are left out.
"""

import argparse

import numpy as np
import sigpy as sp
import torch
from cases import data_folder

import sigpy_priors as spp
from sigpy_priors.io.images import read_slices
from sigpy_priors.train.augment import complex_crop
from sigpy_priors.train.slice_noise import estimate_slice_noise, restored_noise
from sigpy_priors.train.validation import SIGMAS

FILES = ("brain_magnitude_val.npz", "anatomy/anatomy_magnitude_val.npz")


def images(file, count):
    """Validation slices as complex images, unit complex noise, and their number."""
    slices = read_slices(data_folder() / file)
    for k in np.linspace(0, len(slices) - 1, count + 2).round().astype(int)[1:-1]:
        rng = np.random.default_rng(int(k))
        img = slices[k] / np.float32(np.percentile(slices[k], 99.8))
        c = complex_crop(img, 256, rng, affine=0).numpy()
        n = rng.standard_normal((2, 256, 256)).astype(np.float32) / 2**0.5
        yield c[0] + 1j * c[1], n[0] + 1j * n[1], int(k)


def mse(x, reference):
    return np.mean(np.abs(x - reference) ** 2)


def bm3d(x, sigma):
    try:
        import bm3d
    except ImportError:
        return np.full_like(x, np.nan)
    per_channel = sigma / 2**0.5
    return bm3d.bm3d(x.real, per_channel) + 1j * bm3d.bm3d(x.imag, per_channel)


def wavelet(x, sigma, target):
    W = sp.linop.Wavelet(x.shape, wave_name="db4")
    coefficients = W(x)
    candidates = (
        W.H(sp.soft_thresh(t * sigma, coefficients)) for t in np.linspace(0.2, 3, 15)
    )
    return min(candidates, key=lambda c: mse(c, target))


def methods(x, sigma, target, priors):
    """What each method makes of a noisy image."""
    yield x
    yield wavelet(x, sigma, target)
    yield bm3d(x, sigma)
    yield from (prior.denoise(x, sigma) for prior in priors)


def as_stored(clean, noise, seed, sigma, priors):
    """Mean squared errors to the stored slice."""
    x = (clean + sigma * noise).astype(np.complex64)
    return [mse(found, clean) for found in methods(x, sigma, clean, priors)]


def without_own(clean, noise, seed, sigma, priors):
    """Mean squared errors to the slice without its own noise; None if it has too much."""
    level = np.nan_to_num(estimate_slice_noise(np.abs(clean)))
    if level > 0.7 * sigma:
        return None
    rng = np.random.default_rng((seed, 1))
    unit = torch.from_numpy(rng.standard_normal((1, *clean.shape), np.float32))
    magnitude = torch.from_numpy(np.abs(clean)[None].astype(np.float32))
    lost, own = restored_noise(magnitude, torch.full((1, 1, 1), float(level)), unit)
    own = own[0].numpy()
    r, s = clean * np.exp(1j * lost[0].numpy()), np.sqrt(sigma**2 - own**2)
    y = (r + s * noise).astype(np.complex64)
    target = r - own**2 / s * noise
    extra = np.mean(own**2 + own**4 / s**2)
    found = methods(y, sigma, target, priors)
    return [max(mse(f, target) - extra, 1e-8) for f in found]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", nargs="+", default=["brain"])
    parser.add_argument("--images", type=int, default=8)
    args = parser.parse_args()
    priors = [spp.load_prior(name) for name in args.prior]
    names = [prior.card.name for prior in priors]
    head = ["slices of", "error to", "sigma", "n", "noisy", "wavelet", "BM3D", *names]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for file in FILES:
        for name, errors in (("as stored", as_stored), ("clean", without_own)):
            for sigma in SIGMAS:
                rows = [errors(*i, sigma, priors) for i in images(file, args.images)]
                rows = [r for r in rows if r is not None]
                if not rows:
                    continue
                values = np.mean(-10 * np.log10(rows), axis=0)
                cells = ["-" if np.isnan(v) else f"{v:.2f}" for v in values]
                left = [file.split("_")[0].split("/")[-1], name, f"{sigma:g}"]
                print(f"| {' | '.join([*left, str(len(rows)), *cells])} |", flush=True)


if __name__ == "__main__":
    main()
