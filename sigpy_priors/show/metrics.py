"""Image quality: PSNR, NRMSE and SSIM inside the object.

Magnitudes are compared, since a reconstruction's phase is rarely looked at, and
the background does not count. The peak of the PSNR is the reference's scale
(:func:`sigpy_priors.scan.noise.estimate_scale`), which a few bright pixels do not
move.
"""

from __future__ import annotations

import math

import numpy as np

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_image, check_number
from sigpy_priors.scan.noise import estimate_scale

__all__ = ["nrmse", "object_mask", "psnr", "psnr_of_mse", "ssim"]


_LARGEST = 1e150  # the squares of larger ones are infinite


def _magnitude(name: str, image: Array) -> np.ndarray:
    magnitude = np.abs(check_image(name, image, 2)).astype(np.float64)
    if magnitude.max() > _LARGEST:
        raise ValueError(f"{name}: values up to {magnitude.max():g}, which overflow.")
    return magnitude


def _pair(
    image: Array, reference: Array, mask: Array | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image, reference = _magnitude("image", image), _magnitude("reference", reference)
    if image.shape != reference.shape or image.ndim != 2:
        raise ValueError(
            f"expected two images of one shape (H, W), got {image.shape} and "
            f"{reference.shape}."
        )
    if mask is None:
        mask = object_mask(reference)
    else:
        mask = check_image("mask", mask).astype(bool)
    if mask.shape != image.shape or not mask.any():
        raise ValueError(
            f"expected a mask of shape {image.shape} with pixels in it, got "
            f"{mask.shape} with {int(mask.sum())}."
        )
    return image, reference, mask


def object_mask(reference: Array, threshold: float = 0.08) -> np.ndarray:
    """The object, holes filled.

    Args:
        reference (array): image (H, W), real or complex.
        threshold (float): of the lightly smoothed magnitude, as a fraction of
            its scale.

    Returns:
        array: bool, shape (H, W).

    Raises:
        ValueError: if the reference is no 2-D image or is zero.
    """
    from scipy import ndimage

    magnitude = _magnitude("reference", reference)
    threshold = check_number("threshold", threshold)
    if magnitude.ndim != 2 or not magnitude.any():
        raise ValueError(
            f"expected a reference image (H, W) that is not zero, got shape "
            f"{magnitude.shape} with maximum {magnitude.max(initial=0)}."
        )
    smooth = ndimage.gaussian_filter(magnitude, 2)
    bright = smooth > threshold * estimate_scale(magnitude)
    mask = np.asarray(ndimage.binary_fill_holes(bright))
    opened = np.asarray(ndimage.binary_opening(mask, iterations=2))
    return opened if opened.any() else mask  # an object of few pixels


def psnr_of_mse(mse: float, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error.

    Args:
        mse (float): mean of the squared magnitude of the error.
        peak (float): in the same units, not squared.

    Returns:
        float: dB; infinite without an error.
    """
    mse = check_number("mse", mse)
    peak = check_number("peak", peak, strict=True)
    return 20 * math.log10(peak) - 10 * math.log10(mse) if mse else math.inf


def psnr(image: Array, reference: Array, mask: Array | None = None) -> float:
    """Peak signal-to-noise ratio in dB of the magnitudes inside the object.

    Args:
        image (array): image (H, W), real or complex.
        reference (array): image (H, W).
        mask (array or None): bool (H, W); default :func:`object_mask`.

    Returns:
        float: dB; infinite for equal images.

    Raises:
        ValueError: on NaN, or if the shapes differ.
    """
    image, reference, mask = _pair(image, reference, mask)
    mse = float(np.mean((image - reference)[mask] ** 2))
    return psnr_of_mse(mse, estimate_scale(reference))


def nrmse(image: Array, reference: Array, mask: Array | None = None) -> float:
    """Error norm over reference norm, of the magnitudes inside the object.

    Args, Raises: as :func:`psnr`.

    Returns:
        float: 0 for equal images.
    """
    image, reference, mask = _pair(image, reference, mask)
    norm = np.linalg.norm(reference[mask])
    return float(np.linalg.norm((image - reference)[mask]) / norm)


def ssim(image: Array, reference: Array, mask: Array | None = None) -> float:
    """Structural similarity of the magnitudes, averaged inside the object.

    Args, Raises: as :func:`psnr`.

    Returns:
        float: 1 for equal images.
    """
    from skimage.metrics import structural_similarity

    image, reference, mask = _pair(image, reference, mask)
    scale = estimate_scale(reference)
    local = structural_similarity(image, reference, data_range=scale, full=True)[1]
    return float(local[mask].mean())
