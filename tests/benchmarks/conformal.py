"""Coverage of real slices before and after conformal correction.

    python tests/benchmarks/conformal.py [--slices 6] [--samples 8] [--size 96]

Calibration and test slices are complex T2 images of different volunteers, real
but for their k-space: they are cropped in k-space to the size, get simulated
maps of 8 coils, noise of 1 % of the scale, and a Poisson mask. The factor is
fitted on the first volunteers only. Then it is applied to real multi-coil
k-space of another scanner and contrast (brain8, cropped to the same size),
which the guarantee does not cover: it is for exchangeable images. The level is
that of the samples' range, (S - 1) / (S + 1).
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import sigpy as sp
import sigpy.mri as mr
from cases import data_folder, sense_combine

import sigpy_priors as spp
from sigpy_priors.posterior.calibration import ConformalInterval, coverage
from sigpy_priors.show.metrics import object_mask

ACCEL, COILS, NOISE = 4, 8, 0.01


def mask_of(size, seed):
    mask = mr.poisson((size, size), ACCEL, calib=(16, 16), seed=seed, tol=0.4)
    return np.abs(mask).astype(np.float32)


def cropped(ksp, size):
    """The centre of k-space: the same field of view, coarser."""
    shape = ksp.shape[:-2] + (size, size)
    return sp.resize(ksp, shape).astype(np.complex64)


def siat(files, count, size):
    """Slices spread over files, with simulated coils and noise."""
    mps = mr.birdcage_maps((COILS, size, size)).astype(np.complex64)
    mps /= sp.rss(mps, axes=(0,))
    stack = [
        np.load(data_folder() / f"siat_complex_train_{f}.npz")["img"] for f in files
    ]
    stack = np.concatenate(stack)
    for i in np.linspace(0, len(stack) - 1, count + 2)[1:-1].astype(int):
        image = stack[i].astype(np.float32)
        image = (image[..., 0] + 1j * image[..., 1]) / 2048
        image = sp.ifft(cropped(sp.fft(image), size))
        image = (image / np.percentile(np.abs(image), 99.8)).astype(np.complex64)
        rng = np.random.default_rng(i)
        noise = rng.standard_normal((2,) + mps.shape) * NOISE / 2**0.5
        full = sp.fft(mps * image, axes=(-2, -1)) + noise[0] + 1j * noise[1]
        mask = mask_of(size, int(i))
        yield f"volunteer slice {i}", full.astype(np.complex64) * mask, mps, image


def brain8(size):
    full = np.load(data_folder() / "kspace/brain8_espirit_full_8x180x230.npy")
    full = cropped(full, size)
    maps = mr.app.EspiritCalib(full, calib_width=16, show_pbar=False).run()
    y = full * mask_of(size, 1)
    mps = mr.app.EspiritCalib(y, calib_width=16, show_pbar=False).run()
    yield "brain8, real k-space", y, mps, sense_combine(full, maps)


def draw(cases, prior, samples, level):
    """Samples, reference and object mask of every case."""
    out = []
    for name, y, mps, reference in cases:
        app = spp.app.PosteriorSampling(
            y,
            mps,
            prior,
            samples,
            weights=(sp.rss(y, axes=(0,)) > 0).astype(np.float32),
            show_pbar=False,
        )
        x, inside = app.run(), object_mask(reference)
        error = np.abs(np.abs(app.mmse) - np.abs(reference))[inside]
        std = app.std[inside]
        print(
            f"{name}: coverage {coverage(x, reference, level, inside):.3f}, std and error "
            f"correlate {np.corrcoef(error, std)[0, 1]:.2f}, NRMSE "
            f"{np.linalg.norm(error) / np.linalg.norm(reference[inside]):.3f}",
            flush=True,
        )
        out.append((x, reference, inside))
    return out


def covered(fit, cases):
    """Share of the pixels in the corrected intervals, image by image."""
    shares = []
    for x, reference, inside in cases:
        low, high = fit(x)
        value = np.abs(reference)
        shares.append(((low <= value) & (value <= high))[inside].mean())
    return np.array(shares)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=6)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--size", type=int, default=96)
    args = parser.parse_args()
    prior = spp.load_prior("brain")
    level = (args.samples - 1) / (args.samples + 1)
    cases = {
        "calibration": siat((0, 1), args.slices, args.size),
        "kept aside": siat((2, 3), args.slices, args.size),
        "brain8": brain8(args.size),
    }
    sets = {k: draw(v, prior, args.samples, level) for k, v in cases.items()}
    fit = ConformalInterval(level)
    fit.fit(*zip(*sets["calibration"]))
    print(f"\nnominal {level:.3f}, factor {fit.factor:.3f}")
    print("| slices | before | after | least after |\n|---|---|---|---|")
    for name, cases in sets.items():
        before = [coverage(x, r, level, inside) for x, r, inside in cases]
        after = covered(fit, cases)
        print(
            f"| {name} | {np.mean(before):.3f} | {after.mean():.3f} | {after.min():.3f} |"
        )


if __name__ == "__main__":
    main()
