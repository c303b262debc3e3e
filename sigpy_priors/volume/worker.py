"""What is done with one slice, in this process or in a worker of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors import load
from sigpy_priors.backend.errors import unwrap
from sigpy_priors.priors.base import Prior, check_kind
from sigpy_priors.priors.network import NetworkPrior
from sigpy_priors.scan.maps import estimate_maps
from sigpy_priors.volume.store import checkpoint_file

__all__ = ["compute_slice", "open_device", "open_prior"]


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
            f"device {number}: {e}; -1 is the CPU, GPUs need "
            f"pip install 'sigpy-priors[cuda]'."
        ) from e


def compute_slice(
    compute: Callable[..., Any],
    name: str,
    calib_width: int,
    output: Path | None,
    options: Mapping[str, Any],
    prior: Prior,
    i: int,
    y: np.ndarray,
    mps: np.ndarray | None,
) -> np.ndarray:
    """Compute one slice; errors name it.

    Args:
        compute (callable): as of :class:`sigpy_priors.volume.Job`.
        name (str): of the k-space, in errors.
        calib_width (int): of estimated maps.
        output (Path or None): what all slices will become, where a slice that is
            interrupted may keep what it has beside it.
        options (dict): of ``compute``, with the number of the device.
        prior (Prior): ready to be used.
        i (int): the slice.
        y (array): its k-space (coils, ...).
        mps (array or None): its maps (coils, H, W); None estimates them.

    Returns:
        array: on the CPU.

    Raises:
        Exception: what went wrong, without SigPy's wrapping.
    """
    device = open_device(options["device"])
    options = {**options, "device": device}
    try:
        if mps is None:
            mps = estimate_maps(
                y, options["coord"], calib_width, device, options["weights"]
            )
        checkpoint = None if output is None else checkpoint_file(output, i)
        result = compute(prior, i, y, mps, checkpoint=checkpoint, **options)
        return sp.to_device(result, sp.cpu_device)
    except Exception as e:
        error = unwrap(e)
        if isinstance(error, ValueError):
            raise ValueError(f"{name}, slice {i}: {error}") from e
    # Not within the except block: its wrapper would become the error's context,
    # and a circle of the two cannot be pickled for a cluster.
    error.add_note(f"{name}, slice {i}")
    raise error
