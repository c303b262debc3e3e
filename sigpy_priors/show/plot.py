"""Pictures: reconstructions with their errors, posteriors with their uncertainty.

Figures are returned, and written where a path is given; none is shown, and no
window system is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import (
    check_count,
    check_image,
    check_number,
    check_path,
)
from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.posterior import statistics
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.show import metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["animate", "compare", "phases", "posterior"]

_LONGEST = 600  # seconds that one sample is shown
_INCHES = 3  # width of one image


def _figure(
    rows: int, columns: int, shape: tuple[int, ...], margin: float = 0.4
) -> tuple[Figure, np.ndarray]:
    """A figure and its axes (rows, columns), bare, for images of one shape.

    ``margin`` is what a row has for titles, in inches.
    """
    # Figure, not pyplot: needs no display and leaves no global state behind.
    from matplotlib.figure import Figure

    height = rows * (_INCHES * shape[0] / shape[1] + margin)
    figure = Figure(figsize=(_INCHES * columns, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_frame_on(False)
    return figure, axes


def _gray(scale: float) -> dict[str, Any]:
    """How magnitudes are drawn: from 0 to the image's scale."""
    return dict(cmap="gray", vmin=0, vmax=scale, interpolation="nearest")


def _save(figure: Figure, path: str | Path | None, dpi: int) -> Figure:
    if path is not None:
        write_atomic(path, lambda p: figure.savefig(p, dpi=dpi))
    return figure


def compare(
    images: Mapping[str, Array],
    reference: Array,
    path: str | Path | None = None,
    error_scale: float | None = None,
    captions: Mapping[str, str] | None = None,
) -> Figure:
    """Draw images beside a reference, and their error maps at the same scale.

    Magnitudes are shown from 0 to the reference's scale
    (:func:`sigpy_priors.scan.noise.estimate_scale`), errors
    ``|image| - |reference|`` from 0 to ``error_scale`` times that.

    Args:
        images (dict): title to image (H, W), real or complex.
        reference (array): image (H, W).
        path (str, Path or None): picture to write.
        error_scale (float or None): fraction of the scale at which the error
            maps saturate; default the 99th percentile of all errors.
        captions (dict or None): title to a line of text below its error map;
            default the PSNR inside the object.

    Returns:
        matplotlib.figure.Figure: not shown.

    Raises:
        ValueError: if there are no images, or shapes differ.
    """
    if not isinstance(images, Mapping) or not images:
        raise ValueError(
            f"images: expected a dict of at least one image to compare, got {images!r}."
        )
    path = path if path is None else check_path("path", path)
    if error_scale is not None:
        error_scale = check_number("error_scale", error_scale)
    reference = 1.0 * np.abs(check_image("reference", reference, 2))
    magnitudes = {t: np.abs(check_image(f"images: {t}", x)) for t, x in images.items()}
    psnr = {t: metrics.psnr(x, reference) for t, x in magnitudes.items()}
    captions = {t: f"{psnr[t]:.1f} dB" for t in magnitudes} | dict(captions or {})
    errors = {t: np.abs(x - reference) for t, x in magnitudes.items()}
    scale = estimate_scale(reference)
    if error_scale is None:
        error_scale = float(np.percentile(np.stack(list(errors.values())), 99) / scale)
    error_scale = max(error_scale, 1e-6)

    figure, axes = _figure(2, len(magnitudes) + 1, reference.shape, margin=0.35)
    axes[0, 0].imshow(reference, **_gray(scale))
    axes[0, 0].set_title("reference")
    heat = _gray(error_scale * scale) | dict(cmap="inferno")
    for (above, below), title in zip(axes.T[1:], magnitudes):
        above.imshow(magnitudes[title], **_gray(scale))
        above.set_title(title)
        drawn = below.imshow(errors[title], **heat)
        below.set_xlabel(captions[title])
    axes[1, 0].text(
        0.95,
        0.5,
        f"error\n0 to {error_scale:.1%}\nof the peak",
        ha="right",
        va="center",
        transform=axes[1, 0].transAxes,
    )
    figure.colorbar(drawn, ax=list(axes[1]), fraction=0.02, pad=0.01)
    return _save(figure, path, dpi=120)


