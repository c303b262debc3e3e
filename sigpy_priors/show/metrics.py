"""Image quality inside the object; the one place where it is measured.

Magnitudes are compared, since a reconstruction's phase is rarely looked at.
The peak is the 99.8th percentile of the reference's magnitude, which a few
bright pixels do not move, and the background does not count.
"""

import numpy as np
import sigpy as sp

__all__ = ["peak", "object_mask", "psnr", "nrmse", "ssim"]


def _magnitude(image):
    return np.abs(sp.to_device(image, sp.cpu_device)).astype(np.float64)


def _pair(image, reference, mask):
    image, reference = _magnitude(image), _magnitude(reference)
    if image.shape != reference.shape or image.ndim != 2:
        raise ValueError(
            f"expected two images of one shape (H, W), got {image.shape} and "
            f"{reference.shape}."
        )
    if not (np.isfinite(image).all() and np.isfinite(reference).all()):
        raise ValueError("image or reference has NaN or infinite pixels.")
    mask = object_mask(reference) if mask is None else np.asarray(mask, bool)
    if mask.shape != image.shape or not mask.any():
        raise ValueError(
            f"expected a mask of shape {image.shape} with pixels in it, got "
            f"{mask.shape} with {int(mask.sum())}."
        )
    return image, reference, mask


def peak(reference):
    """The 99.8th percentile of the magnitude.

    Args:
        reference (array): image (H, W).

    Returns:
        float: what counts as the image's peak.
    """
    return float(np.percentile(_magnitude(reference), 99.8))


def object_mask(reference, threshold=0.08):
    """The object, holes filled.

    Args:
        reference (array): image (H, W), real or complex.
        threshold (float): of the lightly smoothed magnitude, as a fraction of
            its 99.8th percentile.

    Returns:
        array: bool, shape (H, W).

    Raises:
        ValueError: if the reference is no 2-D image or is zero.
    """
    from scipy import ndimage

    magnitude = _magnitude(reference)
    if magnitude.ndim != 2 or not peak(magnitude) > 0:
        raise ValueError(
            f"expected a reference image (H, W) that is not zero, got shape "
            f"{magnitude.shape} with peak {magnitude.max(initial=0)}."
        )
    smooth = ndimage.gaussian_filter(magnitude, 2)
    mask = ndimage.binary_fill_holes(smooth > threshold * peak(magnitude))
    opened = ndimage.binary_opening(mask, iterations=2)
    return opened if opened.any() else mask  # an object of few pixels


def psnr(image, reference, mask=None):
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
    mse = np.mean((image - reference)[mask] ** 2)
    return float(20 * np.log10(peak(reference)) - 10 * np.log10(mse)) if mse else np.inf


def nrmse(image, reference, mask=None):
    """Error norm over reference norm, of the magnitudes inside the object.

    Args, Raises: as :func:`psnr`.

    Returns:
        float: 0 for equal images.
    """
    image, reference, mask = _pair(image, reference, mask)
    norm = np.linalg.norm(reference[mask])
    return float(np.linalg.norm((image - reference)[mask]) / norm)


def ssim(image, reference, mask=None):
    """Structural similarity of the magnitudes, averaged inside the object.

    Args, Raises: as :func:`psnr`.

    Returns:
        float: 1 for equal images.
    """
    from skimage.metrics import structural_similarity

    image, reference, mask = _pair(image, reference, mask)
    _, local = structural_similarity(
        image, reference, data_range=peak(reference), full=True
    )
    return float(local[mask].mean())
