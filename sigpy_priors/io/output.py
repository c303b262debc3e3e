"""Images and posterior samples into files."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.io.cfl import image_to_bart, write_cfl

__all__ = ["check_output", "check_writable", "refuse_inputs", "write_image"]

_OUTPUTS = (".npy", ".cfl")
_PAIR = (".cfl", ".hdr")


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
    check_writable(path)


def check_writable(path: str | Path) -> None:
    """Refuse, before any work is done, what no file can be put in place of.

    Args:
        path (str or Path): file that will be written.

    Raises:
        ValueError: if its folder does not exist or may not be written, or it is a
            folder, pipe or device.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"{path}: no folder {path.parent}; make it first.")
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no plain file"
        raise ValueError(f"{path}: is {kind}, expected the name of a file to write.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as e:
        raise ValueError(
            f"{path}: cannot be written ({e.strerror}); choose another folder."
        ) from e


def refuse_inputs(output: str | Path, sources: Mapping[str, object]) -> None:
    """Raise a ValueError if an output is one of the files that are read.

    Args:
        output (str or Path): file to write; a ``.cfl`` is one with its ``.hdr``.
        sources (dict): name to what was given: a path, or anything else.
    """
    from sigpy_priors.io.kspace_h5 import file_of  # with h5py, which samplers need not

    written = _files(output)
    for name, source in sources.items():
        if not isinstance(source, str | Path):
            continue
        given = Path(source)
        read = _files(given if given.exists() else file_of(given)[0])
        if any(
            w.exists() and r.exists() and w.samefile(r) for w in written for r in read
        ):
            raise ValueError(
                f"{output}: is the {name} that is read, and would be overwritten; choose "
                f"another name for the output."
            )


def _files(path: str | Path) -> list[Path]:
    """A file, or both of a pair."""
    path = Path(path)
    return [path.with_suffix(s) for s in _PAIR] if path.suffix in _PAIR else [path]


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
