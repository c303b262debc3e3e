"""Pictures of reconstructions: images above, errors below, each at one scale."""

import numpy as np
import sigpy as sp

from sigpy_priors.show import metrics
from sigpy_priors.show.plot_posterior import animate, posterior

__all__ = ["compare", "posterior", "animate"]


def compare(images, reference, path=None, error_scale=None, captions=None):
    """Draw images beside a reference, and their error maps at the same scale.

    Magnitudes are shown from 0 to the reference's 99.8th percentile, errors
    ``|image| - |reference|`` from 0 to ``error_scale`` times that.

    Args:
        images (dict): title to image (H, W), real or complex.
        reference (array): image (H, W).
        path (str, Path or None): picture to write.
        error_scale (float or None): fraction of the peak at which the error
            maps saturate; default the 99th percentile of all errors.
        captions (dict or None): title to a line of text below its error map;
            default the PSNR inside the object.

    Returns:
        matplotlib.figure.Figure: not shown, and known to no window system.

    Raises:
        ValueError: if there are no images, or shapes differ.
    """
    # Figure, not pyplot: needs no display and leaves no global state behind.
    from matplotlib.figure import Figure

    if not images:
        raise ValueError("expected at least one image to compare, got none.")
    reference = np.abs(sp.to_device(reference, sp.cpu_device))
    images = {t: np.abs(sp.to_device(x, sp.cpu_device)) for t, x in images.items()}
    peak = metrics.peak(reference)
    psnr = {t: metrics.psnr(x, reference) for t, x in images.items()}
    captions = {t: f"{psnr[t]:.1f} dB" for t in images} | (captions or {})
    errors = {t: np.abs(x - reference) for t, x in images.items()}
    if error_scale is None:
        error_scale = np.percentile(np.stack(list(errors.values())), 99) / peak
    error_scale = max(error_scale, 1e-6)

    columns = len(images) + 1
    height, width = reference.shape
    figure = Figure(
        figsize=(3 * columns, 6 * height / width + 0.7), layout="constrained"
    )
    axes = figure.subplots(2, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_frame_on(False)
    gray = dict(cmap="gray", vmin=0, vmax=peak, interpolation="nearest")
    axes[0, 0].imshow(reference, **gray)
    axes[0, 0].set_title("reference")
    heat = dict(cmap="inferno", vmin=0, vmax=error_scale * peak)
    for column, title in enumerate(images, start=1):
        axes[0, column].imshow(images[title], **gray)
        axes[0, column].set_title(title)
        shown = axes[1, column].imshow(errors[title], interpolation="nearest", **heat)
        axes[1, column].set_xlabel(captions[title])
    axes[1, 0].text(
        0.95,
        0.5,
        f"error\n0 to {error_scale:.1%}\nof the peak",
        ha="right",
        va="center",
        transform=axes[1, 0].transAxes,
    )
    figure.colorbar(shown, ax=list(axes[1]), fraction=0.02, pad=0.01)
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure
