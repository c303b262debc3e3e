"""``sigpy-priors sample``: k-space in a file to posterior samples in files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigpy_priors.commands.arguments import (
    MAPS_WITH_IMAGE,
    add_volume_arguments,
    job_arguments,
    run_arguments,
)

if TYPE_CHECKING:
    from sigpy_priors.volume import Finished

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Declare the subcommand and its options.

    Args:
        commands (argparse action): what ``add_subparsers`` returned.
    """
    p = commands.add_parser(
        "sample",
        help="draw images from the posterior, with their uncertainty",
        description="Draw samples from the posterior of k-space and a learned "
        "prior, slice by slice. Writes OUT (samples), OUT_mean, OUT_std and a "
        "picture of each slice. A run that was interrupted continues when the "
        "same command is given again.",
    )
    add_volume_arguments(p)
    p.add_argument(
        "-n",
        "--num-samples",
        type=int,
        default=16,
        metavar="N",
        help="samples of each slice [16]",
    )
    p.add_argument(
        "--method", metavar="NAME", help="sampler [mmps; hmc with a density]"
    )
    p.add_argument(
        "--steps",
        type=int,
        metavar="K",
        help="noise levels [about 60 network evaluations]",
    )
    p.add_argument(
        "--level",
        type=float,
        default=0.9,
        metavar="P",
        help="of the credible interval in the picture [0.9]",
    )
    p.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="of the first slice, one more for each that follows [0]",
    )
    p.add_argument(
        "--chunk-size", type=int, metavar="N", help="samples computed together [found]"
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Draw for every slice that is not finished, write, say what was found."""
    from sigpy_priors import volume

    if args.num_samples < 2:
        raise ValueError(
            f"-n {args.num_samples}: expected at least 2 samples for an uncertainty."
        )
    job = volume.sample(
        **job_arguments(args),
        num_samples=args.num_samples,
        method=args.method,
        steps=args.steps,
        seed=args.seed,
        chunk_size=args.chunk_size,
    )
    if args.output.lower().endswith(".png"):
        raise ValueError(
            f"-o {args.output}: a picture is drawn in any case, expected the file of the "
            f"samples, such as out.npy or out.nii.gz."
        )
    for path in _files(Path(args.output)):
        job.check_output(path)
    with job.finished(args.output, **run_arguments(args)) as drawn:
        relative = _write(Path(args.output), drawn, args.level)
    if drawn.joint:
        print(MAPS_WITH_IMAGE)
    maps = drawn.maps_seconds
    cost = f"; maps {maps:.1f} s a slice" if maps else ""
    print(
        f"{args.output}: {drawn.images.shape[1]} samples of {len(drawn.numbers)} "
        f"slice(s), mean std {relative:.1%} of the scale where there are data; "
        f"pictures beside it{cost}"
    )


def _files(out: Path) -> tuple[Path, Path, Path]:
    """Samples, mean and deviation."""
    from sigpy_priors.io.output import beside

    return out, beside(out, "_mean"), beside(out, "_std")


def _write(out: Path, drawn: Finished, level: float) -> float:
    """Samples, their mean, their deviation and pictures; the mean deviation.

    Of pixels that the data see: elsewhere all samples are zero.
    """
    import numpy as np

    from sigpy_priors.io.atomic import remove_leftovers
    from sigpy_priors.io.output import beside, write_image
    from sigpy_priors.scan.noise import estimate_scale
    from sigpy_priors.show.plot import posterior

    mean = np.stack([x.mean(axis=0) for x in drawn.images])
    std = np.stack([x.std(axis=0, ddof=1) for x in drawn.images])
    for i, x in zip(drawn.numbers, drawn.images):
        picture = beside(out, f"_{i:03d}" if drawn.is_volume else "", ".png")
        remove_leftovers(picture)
        posterior(x, picture, level=level)
    for path, arrays in zip(_files(out), (drawn.images, mean, std)):
        image = arrays if drawn.is_volume else arrays[0]
        remove_leftovers(path)
        write_image(path, image, path == out, drawn.geometry)
    seen = [x.any(axis=0) for x in drawn.images]
    parts = zip(mean, std, seen)
    return float(np.mean([s[k].mean() / estimate_scale(m[k]) for m, s, k in parts]))
