r"""Coils: which of them carry anything, and whose noise is whose.

Everything here is a matrix T over the coils that is applied to k-space and maps
alike, so that the image stays what it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array

__all__ = ["compress", "distinct", "mix", "noise_covariance", "whitening"]

# Coils whose k-space and maps agree to this are one coil given twice.
_SAME = 1e-5
# Eigenvalues of a covariance below this share of the greatest are no noise at all.
_NULL = 1e-9


def mix(T: Array, x: Array) -> Array:
    """Apply a matrix over coils to arrays (coils, ...)."""
    xp = sp.get_array_module(x)
    return xp.tensordot(xp.asarray(T).astype(x.dtype), x, 1)


def distinct(y: Array, mps: Array) -> list[int]:
    """The coils that say something, and nothing that another one said.

    A coil of zeros in k-space and maps (padding to a common number of coils), and
    one that repeats another up to a factor, would count as data twice.

    Args:
        y (array): k-space (coils, ...).
        mps (array): maps (coils, ...).

    Returns:
        list of int: their numbers, in order; all of them in most scans.
    """
    xp = sp.get_array_module(y)
    n = len(y)
    flat = [a.reshape(n, -1) for a in (y, mps)]
    # Far-off scales must not overflow a square.
    flat = [a / max(float(xp.abs(a).max()), 1e-38) for a in flat]
    gram: list[Any] = [sp.to_device(a.conj() @ a.T, sp.cpu_device) for a in flat]
    power: list[Any] = [np.real(np.diag(g)) for g in gram]
    kept: list[int] = []
    for i in range(n):
        # A map without data is an honest coil that measured nothing: it stays.
        if power[1][i] <= 0:
            continue
        if not any(_proportional(gram, power, i, j) for j in kept):
            kept.append(i)
    return kept or list(range(n))


def _proportional(gram: list, power: list, i: int, j: int) -> bool:
    if min(power[0][i], power[0][j]) <= 0:
        return False
    factors = []
    for g, p in zip(gram, power):
        agree = abs(g[j, i]) ** 2 / (p[i] * p[j])
        if agree < 1 - _SAME:
            return False
        factors.append(g[j, i] / p[j])
    return abs(factors[0] / factors[1] - 1) < 1e-2


def noise_covariance(noise: Array, coils: int) -> np.ndarray:
    """The covariance of the coils' noise, in whatever form it is given.

    Args:
        noise (array): covariance (coils, coils), standard deviations or
            (coils,), or samples of a noise scan (coils, ...).
        coils (int): number of coils.

    Returns:
        array: Hermitian (coils, coils), complex128.

    Raises:
        ValueError: if it is none of these, or not finite.
    """
    noise = np.asarray(sp.to_device(noise, sp.cpu_device))
    if noise.ndim == 0 or len(noise) != coils or not np.isfinite(noise).all():
        raise ValueError(
            f"noise: expected a covariance ({coils}, {coils}), deviations ({coils},) or "
            f"the samples of a noise scan ({coils}, ...), finite, got shape "
            f"{noise.shape}."
        )
    if noise.ndim == 1:
        return np.diag(np.abs(noise) ** 2).astype(complex)
    if noise.shape == (coils, coils):
        if np.allclose(noise, noise.conj().T, atol=1e-4 * np.abs(noise).max()):
            return noise.astype(complex)
    samples = noise.reshape(coils, -1).astype(complex)
    if samples.shape[1] <= coils:
        raise ValueError(
            f"noise: got {samples.shape[1]} samples of {coils} coils, expected more "
            f"samples than coils, or a Hermitian covariance."
        )
    return samples @ samples.conj().T / samples.shape[1]


def whitening(covariance: np.ndarray) -> tuple[np.ndarray, float]:
    r"""A matrix that makes noise white, in the units that it has.

    Args:
        covariance (array): of the coils' noise (coils, coils).

    Returns:
        tuple: T (rank, coils) with :math:`T C T^H = \sigma^2 I`, and
        :math:`\sigma`, the root mean square over the coils. Combinations of coils
        without any noise are copies of each other, and left out.

    Raises:
        ValueError: if it is not positive semi-definite, or zero.
    """
    values, vectors = np.linalg.eigh((covariance + covariance.conj().T) / 2)
    if values[-1] <= 0 or values[0] < -1e-6 * values[-1]:
        raise ValueError(
            f"noise: expected a positive covariance, got eigenvalues from "
            f"{values[0]:.3g} to {values[-1]:.3g}."
        )
    good = values > _NULL * values[-1]
    sigma = float(np.sqrt(values[good].mean()))
    if good.all():
        # Triangular, as is usual: coils stay nearly what they are.
        hermitian = (covariance + covariance.conj().T) / 2
        return sigma * np.linalg.inv(np.linalg.cholesky(hermitian)), sigma
    T = (vectors[:, good] * (sigma / np.sqrt(values[good]))).conj().T
    return T, sigma


def compress(y: Array, count: int) -> np.ndarray:
    """The combinations of coils that hold most of the signal.

    Args:
        y (array): k-space (coils, ...).
        count (int): virtual coils to keep.

    Returns:
        array: (count, coils) with orthonormal rows, for :func:`mix`.

    Raises:
        ValueError: if ``count`` is less than 1.

    References:
        Huang, F., Vijayakumar, S., Li, Y., Hertel, S., & Duensing, G. R. (2008).
        A software channel compression technique for faster reconstruction with
        many channels. Magnetic Resonance Imaging, 26(1), 133-141.
    """
    if count < 1:
        raise ValueError(f"coils: expected at least 1 virtual coil, got {count}.")
    flat = y.reshape(len(y), -1)
    gram = sp.to_device(flat.conj() @ flat.T, sp.cpu_device).T.astype(complex)
    _, vectors = np.linalg.eigh(gram)
    return vectors[:, ::-1][:, :count].conj().T
