"""Slices excited together: learned prior beside SENSE and L1-wavelet.

    python tests/benchmarks/sms.py [--prior brain] [--real | --nlinv] [--picture OUT.png]

Simulated: slices of validation subjects, 8 birdcage coils, 128 x 128, noise 0.01,
CAIPIRINHA shifts of FOV / (MB R); SENSE is conjugate gradients with the best lambda. Of
the samples the mean of 16, of the default method and of DiffPIR. With --real, the real
8-coil brain, combined with itself turned by half a turn and mirrored (with its own noise,
coils turned likewise), maps and noise level from the centre of single-band scans; L1-wavelet
with the best lambda. With --nlinv, BART's nlinv, which takes slices in its dimension 13
encoded by a Fourier transform along it, alone and with the prior (best of three levels), on
data whose 24 central lines were measured in every encoding; PriorRecon has maps from those
lines, and the others as k-space. Magnitude PSNR over all slices, in dB of the greatest magnitude.
"""

import argparse
import time
import warnings

import numpy as np
import sigpy as sp
import sigpy.mri as mr
from cases import data_folder, sense_combine
from sigpy.prox import L1Reg, UnitaryTransform

import sigpy_priors as spp
from sigpy_priors.linop import Sms
from sigpy_priors.scan.multiband import calibration_maps, sms_problem
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.show.metrics import object_mask
from sigpy_priors.show.plot import compare

CASES = ((2, 2), (3, 2), (4, 1))
SLICES = (55, 75, 95, 115)
CALIBRATION = 24
METHODS = ({}, {"method": "diffpir", "zeta": 1.0, "lamda": 1.0})


def slices(numbers, size=128, seed=0):
    """Validation slices of half the resolution, each with a smooth phase."""
    images = np.load(data_folder() / "brain_magnitude_val.npz")["img"]
    x = images[list(numbers)][:, ::2, ::2][:, :size, :size].astype(np.float32)
    v, u = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    c = np.random.default_rng(seed).normal(0, 1, (len(x), 4))
    phase = np.stack([a * u + b * v + d * u * v + e for a, b, d, e in c])
    return (x / np.percentile(x, 99.8) * np.exp(1j * phase)).astype(np.complex64)


def simulate(numbers, accel, coils=8, noise_std=0.01, seed=0, axis=-1):
    """K-space of validation slices excited together, and what it is made of."""
    x = slices(numbers, seed=seed)
    mps = mr.birdcage_maps((coils, *x.shape), r=1.5, nzz=coils).swapaxes(0, 1)
    mps = (mps / sp.rss(mps, axes=(1,))[:, None]).astype(np.complex64)
    shifts = np.arange(len(x)) / (len(x) * accel)
    mask = np.zeros(x.shape[2], np.float32)
    mask[::accel] = 1
    A = Sms(mps, shifts, mask[None] if axis == -1 else mask[:, None], axis)
    z = np.random.default_rng(seed + 1).standard_normal((2, *A.oshape)) / 2**0.5
    y = A(x) + A.mask * noise_std * (z[0] + 1j * z[1])
    return y.astype(np.complex64), mps, shifts, x


def real(bands, accel):
    """The real brain with its turned and mirrored selves: k-space, maps, images."""
    full = np.load(data_folder() / "kspace/brain8_espirit_full_8x180x230.npy")
    images = sp.ifft(full, axes=(-2, -1))
    turned = (images, images[:, ::-1, ::-1], images[:, :, ::-1])[:bands]
    single = sp.fft(np.stack(turned), axes=(-2, -1))
    lines = np.arange(single.shape[-2]) - single.shape[-2] // 2
    shifts = np.arange(bands) / (bands * accel)
    ramps = np.exp(2j * np.pi * shifts[:, None] * lines)[:, None, :, None]
    y = (ramps * single).sum(axis=0) * (lines % accel == 0)[:, None]
    maps = [mr.app.EspiritCalib(of_one, show_pbar=False).run() for of_one in single]
    truth = np.stack([sense_combine(k, m) for k, m in zip(single, maps)])
    calibration = sp.resize(
        sp.resize(single, (*single.shape[:2], CALIBRATION, CALIBRATION)), single.shape
    )
    return (
        y.astype(np.complex64),
        calibration_maps(calibration.astype(np.complex64)),
        shifts,
        truth,
    )


