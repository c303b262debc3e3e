"""Simulated scans of validation slices: what constants are chosen on.

Slices are of subjects and anatomies kept out of training, with a random smooth
phase, coils around them, any mask, and noise of a known level. The real scans of
:mod:`cases` are test data and take no part.
"""

from dataclasses import dataclass

import numpy as np
import sigpy as sp
import sigpy.mri as mr
from cases import data_folder, lines

ANATOMIES = {
    "brain": "brain_magnitude_val.npz",
    "body": "anatomy/anatomy_magnitude_val.npz",
    "phantom": "anatomy/phantom_magnitude.npz",
}


@dataclass
class Scan:
    """K-space with the image, the maps and the noise level that it was made of."""

    y: np.ndarray
    mps: np.ndarray
    image: np.ndarray
    noise_std: float
    coord: np.ndarray | None = None


def image(anatomy, index, size=160, seed=0):
    """A slice (size, size) with a smooth phase, its 99.8th percentile at 1."""
    images = np.load(data_folder() / ANATOMIES[anatomy])["img"]
    x = images[index % len(images)].astype(np.float32)
    x = np.abs(sp.ifft(sp.resize(sp.fft(x), (size, size))))
    x /= np.percentile(x, 99.8)
    v, u = np.meshgrid(*2 * [np.linspace(-1, 1, size)], indexing="ij")
    c = np.random.default_rng(seed).normal(size=(5, 5))
    phase = sum(c[i, j] * u**i * v**j for i in range(5) for j in range(5) if i + j < 5)
    phase *= 1.5 / phase.std()
    return (x * np.exp(1j * phase)).astype(np.complex64)


def coil_maps(coils, size, seed=0):
    """Birdcage maps of random radius with unit root sum of squares; one coil: ones."""
    if coils == 1:
        return np.ones((1, size, size), np.complex64)
    rng = np.random.default_rng(seed)
    mps = mr.birdcage_maps((coils, size, size), r=rng.uniform(1.2, 1.7))
    return (mps / sp.rss(mps, axes=(0,))).astype(np.complex64)


def poisson(n, accel, seed=0):
    calib = (min(24, n // 6),) * 2
    return np.abs(mr.poisson((n, n), accel, calib=calib, seed=seed, tol=0.2)).astype(
        "f4"
    )


def equispaced(n, accel, center=20):
    mask = np.zeros((n, n), np.float32)
    mask[::accel] = 1
    mask[n // 2 - center // 2 : n // 2 + center // 2] = 1
    return mask


def partial_fourier(n, fraction=0.625, accel=2):
    mask = lines((n, n), accel)
    mask[int(fraction * n) :] = 0
    return mask


def elliptical(n, accel=4):
    v, u = np.meshgrid(*2 * [np.linspace(-1, 1, n)], indexing="ij")
    return poisson(n, accel) * (u**2 + v**2 < 1)


def radial(n, spokes):
    """Coordinates (spokes, n, 2) of golden-angle spokes."""
    angle = np.pi * 0.61803 * np.arange(spokes)[:, None]
    r = np.linspace(-n / 2, n / 2, n, endpoint=False)
    return np.stack([r * np.sin(angle), r * np.cos(angle)], -1).astype(np.float32)


def spiral(n, interleaves, turns=12):
    """Coordinates (interleaves, samples, 2) of Archimedean spirals."""
    t = np.linspace(0, 1, 16 * n)
    angle = 2 * np.pi * (turns * t + np.arange(interleaves)[:, None] / interleaves)
    r = t * n / 2
    return np.stack([r * np.sin(angle), r * np.cos(angle)], -1).astype(np.float32)


# Every kind of mask, as a function of the size of the image.
MASKS = {
    "full": lambda n: np.ones((n, n), np.float32),
    "Poisson R=2": lambda n: poisson(n, 2),
    "Poisson R=4": lambda n: poisson(n, 4),
    "Poisson R=8": lambda n: poisson(n, 8),
    "Poisson R=12": lambda n: poisson(n, 12),
    "Poisson R=16": lambda n: poisson(n, 16),
    "1-D R=2": lambda n: lines((n, n), 2),
    "1-D R=3": lambda n: lines((n, n), 3, center=16),
    "1-D R=4": lambda n: lines((n, n), 4, center=16),
    "1-D R=6": lambda n: lines((n, n), 6, center=14),
    "1-D R=8": lambda n: lines((n, n), 8, center=12),
    "equispaced R=4": lambda n: equispaced(n, 4),
    "partial Fourier": partial_fourier,
    "elliptical R=4": elliptical,
}
TRAJECTORIES = {
    "radial 200": lambda n: radial(n, 200),
    "radial 64": lambda n: radial(n, 64),
    "radial 32": lambda n: radial(n, 32),
    "radial 20": lambda n: radial(n, 20),
    "spiral 8": lambda n: spiral(n, 8),
}


def scan(anatomy, index, mask, coils=8, noise_std=0.02, size=160, seed=0, cov=None):
    """Simulate a scan.

    Args:
        anatomy (str), index (int): which slice.
        mask (str): of MASKS or TRAJECTORIES.
        coils (int): number of coils.
        noise_std (float): of the complex noise, root mean square over the coils.
        size (int): of the image.
        seed (int): of phase, coils and noise.
        cov (array or None): covariance of the coils' noise, up to a factor.

    Returns:
        Scan: the scan.
    """
    x, mps = image(anatomy, index, size, seed), coil_maps(coils, size, seed)
    coord = TRAJECTORIES[mask](size) if mask in TRAJECTORIES else None
    if coord is None:
        m = MASKS[mask](size)
        y = m * sp.fft(mps * x, axes=(-2, -1))
    else:
        m = 1
        y = np.stack([sp.nufft(s * x, coord) for s in mps])
    rng = np.random.default_rng(seed + 1)
    n = rng.standard_normal((2, *y.shape))
    n = (n[0] + 1j * n[1]) / 2**0.5
    if cov is not None:
        root = np.linalg.cholesky(cov * coils / np.trace(cov).real)
        n = np.tensordot(root, n, 1)
    y = (y + m * noise_std * n).astype(np.complex64)
    return Scan(y, mps, x, noise_std, coord)
