"""Magnitude images as a picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from sigpy_priors.backend.extras import require
from sigpy_priors.io.geometry import Geometry

__all__ = ["write_png"]


def write_png(path: Path, image: np.ndarray, geometry: Geometry | None) -> None:
    """Draw slices, several as a mosaic row by row, black to the brightest pixel.

    Args:
        path (Path): ``.png``.
        image (array): (slices, samples, H, W), real.
        geometry (Geometry or None): pixels of the picture are square whatever it says.
    """
    [pil] = require("PIL.Image", extra="files")
    tiles = image.reshape(-1, *image.shape[-2:])
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    h, w = tiles.shape[1:]
    canvas = np.zeros((rows, columns, h, w), np.float32)
    canvas.reshape(-1, h, w)[: len(tiles)] = tiles
    canvas *= 255 / (float(tiles.max()) or 1.0)
    picture = canvas.swapaxes(1, 2).reshape(rows * h, columns * w)
    pil.fromarray(np.rint(np.maximum(picture, 0)).astype(np.uint8)).save(path)
