"""Pictures of a posterior: mean, uncertainty and samples."""

import math

import numpy as np
import sigpy as sp

from sigpy_priors.show import metrics
from sigpy_priors.posterior import statistics

__all__ = ["posterior", "animate"]

_SHOWN = 8


def _figure(rows, columns, shape):
    # Figure, not pyplot: needs no display and leaves no global state behind.
    from matplotlib.figure import Figure

    height = rows * 3 * shape[0] / shape[1]
    figure = Figure(figsize=(3 * columns, height + 0.4 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_frame_on(False)
    return figure, axes


def _check(samples):
    samples = sp.to_device(samples, sp.cpu_device)
    if samples.ndim != 3 or len(samples) < 2:
        raise ValueError(
            f"samples: expected shape (at least 2, H, W), got {samples.shape}."
        )
    return samples


def posterior(samples, path=None, image=None, level=0.9, shown=_SHOWN):
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
    mean = np.abs(samples.mean(axis=0))
    low, high = statistics.interval(samples, level)
    std = samples.std(axis=0, ddof=1)
    panels = [("mean", mean), ("standard deviation", std)]
    panels.append((f"width of the {level:.0%} interval", high - low))
    if image is not None:
        image = sp.to_device(image, sp.cpu_device)
        outside = statistics.hallucination_map(samples, image, level)
        panels.append((f"outside the {level:.0%} interval", outside))
    columns = max(len(panels), 4)
    shown = min(shown, len(samples))
    rows = 1 + math.ceil(shown / columns)
    figure, axes = _figure(rows, columns, mean.shape)
    peak = metrics.peak(mean)
    for axis, (title, value) in zip(axes[0], panels):
        if title == "mean":
            style = dict(cmap="gray", vmin=0, vmax=peak)
        elif title.startswith("outside"):
            limit = max(np.abs(value).max(), 1e-6 * peak)
            style = dict(cmap="coolwarm", vmin=-limit, vmax=limit)
        else:
            style = dict(cmap="inferno", vmin=0, vmax=np.percentile(value, 99.5))
        drawn = axis.imshow(value, interpolation="nearest", **style)
        axis.set_title(title)
        figure.colorbar(drawn, ax=axis, fraction=0.04, pad=0.01)
    for i, axis in enumerate(axes[1:].flat[:shown]):
        axis.imshow(
            np.abs(samples[i]), cmap="gray", vmin=0, vmax=peak, interpolation="nearest"
        )
        axis.set_title(f"sample {i}")
    if path is not None:
        figure.savefig(path, dpi=110)
    return figure


def animate(samples, path, seconds=0.25):
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
    if not str(path).lower().endswith(".gif"):
        raise ValueError(f"{path}: expected the ending .gif.")
    figure, axes = _figure(1, 1, samples.shape[1:])
    drawn = axes[0, 0].imshow(
        samples[0], cmap="gray", vmin=0, vmax=metrics.peak(samples.mean(axis=0))
    )
    movie = FuncAnimation(
        figure, lambda i: [drawn.set_data(samples[i])] and [drawn], len(samples)
    )
    movie.save(path, writer=PillowWriter(fps=1 / seconds))
