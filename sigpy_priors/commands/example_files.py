"""``sigpy-priors example``: files to begin with."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["add_parser", "write_scan"]


def add_parser(commands: Any) -> None:
    """Declare the subcommand and its options.

    Args:
        commands (argparse action): what ``add_subparsers`` returned.
    """
    p = commands.add_parser(
        "example",
        help="write the bundled scan for SigPy and BART",
        description="Write files to begin with: the bundled brain slice as a scan, "
        "scan, scan_maps and scan_truth, each as .npy for SigPy and as .cfl for BART.",
    )
    p.add_argument("what", choices=["scan"], help="the bundled scan")
    p.add_argument(
        "-o", "--out", default=".", metavar="DIR", help="folder to write into [.]"
    )
    p.add_argument("--accel", type=float, default=4.0, metavar="R", help="[4]")
    p.add_argument("--coils", type=int, default=8, metavar="N", help="[8]")
    p.add_argument("--seed", type=int, default=0, metavar="S", help="[0]")
    p.add_argument("--force", action="store_true", help="replace files of these names")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write, and say what to do with it."""
    from pathlib import Path

    folder = write_scan(
        Path(args.out), args.accel, args.coils, args.seed, force=args.force
    )
    scan, maps = folder / "scan", folder / "scan_maps"
    print(f"{scan}.npy, {scan}.cfl: k-space; {maps}, {scan}_truth likewise; try")
    print(
        f"  sigpy-priors recon {scan}.npy --maps {maps}.npy -o {folder / 'image.png'}"
    )
    print(f"  sigpy-priors pics {scan} {maps} {folder / 'image'}")


def write_scan(
    folder: Path, accel: float = 4.0, coils: int = 8, seed: int = 0, force: bool = False
) -> Path:
    """Write k-space, maps and the truth for SigPy and for BART.

    Args:
        folder (Path): made if it is not there.
        accel (float): acceleration.
        coils (int): number of coils.
        seed (int): of mask and noise.
        force (bool): replace older files.

    Returns:
        Path: the folder.

    Raises:
        ValueError: if the acceleration is below 1, there is no coil, or one of the files
            is there already.
    """
    import numpy as np

    from sigpy_priors.backend.validate import check_count, check_number
    from sigpy_priors.data.example import example, undersample
    from sigpy_priors.io.atomic import writing
    from sigpy_priors.io.cfl import write_cfl
    from sigpy_priors.io.output import check_writable, write_image

    if check_number("accel", accel) < 1:
        raise ValueError(f"accel must be at least 1, got {accel:g}.")
    image, mps = example(check_count("coils", coils))
    arrays = {
        "scan": undersample(image, mps, accel, seed=seed),
        "scan_maps": mps,
        "scan_truth": image[None],
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name in arrays:
        for ending in (".npy", ".cfl", ".hdr"):
            file = folder / (name + ending)
            check_writable(file)
            if file.exists() and not force:
                raise ValueError(
                    f"{file}: is there already; choose another folder with -o, or "
                    f"replace it with --force."
                )
    for name, array in arrays.items():
        # (coils, 1, H, W) are BART's dimensions COIL, PHS2, PHS1 and READ.
        write_cfl(folder / f"{name}.cfl", array[:, None])
        write_image(folder / f"{name}.npy", np.squeeze(array))
    return folder