def nlinv(bands, accel, prior):
    """``bart nlinv`` without and with the prior, and PriorRecon, on the same data."""
    from bart_plugin.cached import cached_graph
    from bart_plugin.exporters import GraphSpec
    from bart_plugin.toolbox.runner import run

    y, mps, shifts, x = simulate(SLICES[:bands], accel, axis=-2)
    coils, height, width = y.shape
    single = sp.fft(mps * x[:, None], axes=(-2, -1))
    F = np.exp(2j * np.pi * np.outer(np.arange(bands), np.arange(bands)) / bands)
    z = np.random.default_rng(7).standard_normal((2, *single.shape)) / 2**0.5
    encoded = np.tensordot(F, single, 1) + 0.01 * (z[0] + 1j * z[1])
    centre = slice((height - CALIBRATION) // 2, (height + CALIBRATION) // 2)
    ksp = np.zeros_like(encoded, np.complex64)
    for row in range(0, height, accel):
        ksp[(row - height // 2) // accel % bands, :, row] = y[:, row]
    ksp[:, :, centre] = encoded[:, :, centre]
    alone = np.zeros_like(ksp)
    alone[:, :, centre] = np.tensordot(F.conj() / bands, ksp[:, :, centre], 1)

    def value(v):
        return score(v * np.vdot(abs(v), abs(x)) / np.vdot(v, v).real, x)

    def of_bart(options):
        dims = (bands, *[1] * 9, coils, 1, height, width)
        image, maps = run(f"nlinv -i 12 {options}", ksp.reshape(dims), outputs=2)
        image, maps = (v.reshape(bands, -1, height, width) for v in (image, maps))
        return value(image[:, 0] * sp.rss(maps, axes=(1,)))

    graphs = [
        cached_graph(prior, GraphSpec((height, width), "nlinv", (sigma,), slices=bands))
        for sigma in (0.02, 0.05, 0.1)
    ]
    learned = [of_bart(f"--reg-iter 3 -R TF:{{{str(g)[:-3]}}}:1") for g in graphs]
    problem = sms_problem(y, calibration_maps(alone), shifts)
    app = spp.app.PriorRecon.of(problem, prior, show_pbar=False)
    print(
        f"| MB{bands} R{accel} | {of_bart(''):.2f} | {max(learned):.2f} | "
        f"{value(app.run()):.2f} |",
        flush=True,
    )


def score(x, truth, inside=...):
    error = (np.abs(x) - np.abs(truth))[inside]
    return -10 * np.log10(np.mean(error**2) / np.abs(truth).max() ** 2)


def sense(problem, value):
    """Best of a grid of lambda, of 400 conjugate gradients."""
    grid = problem.gain**2 * np.geomspace(1e-5, 1e-1, 9)
    return max(value(problem.solve(rho, problem.AHy, None, 400)) for rho in grid)


def wavelet(problem, value):
    """L1-wavelet of every slice, best of a grid of lambda."""
    W = sp.linop.Wavelet(problem.shape, axes=(-2, -1))
    scale = estimate_scale(problem.first_image())
    found = []
    for lamda in scale * problem.gain**2 * np.geomspace(3e-4, 3e-2, 7):
        app = sp.app.LinearLeastSquares(
            problem.A, problem.y, proxg=UnitaryTransform(L1Reg(W.oshape, lamda), W),
            alpha=1 / problem.largest(30), max_iter=200, show_pbar=False,
        )  # fmt: skip
        found.append((value(app.run()), app.x))
    return max(found, key=lambda f: f[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="brain")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--nlinv", action="store_true")
    parser.add_argument("--picture", help="of the first case")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    prior = spp.load_prior(args.prior)
    if args.nlinv:
        print("| case | nlinv | nlinv -R TF: | PriorRecon |\n|---|---|---|---|")
        for bands, accel in ((2, 1), (2, 2), (3, 1)):
            nlinv(bands, accel, prior)
        return
    print(
        "| case | SENSE | L1-wavelet | PriorRecon | seconds | evaluations | noise found "
        "| mean, mmps | mean, diffpir |\n" + "|---" * 9 + "|"
    )
    for bands, accel in ((2, 2), (2, 3)) if args.real else CASES:
        if args.real:
            y, mps, shifts, truth = real(bands, accel)
            inside = np.stack([object_mask(x) for x in truth])
        else:
            y, mps, shifts, truth = simulate(SLICES[:bands], accel)
            inside = ...

        def value(x, truth=truth, inside=inside):
            return score(x, truth, inside)

        axis = -2 if args.real else -1
        problem = sms_problem(y, mps, shifts, axis=axis)
        start = time.monotonic()
        app = spp.app.PriorRecon.of(problem, prior, show_pbar=False)
        image = app.run()
        seconds = time.monotonic() - start
        best, hand_made = wavelet(problem, value)
        means = [
            spp.app.PosteriorSampling.of(
                problem, prior, num_samples=16, keep_samples=False, show_pbar=False, **m
            ).run()
            for m in METHODS
        ]
        print(
            f"| MB{bands} R{accel} | {sense(problem, value):.2f} | {best:.2f} | "
            f"{value(image):.2f} | {seconds:.1f} | {len(app.sigmas)} | "
            f"{problem.noise_std:.4f} | "
            + " | ".join(f"{value(mean):.2f}" for mean in means)
            + " |",
            flush=True,
        )
        if args.picture and bands == 2:
            rows = {"L1-wavelet": hand_made, f"prior {args.prior}": image}
            shown = {k: np.concatenate(v, axis=1) for k, v in rows.items()}
            compare(shown, np.concatenate(truth, axis=1)).savefig(args.picture, dpi=120)
            args.picture = None


if __name__ == "__main__":
    main()
