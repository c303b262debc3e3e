"""Images and posterior samples into files.

=================  ====================================  ===========================
ending             what is written                       extra
=================  ====================================  ===========================
.npy               complex, as computed                  (none)
.cfl               complex, BART's dimensions            (none)
.h5, .mrd          complex, ISMRMRD images with the      ``files``
                   header and geometry of the raw data
.nii, .nii.gz      magnitude, with the geometry          ``files``
.dcm               magnitude, secondary capture          ``files``
.png               magnitude, a picture                  ``files``
=================  ====================================  ===========================

A format more is a function of (path, image, geometry) and a row of :data:`WRITERS`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sigpy_priors.backend.extras import require
from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.io.cfl import image_to_bart, write_cfl
from sigpy_priors.io.geometry import Geometry

__all__ = [
    "WRITERS",
    "Writer",
    "beside",
    "check_output",
    "check_writable",
    "ending_of",
    "refuse_inputs",
    "write_image",
]


class Writer(NamedTuple):
    """Who writes a format.

    Attributes:
        module (str): of this room.
        function (str): in it, of (path, image (slices, samples, H, W), geometry).
        needs (str): the package that it is written with.
        magnitude (bool): whether the image is real there.
    """

    module: str
    function: str
    needs: str
    magnitude: bool = True


_NIFTI = Writer("nifti", "write_nifti", "nibabel")
_ISMRMRD = Writer("ismrmrd_image", "write_ismrmrd_image", "ismrmrd", False)
WRITERS = {
    ".nii": _NIFTI,
    ".nii.gz": _NIFTI,
    ".h5": _ISMRMRD,
    ".mrd": _ISMRMRD,
    ".dcm": Writer("dicom", "write_dicom", "pydicom"),
    ".png": Writer("png", "write_png", "PIL"),
}
"""dict: ending of a file to who writes it, beside numpy's and BART's."""

_OUTPUTS = (".npy", ".cfl", *WRITERS)
_PAIR = (".cfl", ".hdr")


def ending_of(path: str | Path) -> str:
    """The ending of an output, in lower case.

    Args:
        path (str or Path): the file.

    Returns:
        str: one of those that can be written, else what follows the last dot.
    """
    name = Path(path).name.lower()
    known = [e for e in _OUTPUTS if name.endswith(e)]
    return max(known, key=len) if known else Path(name).suffix


def beside(path: str | Path, tag: str, ending: str | None = None) -> Path:
    """A name beside an output, such as ``out_mean.nii.gz``.

    Args:
        path (str or Path): the output.
        tag (str): what follows its name.
        ending (str or None): of the new name; None for that of the output.

    Returns:
        Path: in the same folder.
    """
    path = Path(path)
    own = path.name[len(path.name) - len(ending_of(path)) :]
    return path.with_name(path.name.removesuffix(own) + tag + (ending or own))


def check_output(path: str | Path) -> None:
    """Check the name of an output before any work is done.

    Args:
        path (str or Path): with an ending that can be written, in a folder that
            exists.

    Raises:
        ValueError: if the ending is unknown, or the folder does not exist or may not
            be written.
        ImportError: naming the extra that is missing for this format.
    """
    path = Path(path)
    ending = ending_of(path)
    if ending not in _OUTPUTS:
        raise ValueError(
            f"{path}: unknown ending {path.suffix!r}, expected one of "
            f"{', '.join(_OUTPUTS)} for the output."
        )
    if ending in WRITERS:
        require(WRITERS[ending].needs, extra="files")
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


def write_image(
    path: str | Path,
    image: np.ndarray,
    samples: bool = False,
    geometry: Geometry | None = None,
) -> None:
    """Write an image or a volume, in place of an older file at once.

    Args:
        path (str or Path): by its ending, see above; a ``.cfl`` has a ``.hdr``.
        image (array): (H, W) or (slices, H, W).
        samples (bool): there is an axis of samples before H: (samples, H, W)
            or (slices, samples, H, W).
        geometry (Geometry or None): where the slices lie, for formats that tell.

    Raises:
        ValueError: if the ending is unknown or the shape is another.
        FloatingPointError: if a value is NaN or infinite.
    """
    check_output(path)
    path, ending = Path(path), ending_of(path)
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
    if ending == ".cfl":
        write_cfl(path, image_to_bart(image, samples))
        return
    if ending in WRITERS:
        writer = WRITERS[ending]
        whole = image if samples else image[..., None, :, :]
        whole = whole.reshape((-1,) + whole.shape[-3:])
        if writer.magnitude and np.iscomplexobj(whole):
            whole = np.abs(whole)
        write = getattr(
            import_module(f"sigpy_priors.io.{writer.module}"), writer.function
        )
        write_atomic(path, lambda tmp: write(tmp, whole, geometry))
        return

    def save(tmp: Path) -> None:
        with open(tmp, "wb") as f:  # given a path, np.save appends .npy to it
            np.save(f, image)

    write_atomic(path, save)
