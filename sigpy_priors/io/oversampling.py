"""Readout oversampling: k-space of a wide field of view as that of its middle."""

from __future__ import annotations

import numpy as np
import sigpy as sp

__all__ = ["crop_readout"]

# Weak regularisation where samples are missing, and what a sample of the narrow
# field of view must be to count as measured: resolved, and as noisy as the rest.
_RIDGE = 1e-3
_RESOLVED = 0.9
_NOISE = 1.5


def crop_readout(ksp: np.ndarray, measured: np.ndarray, width: int) -> np.ndarray:
    """Crop the field of view along the last axis.

    Where all of a line was measured this is a crop of its profile. Where its ends are
    missing (an asymmetric echo, discarded samples), the crop would smear them over
    the line: its samples are then the least squares fit to those that there are, and
    zero where these do not tell them.

    Args:
        ksp (array): k-space (images, coils, H, W), zero where not measured.
        measured (array): bool (images, H, W).
        width (int): new W, less than the old one.

    Returns:
        array: (images, coils, H, width), the noise per sample as before.
    """
    old = ksp.shape[-1]
    out = np.zeros(ksp.shape[:-1] + (width,), ksp.dtype)
    # Of profiles of the narrow field of view to all samples of a line.
    wide = sp.fft(sp.resize(np.eye(width, dtype=complex), (width, old)), axes=(-1,)).T
    patterns, which = np.unique(measured.reshape(-1, old), axis=0, return_inverse=True)
    which = which.reshape(measured.shape[:2])
    for p, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        to_narrow = _fit(wide[pattern], pattern.all()).astype(ksp.dtype)
        image, row = np.nonzero(which == p)
        out[image, :, row] = ksp[image, :, row][..., pattern] @ to_narrow.T
    return out


def _fit(E: np.ndarray, complete: bool) -> np.ndarray:
    """From measured samples of the wide to samples of the narrow field of view."""
    if complete:
        return sp.fft(E.conj().T, axes=(0,))
    normal = E.conj().T @ E
    inverse = np.linalg.solve(normal + _RIDGE * np.eye(len(normal)), E.conj().T)
    fit = sp.fft(inverse, axes=(0,))
    # Rows of the identity, if the samples told everything.
    resolution = sp.ifft(fit @ E, axes=(1,))
    good = np.abs(np.diag(resolution)) > _RESOLVED
    good &= (np.abs(fit) ** 2).sum(axis=1) < _NOISE
    return fit * good[:, None]
