"""The bundled example, reconstructed in three ways and compared.

A real brain slice of a subject kept out of training
(``data/example.LICENSE.txt``), with simulated coil maps, smooth phase and
noise, so that the truth is known.
"""

import time
from importlib import resources
from pathlib import Path

import numpy as np
import sigpy as sp
from sigpy.mri import birdcage_maps, poisson
from sigpy.mri.app import L1WaveletRecon
from sigpy.mri.linop import Sense

from sigpy_priors import metrics

__all__ = ["example", "undersample", "run_demo"]

NOISE_STD = 0.02
# The best PSNR of 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2 and 3e-2 on this very image:
# the comparison is with a wavelet reconstruction that was tuned on the truth.
WAVELET_LAMDA = {4: 5e-3, 8: 3e-3}


def example(num_coils=8, seed=0):
    """The example slice as a complex image, and coil maps for it.

    Args:
        num_coils (int): number of simulated coils.
        seed (int): of the random phase.

    Returns:
        tuple: image (256, 256) whose 99.8th percentile magnitude is 1, and
        maps (coils, 256, 256) with unit root sum of squares; complex64.
    """
    with resources.files("sigpy_priors").joinpath("data/example.npz").open("rb") as f:
        magnitude = np.load(f)["magnitude"].astype(np.float32)
    magnitude /= metrics.peak(magnitude)
    # A random cubic over the object, as of an inhomogeneous field.
    v, u = np.meshgrid(*[np.linspace(-1, 1, n) for n in magnitude.shape], indexing="ij")
    c = np.random.default_rng(seed).normal(size=(4, 4))
    phase = sum(c[i, j] * u**i * v**j for i in range(4) for j in range(4) if i + j <= 3)
    image = magnitude * np.exp(1.2j * phase / phase[magnitude > 0.2].std())
    mps = birdcage_maps((num_coils,) + magnitude.shape)
    mps /= sp.rss(mps, axes=(0,))
    return image.astype(np.complex64), mps.astype(np.complex64)


def undersample(image, mps, accel, noise_std=NOISE_STD, seed=0):
    """Noisy k-space on a Poisson-disc mask with a 24 x 24 centre.

    Args:
        image (array): image (H, W).
        mps (array): maps (coils, H, W).
        accel (float): acceleration.
        noise_std (float): standard deviation of the complex noise.
        seed (int): of mask and noise.

    Returns:
        array: k-space (coils, H, W), complex64, zeros where not sampled.
    """
    rng = np.random.default_rng(seed)
    mask = poisson(image.shape, accel, calib=(24, 24), seed=seed, dtype=np.float32)
    noise = rng.normal(size=mps.shape + (2,), scale=noise_std / 2**0.5)
    ksp = Sense(mps) * image + noise.view(complex)[..., 0]
    return (mask * ksp).astype(np.complex64)


def _timed(function):
    start = time.perf_counter()
    out = function()
    return out, time.perf_counter() - start


def run_demo(prior, out, accels=(4, 8)):
    """Reconstruct, print a table, and write a picture and the arrays.

    Args:
        prior (DenoiserPrior): the learned prior.
        out (str or Path): folder for ``demo.png`` and ``demo.npz``.
        accels (sequence of int): accelerations, with a known wavelet lamda.

    Returns:
        list of dict: the rows of the table.
    """
    from sigpy_priors.app import PriorRecon
    from sigpy_priors.plot import compare

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    image, mps = example()
    images, rows = {}, []
    print(
        f"brain slice {image.shape}, {len(mps)} coils, noise {NOISE_STD:g} of the "
        f"peak; L1-wavelet has its best lamda in hindsight"
    )
    print("R  method       PSNR/dB   SSIM  NRMSE  seconds  network evaluations")
    for accel in accels:
        y = undersample(image, mps, accel)
        methods = {
            "zero-filled": lambda: Sense(mps).H * y,
            "L1-wavelet": lambda: L1WaveletRecon(
                y, mps, WAVELET_LAMDA[accel], show_pbar=False
            ).run(),
            "prior": lambda: PriorRecon(y, mps, prior, show_pbar=False).run(),
        }
        for method, reconstruct in methods.items():
            before = prior.evaluations
            img, seconds = _timed(reconstruct)
            row = dict(
                accel=accel,
                method=method,
                psnr=metrics.psnr(img, image),
                ssim=metrics.ssim(img, image),
                nrmse=metrics.nrmse(img, image),
                seconds=seconds,
                evaluations=prior.evaluations - before,
            )
            rows.append(row)
            images[f"{method}, R = {accel}"] = img
            print(
                f"{accel}  {method:<11}  {row['psnr']:7.2f}  {row['ssim']:5.3f}  "
                f"{row['nrmse']:5.3f}  {seconds:7.1f}  {row['evaluations']:7d}",
                flush=True,
            )
    compare(images, image, out / "demo.png")
    arrays = {
        title.replace(", R = ", "_R").replace("-", "_"): img
        for title, img in images.items()
    }
    np.savez(out / "demo.npz", reference=image, maps=mps, **arrays)
    print(f"{out / 'demo.png'}, {out / 'demo.npz'}")
    return rows
