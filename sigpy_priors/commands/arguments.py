"""Options that ``recon`` and ``sample`` share, and what they mean to a volume's job."""

from __future__ import annotations

import argparse
from typing import Any

from sigpy_priors.data import DEFAULT_PRIOR

__all__ = ["MAPS_WITH_IMAGE", "add_volume_arguments", "job_arguments", "run_arguments"]

MAPS_WITH_IMAGE = (
    "The fully sampled centre is too small for ESPIRiT: coil maps were found together "
    "with the image."
)

# Options named like the arguments of sigpy_priors.volume.Job, and those of a run.
_JOB = (
    "kspace",
    "prior",
    "maps",
    "weights",
    "coord",
    "slices",
    "noise_std",
    "calib_width",
    "coils",
    "noise",
    "shape",
    "precision",
    "device",
    "coil_batch_size",
)
_RUN = ("restart", "scheduler", "workers")


def job_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of a job from a parsed command line.

    Args:
        args (Namespace): parsed with the options of :func:`add_volume_arguments`.

    Returns:
        dict: keyword arguments of :class:`sigpy_priors.volume.Job`.
    """
    return {name: getattr(args, name) for name in _JOB}


def run_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of a run from a parsed command line.

    Args:
        args (Namespace): as of :func:`job_arguments`.

    Returns:
        dict: keyword arguments of :meth:`sigpy_priors.volume.Job.finished`.
    """
    return {name: getattr(args, name) for name in _RUN}


def _slices(text: str) -> slice:
    start, colon, stop = text.partition(":")
    try:
        if not colon:
            return slice(int(start), int(start) + 1)
        return slice(int(start or 0), int(stop) if stop else None)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected INDEX or START:STOP, got {text!r}"
        ) from None


def _shape(text: str) -> tuple[int, int]:
    try:
        height, width = (int(n) for n in text.replace("x", ",").split(","))
        return height, width
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected H,W, got {text!r}") from None


def add_volume_arguments(p: argparse.ArgumentParser) -> None:
    """Declare the options of a command that does the same with every slice.

    Args:
        p (ArgumentParser): of the command.
    """
    p.add_argument(
        "kspace",
        metavar="KSPACE",
        help="k-space (coils, H, W) or (slices, coils, H, W), zeros where not "
        "sampled: .npy, BART .cfl, fastMRI .h5, ISMRMRD .h5 and .mrd or Siemens .dat "
        "(FILE/GROUP is one of several measurements)",
    )
    p.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="complex .npy, .cfl, or ISMRMRD .h5 and .mrd; magnitude .nii, .nii.gz, .dcm "
        "or .png; geometry is that of ISMRMRD raw data",
    )
    p.add_argument(
        "--maps", metavar="FILE", help="coil maps, shaped like k-space [estimated]"
    )
    p.add_argument(
        "--calib-width",
        type=int,
        default=24,
        metavar="N",
        help="greatest width of the calibration region of estimated maps [24]",
    )
    p.add_argument(
        "--coils",
        type=int,
        metavar="N",
        help="compress coils to N virtual ones, before maps are estimated [12 of more]",
    )
    p.add_argument(
        "--noise",
        metavar="FILE",
        help="noise scan (coils, samples) or covariance (coils, coils) [the file's]",
    )
    p.add_argument(
        "--prior",
        default=DEFAULT_PRIOR,
        metavar="NAME",
        help=f"bundled name or file [{DEFAULT_PRIOR}]",
    )
    p.add_argument(
        "--precision",
        default="full",
        metavar="P",
        help="of the network: full (single), double, bfloat16, or on GPUs tf32 [full]",
    )
    p.add_argument(
        "--noise-std",
        type=float,
        metavar="S",
        help="standard deviation of the complex k-space noise [estimated]",
    )
    p.add_argument("--weights", metavar="FILE", help="weights of data consistency")
    p.add_argument(
        "--coord",
        metavar="FILE",
        help="non-Cartesian coordinates (..., 2), or a trajectory of `bart traj`",
    )
    p.add_argument(
        "--shape",
        type=_shape,
        metavar="H,W",
        help="size of the image with --coord [that of the trajectory]",
    )
    p.add_argument(
        "--device", type=int, default=-1, metavar="ID", help="GPU number, or -1 [-1]"
    )
    p.add_argument(
        "--coil-batch-size", type=int, metavar="N", help="coils at a time [all]"
    )
    p.add_argument(
        "--slices",
        "--slice",
        type=_slices,
        default=slice(None),
        metavar="A:B",
        help="only this slice or these slices of a volume [all]",
    )
    p.add_argument(
        "--restart",
        action="store_true",
        help="discard slices of an unfinished run, replace an output made otherwise",
    )
    p.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="spread slices over the workers of a Dask scheduler, or `local`: one "
        "process for each core [one slice after the other]",
    )
    p.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes of `local` [one per core; one with --device]",
    )
