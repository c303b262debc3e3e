"""What is attainable: PriorRecon with ideal coils, beside the real ones.

    python tests/benchmarks/ceiling.py [--prior brain]

Every reconstruction misses the reference's own noise where nothing was sampled.
And an undersampled scan holds at best as much as a fully sampled one whose noise
variance is larger by the inverse of the local sampling density: coils without
noise amplification, nothing aliased. That scan is made from the reference, which
keeps its own noise in it, and reconstructed with the same prior. No solver with
this prior should be expected above it.
"""

import argparse

import numpy as np
import sigpy as sp
from cases import brain8
from scipy import ndimage

import sigpy_priors as spp
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.show.metrics import object_mask, psnr

# Of the complex noise over the peak, in the corners of the coil images.
NOISE = 0.0127


def density(mask):
    """Local share of sampled points, 1 in the fully sampled centre."""
    along = (6, 0) if (mask == mask[:, :1]).all() else (6, 6)
    p = ndimage.gaussian_filter(mask.astype(float), along)
    p[ndimage.uniform_filter(mask.astype(float), 5) > 0.99] = 1
    return np.clip(p * (mask.sum() / p.sum()), 0.02, 1)


def ideal(case, prior, sigma, rng):
    """PriorRecon of the reference with noise of variance sigma^2 / density."""
    p = density(case.mask)
    noise = rng.standard_normal((*p.shape, 2)).view(complex)[..., 0] / 2**0.5
    y = sp.fft(case.reference) + sigma * np.sqrt(1 / p - 1) * noise
    y = y[None].astype(np.complex64)
    return spp.app.PriorRecon(
        y, np.ones_like(y), prior, weights=p.astype(np.float32), noise_std=sigma,
        show_pbar=False,
    ).run()  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="brain")
    prior = spp.load_prior(parser.parse_args().prior)
    print("| mask | unsampled noise alone | ideal coils | PriorRecon |")
    print("|---|---|---|---|")
    for case in brain8():
        mask, sigma = (
            object_mask(case.reference),
            NOISE * estimate_scale(case.reference),
        )
        # Magnitudes feel one of the two components of the noise.
        floor = -10 * np.log10(NOISE**2 / 2 * (1 - case.mask.mean()))
        best = ideal(case, prior, sigma, np.random.default_rng(0))
        real = spp.app.PriorRecon(case.y, case.mps, prior, show_pbar=False).run()
        row = [psnr(x, case.reference, mask) for x in (best, real)]
        print(
            f"| {case.name} | {floor:.1f} | {row[0]:.2f} | {row[1]:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()
