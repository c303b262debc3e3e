"""Statistics of the training phase beside those of measured phase.

    python tests/benchmarks/phase.py [--slices 60] [--picture phase.png]

Where the magnitude is above 12 % of its peak: size of the phase gradient in cycles per
field of view, median and 90th percentile over pixels, and the rms of the phase that a
Gaussian low-pass of N/16 pixels leaves ("local"). Each is the median over images, with the
10th and 90th percentile. Noise adds to the gradients: trust the local phase more.
"""

import argparse

import numpy as np
from cases import data_folder
from scipy.ndimage import gaussian_filter

from sigpy_priors.io.images import read_slices
from sigpy_priors.train.batches import Batches
from sigpy_priors.train.config import TrainConfig
from sigpy_priors.train.datasets import open_training


def statistics(z):
    """Median and 90th percentile of the gradient, and the local phase, of an image."""
    n = max(z.shape)
    inside = np.abs(z) > 0.12 * np.abs(z).max()
    unit = np.exp(1j * np.angle(z))
    steps = [
        np.angle(unit[1:, :-1] * unit[:-1, :-1].conj()),
        np.angle(unit[:-1, 1:] * unit[:-1, :-1].conj()),
    ]
    both = inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:]
    gradient = np.hypot(*steps)[both] * n / (2 * np.pi)
    low = gaussian_filter(z.real, n / 16) + 1j * gaussian_filter(z.imag, n / 16)
    local = np.angle(z * low.conj())[inside]
    return (*np.percentile(gradient, [50, 90]), np.sqrt(np.mean(local**2)))


def drawn(model, path, count, root):
    """Whole slices with random phase of a model."""
    config = TrainConfig.model_validate(
        {
            "name": "phase",
            "data": {"train": [path], "affine": 0, "phase": {"model": model}},
            "optim": {"batch_size": count},
        }
    )
    slices = open_training(config.data, root)
    size = max(max(img.shape) for img in slices.images)
    x = Batches(slices, config, "cpu")(0, size).x.numpy()
    return x[:, 0] + 1j * x[:, 1]


def measured(path, root):
    return list(read_slices(root / path).astype(np.complex64))


def row(name, images):
    """One line of the table."""
    values = np.array([statistics(z) for z in images])
    low, middle, high = np.percentile(values, [10, 50, 90], axis=0)
    cells = [f"{m:.2f} ({a:.2f}-{b:.2f})" for a, m, b in zip(low, middle, high)]
    print(f"| {name} | {len(images)} | {' | '.join(cells)} |", flush=True)


def picture(columns, path):
    """Some phases of every row of the table."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(columns), 6, figsize=(9, 1.6 * len(columns)))
    for line, (name, images) in zip(axes, columns.items()):
        chosen = np.linspace(0, len(images) - 1, len(line)).astype(int)
        for axis, k in zip(line, chosen):
            z = images[k]
            shown = np.where(np.abs(z) > 0.12 * np.abs(z).max(), np.angle(z), np.nan)
            axis.imshow(shown, cmap="twilight", vmin=-np.pi, vmax=np.pi)
            axis.axis("off")
        line[0].set_title(name, loc="left", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--picture", metavar="FILE.png")
    args = parser.parse_args()
    root = data_folder()
    heads, hearts = "brain_magnitude_val.npz", "anatomy/anatomy_magnitude_val.npz"
    rows = {
        "measured: brain, GRE, 80 x 80": measured("complex/complex_ship_80.npz", root),
        "measured: brain, B0 map, 128 x 128": measured(
            "complex/complex_ship_128.npz", root
        ),
    }
    for model in ("measured", "smooth"):
        rows[f"drawn: `{model}` on brain"] = drawn(model, heads, args.slices, root)
        rows[f"drawn: `{model}` on hearts, neck"] = drawn(
            model, hearts, args.slices, root
        )
    print("| phase | images | gradient, median | gradient, 90 % | local, rad |")
    print("|---|---|---|---|---|")
    for name, images in rows.items():
        row(name, images)
    if args.picture:
        picture(rows, args.picture)


if __name__ == "__main__":
    main()
