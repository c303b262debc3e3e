"""``sigpy-priors recon``: k-space in a file to an image in a file."""

from __future__ import annotations

import argparse
import time
from typing import Any

from sigpy_priors.commands.arguments import (
    MAPS_WITH_IMAGE,
    add_volume_arguments,
    job_arguments,
    run_arguments,
)

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Declare the subcommand and its options.

    Args:
        commands (argparse action): what ``add_subparsers`` returned.
    """
    p = commands.add_parser(
        "recon",
        help="reconstruct k-space with a prior",
        description="Reconstruct k-space, slice by slice, with a learned prior. "
        "Noise level and image scale come from the data. A run that was "
        "interrupted continues when the same command is given again.",
    )
    add_volume_arguments(p)
    p.add_argument("--lamda", type=float, metavar="L", help="strength of the prior [1]")
    p.add_argument(
        "--solver",
        metavar="NAME",
        help="hqs, LBFGS, ADMM, GradientMethod or PrimalDualHybridGradient "
        "[hqs with a denoiser, LBFGS with a density]",
    )
    p.add_argument(
        "--max-iter", type=int, metavar="N", help="iterations [the solver's]"
    )
    p.add_argument(
        "--transp-nufft", action="store_true", help="adjoint NUFFT by transposition"
    )
    p.add_argument(
        "--together",
        type=int,
        metavar="N",
        help="slices that go through the prior together [16 on a GPU, else 1]",
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Reconstruct every slice that is not finished, then write the output."""
    from sigpy_priors.io.output import write_image
    from sigpy_priors.volume import recon

    start = time.monotonic()
    job = recon(
        **job_arguments(args),
        lamda=args.lamda,
        solver=args.solver,
        max_iter=args.max_iter,
        transp_nufft=args.transp_nufft,
        together=args.together,
    )
    with job.finished(args.output, **run_arguments(args)) as volume:
        image = volume.images if volume.is_volume else volume.images[0]
        write_image(args.output, image, geometry=volume.geometry)
    if volume.joint:
        print(MAPS_WITH_IMAGE)
    seconds, maps = time.monotonic() - start, volume.maps_seconds
    cost = f", maps {maps:.1f} s a slice" if maps else ""
    print(f"{args.output}: {image.shape} {image.dtype}, {seconds:.1f} s{cost}")
