"""What is done with one slice, in this process or in a worker of a cluster."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sigpy as sp

from sigpy_priors import load
from sigpy_priors.app.joint import JointRecon
from sigpy_priors.backend import memory
from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.errors import unwrap
from sigpy_priors.backend.extras import how_to_install
from sigpy_priors.priors.base import DenoiserPrior, Prior, check_kind
from sigpy_priors.priors.network import NetworkPrior
from sigpy_priors.scan.coils import mix
from sigpy_priors.scan.maps import ESPIRIT_WIDTH, calibration_width, estimate_maps
from sigpy_priors.scan.virtual import virtual_coils
from sigpy_priors.volume.store import checkpoint_file

__all__ = [
    "Computed",
    "Preparation",
    "compute_slice",
    "compute_slices",
    "open_device",
    "open_prior",
]


class Computed(NamedTuple):
    """A slice.

    Attributes:
        image (array): what was computed, on the CPU.
        maps_seconds (float): what its coil maps took.
        joint (bool): whether they were found together with the image.
    """

    image: np.ndarray
    maps_seconds: float
    joint: bool = False


class Prepared(NamedTuple):
    """What of a slice is computed with.

    Attributes:
        y (array): white and virtual coils.
        mps (array): their maps.
        noise_std (float or None): noise level, if it is known.
        maps_seconds (float): what the maps took.
        joint (bool): whether they were found together with an image.
    """

    y: Array
    mps: Array
    noise_std: float | None
    maps_seconds: float
    joint: bool


@dataclass(frozen=True, eq=False)
class Preparation:
    """What is done with a slice before and after it is computed.

    Attributes:
        calib_width (int): of estimated maps.
        coils (int or None): virtual coils, as of
            :func:`sigpy_priors.scan.virtual.virtual_coils`.
        noise (array or None): how the coils' noise differs.
        level (bool): whether ``noise`` tells its level too.
        shape (tuple or None): (H, W) of estimated maps of non-Cartesian data.
        image_shape (tuple or None): (H, W) that is kept of the image.
    """

    calib_width: int = 24
    coils: int | None = None
    noise: np.ndarray | None = None
    level: bool = True
    shape: tuple[int, int] | None = None
    image_shape: tuple[int, int] | None = None

    def scan(
        self,
        y: Array,
        mps: Array | None,
        calibration: Array | None,
        device: sp.Device,
        options: Mapping[str, Any],
        prior: Prior,
    ) -> Prepared:
        """White and virtual coils, and their maps.

        Where the centre of k-space is too small for ESPIRiT, a denoiser finds the
        maps together with an image.

        Args:
            y (array): k-space (coils, ...).
            mps (array or None): maps, if they are given.
            calibration (array or None): k-space to estimate them from.
            device (Device): where to estimate them.
            options (dict): with "coord" and "weights".
            prior (Prior): which may find maps.

        Returns:
            Prepared: what is computed with.
        """
        coord, weights = options["coord"], options["weights"]
        if weights is not None and weights.ndim == y.ndim and len(y) > 1:
            if self.coils is not None or self.noise is not None:
                raise ValueError(
                    f"weights: expected those of one coil, {y.shape[1:]}, since coils "
                    f"are mixed, got {weights.shape}."
                )
            mixture = None
            weights = weights.mean(axis=0)  # for the maps, of all coils together
        else:
            mixture = virtual_coils(y, self.noise, self.coils, coord)
        if mixture is not None:
            y, mps, calibration = (
                v if v is None else mix(mixture.forth, v) for v in (y, mps, calibration)
            )
        start = time.monotonic()
        seconds, joint = 0.0, False
        if mps is None:
            source = y if calibration is None else calibration
            joint = source is y and coord is None and _needs_image(y, prior)
            if joint:
                app = JointRecon(y, prior, weights, device=device, show_pbar=False)
                mps = app.run_maps()
            else:
                mps = estimate_maps(
                    source, coord, self.calib_width, device, weights, self.shape
                )
            mps = mps if mixture is None else mixture.normalise(mps)
            seconds = time.monotonic() - start
        level = mixture.sigma if mixture is not None and self.level else None
        return Prepared(y, mps, level, seconds, joint)

    def crop(self, image: np.ndarray) -> np.ndarray:
        """The field of view that is wanted, of images (..., H, W)."""
        if self.image_shape is None:
            return image
        shape = tuple(map(min, image.shape[-2:], self.image_shape))
        return sp.resize(image, image.shape[:-2] + shape)


def _needs_image(y: Array, prior: Prior) -> bool:
    """Whether maps can be found together with an image only."""
    small = len(y) > 1 and calibration_width(y, ESPIRIT_WIDTH) < ESPIRIT_WIDTH
    return small and isinstance(prior, DenoiserPrior)


def open_prior(prior: str | Prior, precision: str) -> Prior:
    """Load a prior where it is to be used.

    Args:
        prior (str or Prior): bundled name, file, or a prior already loaded.
        precision (str): "full", or a precision of
            :class:`sigpy_priors.NetworkPrior`.

    Returns:
        Prior: computing in that precision.

    Raises:
        ValueError: if it is no prior, or has no such precision.
    """
    if isinstance(prior, str):
        prior = load.load_prior(prior)
    check_kind(prior)
    if precision == "full":
        return prior
    if not isinstance(prior, NetworkPrior):
        raise ValueError(f"precision {precision}: {prior!r} is no denoising network.")
    return prior.with_options(precision)


def open_device(number: int) -> sp.Device:
    """The device of a number.

    Args:
        number (int): GPU, or -1 for the CPU.

    Returns:
        Device: SigPy's.

    Raises:
        ValueError: if there is no such GPU, or cupy is missing.
    """
    try:
        return sp.Device(number)
    except Exception as e:  # SigPy raises what cupy raises, or a plain error
        raise ValueError(
            f"device {number}: {e}; -1 is the CPU, GPUs need {how_to_install('cuda')}."
        ) from e


def compute_slices(
    compute: Callable[..., Any],
    compute_many: Callable[..., Any] | None,
    name: str,
    preparation: Preparation,
    output: Path | None,
    options: Mapping[str, Any],
    prior: Prior,
    numbers: Sequence[int],
    *loaded: tuple,
) -> list[Computed]:
    """Compute slices, together where there is a way and more than one.

    Args:
        compute (callable): as of :class:`sigpy_priors.volume.Job`.
        compute_many (callable or None): likewise.
        name (str): as of :func:`compute_slice`.
        preparation (Preparation): likewise.
        output (Path or None): likewise.
        options (dict): likewise.
        prior (Prior): likewise.
        numbers (sequence of int): the slices.
        *loaded (tuple): k-space, maps and calibration of each.

    Returns:
        list of Computed: of each.

    Raises:
        Exception: as :func:`compute_slice`.
    """

    def alone() -> list[Computed]:
        return [
            compute_slice(
                compute, name, preparation, output, options, prior, i, *arrays
            )
            for i, arrays in zip(numbers, loaded)
        ]

    if compute_many is None or len(numbers) < 2:
        return alone()
    quiet = {k: v for k, v in options.items() if k != "show_pbar"}
    try:
        return _compute_together(compute_many, preparation, quiet, prior, loaded)
    except ValueError:
        return alone()  # where the error tells its slice


def _compute_together(
    compute_many: Callable[..., Any],
    preparation: Preparation,
    options: dict[str, Any],
    prior: Prior,
    loaded: Sequence[tuple],
) -> list[Computed]:
    device = open_device(options["device"])
    options |= {"device": device}
    given = options.pop("noise_std")
    scans = [
        preparation.scan(y, mps, calibration, device, options, prior)
        for y, mps, calibration in loaded
    ]

    def images(scans: list[Prepared]) -> list[Array]:
        slices = [(s.y, s.mps, s.noise_std if given is None else given) for s in scans]
        return compute_many(prior, slices, **options)

    parts, _ = memory.in_chunks(images, [scans], len(scans))
    return [
        Computed(
            preparation.crop(sp.to_device(image, sp.cpu_device)),
            scan.maps_seconds, scan.joint,
        )
        for image, scan in zip(itertools.chain(*parts), scans)
    ]  # fmt: skip


def compute_slice(
    compute: Callable[..., Any],
    name: str,
    preparation: Preparation,
    output: Path | None,
    options: Mapping[str, Any],
    prior: Prior,
    i: int,
    y: np.ndarray,
    mps: np.ndarray | None,
    calibration: np.ndarray | None = None,
) -> Computed:
    """Compute one slice; errors name it.

    Args:
        compute (callable): as of :class:`sigpy_priors.volume.Job`.
        name (str): of the k-space, in errors.
        preparation (Preparation): of its coils.
        output (Path or None): what all slices will become, where a slice that is
            interrupted may keep what it has beside it.
        options (dict): of ``compute``, with the number of the device.
        prior (Prior): ready to be used.
        i (int): the slice.
        y (array): its k-space (coils, ...).
        mps (array or None): its maps (coils, H, W); None estimates them.
        calibration (array or None): k-space (coils, H, W) to estimate them from.

    Returns:
        Computed: on the CPU.

    Raises:
        Exception: what went wrong, without SigPy's wrapping.
    """
    device = open_device(options["device"])
    options = {**options, "device": device}
    try:
        scan = preparation.scan(y, mps, calibration, device, options, prior)
        if options.get("noise_std") is None and scan.noise_std is not None:
            options["noise_std"] = scan.noise_std
        checkpoint = None if output is None else checkpoint_file(output, i)
        result = compute(prior, i, scan.y, scan.mps, checkpoint=checkpoint, **options)
        image = preparation.crop(sp.to_device(result, sp.cpu_device))
        return Computed(image, scan.maps_seconds, scan.joint)
    except Exception as e:
        error = unwrap(e)
        if isinstance(error, ValueError):
            raise ValueError(f"{name}, slice {i}: {error}") from e
    # Not within the except block: its wrapper would become the error's context,
    # and a circle of the two cannot be pickled for a cluster.
    error.add_note(f"{name}, slice {i}")
    raise error