def posterior(
    samples: Array,
    path: str | Path | None = None,
    image: Array | None = None,
    level: float = 0.9,
    shown: int = 8,
) -> Figure:
    """Draw mean, standard deviation, interval width and a sheet of samples.

    Args:
        samples (array): posterior samples (S, H, W), complex.
        path (str, Path or None): picture to write.
        image (array or None): a reconstruction or reference (H, W): where it
            leaves the interval is drawn too.
        level (float): of the credible interval of the magnitude.
        shown (int): samples on the sheet.

    Returns:
        matplotlib.figure.Figure: not shown.

    Raises:
        ValueError: for fewer than two samples, or an image of another shape.
    """
    samples = _check(samples)
    path = path if path is None else check_path("path", path)
    shown = check_count("shown", shown)
    mean = np.abs(samples.mean(axis=0))
    # Where the data see nothing all samples are zero, and nothing is claimed.
    seen = samples.any(axis=0)
    scale = estimate_scale(mean[seen] if seen.any() else mean)
    low, high = statistics.interval(samples, level)
    std, width = samples.std(axis=0, ddof=1), high - low
    panels = [
        ("mean", mean, _gray(scale)),
        ("standard deviation", std, _heat(std, seen)),
        (f"width of the {level:.0%} interval", width, _heat(width, seen)),
    ]
    if image is not None:
        image = check_image("image", image)
        outside = statistics.hallucination_map(samples, image, level) * seen
        limit = max(np.abs(outside).max(), 1e-6 * scale)
        style = _gray(limit) | dict(cmap="coolwarm", vmin=-limit)
        panels.append((f"outside the {level:.0%} interval", outside, style))
    shown = min(shown, len(samples))
    columns = max(len(panels), 4)
    figure, axes = _figure(1 + math.ceil(shown / columns), columns, mean.shape)
    for axis, (title, value, style) in zip(axes[0], panels):
        drawn = axis.imshow(value, **style)
        axis.set_title(title)
        figure.colorbar(drawn, ax=axis, fraction=0.04, pad=0.01)
    for i, axis in enumerate(axes[1:].flat[:shown]):
        axis.imshow(np.abs(samples[i]), **_gray(scale))
        axis.set_title(f"sample {i}")
    return _save(figure, path, dpi=110)


def phases(images: Array, path: str | Path | None = None) -> Figure:
    """Draw magnitudes, and their phases below.

    Args:
        images (array): complex (N, H, W).
        path (str, Path or None): picture to write.

    Returns:
        matplotlib.figure.Figure: not shown.

    Raises:
        ValueError: if they are not complex images.
    """
    images = check_image("images", np.asarray(images))
    if images.ndim != 3 or images.dtype.kind != "c":
        raise ValueError(
            f"images: expected complex (N, H, W), got {images.dtype} {images.shape}."
        )
    path = path if path is None else check_path("path", path)
    figure, axes = _figure(2, len(images), images.shape[1:])
    for x, (above, below) in zip(images, axes.T):
        above.imshow(np.abs(x), **_gray(estimate_scale(x)))
        shown = np.where(np.abs(x) > 0.05 * estimate_scale(x), np.angle(x), np.nan)
        below.imshow(shown, cmap="twilight", vmin=-np.pi, vmax=np.pi)
    return _save(figure, path, 110)


def animate(samples: Array, path: str | Path, seconds: float = 0.25) -> None:
    """Write the samples one after the other: what moves is uncertain.

    Args:
        samples (array): posterior samples (S, H, W).
        path (str or Path): ``.gif`` file.
        seconds (float): for each sample.

    Raises:
        ValueError: for fewer than two samples, or another ending.
    """
    from matplotlib.animation import FuncAnimation, PillowWriter

    samples = np.abs(_check(samples))
    path = check_path("path", path)
    seconds = check_number("seconds", seconds, strict=True)
    if seconds > _LONGEST:
        raise ValueError(f"seconds must be at most {_LONGEST}, got {seconds:g}.")
    if not str(path).lower().endswith(".gif"):
        raise ValueError(f"{path}: expected the ending .gif.")
    figure, axes = _figure(1, 1, samples.shape[1:])
    style = dict(cmap="gray", vmin=0, vmax=estimate_scale(samples.mean(axis=0)))
    drawn = axes[0, 0].imshow(samples[0], **style)

    def show(i: int) -> list:
        drawn.set_data(samples[i])
        return [drawn]

    movie = FuncAnimation(figure, show, len(samples))
    fps: Any = 1 / seconds  # a float serves, whatever Matplotlib's annotation says
    write_atomic(path, lambda p: movie.save(p, writer=PillowWriter(fps)))


def _check(samples: Array) -> np.ndarray:
    samples = check_image("samples", samples)
    if samples.ndim != 3 or len(samples) < 2:
        raise ValueError(
            f"samples: expected shape (at least 2, H, W), got {samples.shape}."
        )
    return samples


def _heat(value: np.ndarray, seen: np.ndarray) -> dict[str, Any]:
    """How uncertainty is drawn; a few large values would hide the rest."""
    value = value[seen] if seen.any() else value
    return _gray(float(np.percentile(value, 99.5))) | dict(cmap="inferno")
