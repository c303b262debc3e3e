"""Images and posterior samples into files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.io.cfl import image_to_bart, write_cfl

__all__ = ["check_output", "write_image"]

_OUTPUTS = (".npy", ".cfl")


def check_output(path: str | Path) -> None:
    """Check the name of an output before any work is done.

    Args:
        path (str or Path): ``.npy`` or ``.cfl``, in a folder that exists.

    Raises:
        ValueError: if the ending is unknown, or the folder does not exist or may not
            be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _OUTPUTS:
        raise ValueError(
            f"{path}: unknown ending {path.suffix!r}, expected one of "
            f"{', '.join(_OUTPUTS)} for the output."
        )
    if not path.parent.is_dir():
        raise ValueError(f"{path}: no folder {path.parent}; make it first.")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected the name of a file.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as e:
        raise ValueError(
            f"{path}: cannot be written ({e.strerror}); choose another folder."
        ) from e


def write_image(path: str | Path, image: np.ndarray, samples: bool = False) -> None:
    """Write an image or a volume, in place of an older file at once.

    Args:
        path (str or Path): ``.npy`` or ``.cfl`` (and ``.hdr``).
        image (array): (H, W) or (slices, H, W).
        samples (bool): there is an axis of samples before H: (samples, H, W)
            or (slices, samples, H, W).

    Raises:
        ValueError: if the ending is unknown or the shape is another.
        FloatingPointError: if a value is NaN or infinite.
    """
    check_output(path)
    path = Path(path)
    bad = image.size - int(np.isfinite(image).sum())
    if bad:
        raise FloatingPointError(
            f"{path}: {bad} of {image.size} values are NaN or infinite; not written."
        )
    inner = "samples, H, W" if samples else "H, W"
    if image.ndim - samples not in (2, 3):
        raise ValueError(
            f"{path}: got shape {image.shape}, expected ({inner}) or (slices, {inner})."
        )
    if path.suffix.lower() == ".cfl":
        write_cfl(path, image_to_bart(image, samples))
        return

    def save(tmp: Path) -> None:
        with open(tmp, "wb") as f:  # given a path, np.save appends .npy to it
            np.save(f, image)

    write_atomic(path, save)
