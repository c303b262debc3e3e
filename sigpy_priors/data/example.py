"""The bundled example: a real brain slice as a scan of many coils.

The slice is of a subject kept out of training (``data/example.LICENSE.txt``); coil
maps, smooth phase and noise are simulated, so that the truth is known.
"""

from __future__ import annotations

from importlib import resources

import numpy as np
import sigpy as sp
from sigpy.mri import birdcage_maps, poisson
from sigpy.mri.linop import Sense

from sigpy_priors.scan.noise import estimate_scale

__all__ = ["example", "undersample", "NOISE_STD"]

NOISE_STD = 0.02


def example(num_coils: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The example slice as a complex image, and coil maps for it.

    Args:
        num_coils (int): number of simulated coils.
        seed (int): of the random phase.

    Returns:
        tuple: image (256, 256) whose scale is 1, and
        maps (coils, 256, 256) with unit root sum of squares; complex64.
    """
    with resources.files("sigpy_priors").joinpath("data/example.npz").open("rb") as f:
        magnitude = np.load(f)["magnitude"].astype(np.float32)
    magnitude /= estimate_scale(magnitude)
    # A random cubic over the object, as of an inhomogeneous field.
    v, u = np.meshgrid(*[np.linspace(-1, 1, n) for n in magnitude.shape], indexing="ij")
    c = np.random.default_rng(seed).normal(size=(4, 4))
    phase = np.zeros(magnitude.shape)
    for i in range(4):
        for j in range(4 - i):
            phase += c[i, j] * u**i * v**j
    image = magnitude * np.exp(1.2j * phase / phase[magnitude > 0.2].std())
    mps = birdcage_maps((num_coils,) + magnitude.shape)
    mps /= sp.rss(mps, axes=(0,))
    return image.astype(np.complex64), mps.astype(np.complex64)


def undersample(
    image: np.ndarray,
    mps: np.ndarray,
    accel: float,
    noise_std: float = NOISE_STD,
    seed: int = 0,
) -> np.ndarray:
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
    mask = poisson(image.shape, accel, calib=(24, 24), seed=seed).real
    mask = mask.astype(np.float32)
    noise = rng.normal(size=mps.shape + (2,), scale=noise_std / 2**0.5)
    ksp = Sense(mps) * image + noise.view(complex)[..., 0]
    return (mask * ksp).astype(np.complex64)
