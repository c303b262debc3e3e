"""``sigpy-priors demo``: the bundled example, reconstructed in three ways."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigpy_priors.data import DEFAULT_PRIOR

if TYPE_CHECKING:
    import numpy as np

    from sigpy_priors.priors.base import Prior

__all__ = ["add_parser", "run_demo"]

# The best PSNR of 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2 and 3e-2 on this very image:
# the comparison is with a wavelet reconstruction that was tuned on the truth.
WAVELET_LAMDA = {4: 5e-3, 8: 3e-3}


def add_parser(commands: Any) -> None:
    """Declare the subcommand and its options.

    Args:
        commands (argparse action): what ``add_subparsers`` returned.
    """
    p = commands.add_parser("demo", help="reconstruct the bundled example")
    p.add_argument("--out", default="demo", metavar="DIR", help="results [demo]")
    p.add_argument(
        "--prior",
        default=DEFAULT_PRIOR,
        metavar="NAME",
        help=f"bundled name or file [{DEFAULT_PRIOR}]",
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Reconstruct, compare, and say where the results are."""
    from sigpy_priors.load import load_prior

    run_demo(load_prior(args.prior), args.out)


def run_demo(
    prior: Prior, out: str | Path, accels: Sequence[int] = (4, 8)
) -> list[dict[str, Any]]:
    """Reconstruct, print a table, and write a picture and the arrays.

    Args:
        prior (Prior): the learned prior.
        out (str or Path): folder for ``demo.png`` and ``demo.npz``.
        accels (sequence of int): accelerations, with a known wavelet lamda.

    Returns:
        list of dict: the rows of the table.
    """
    import numpy as np

    from sigpy_priors.data.example import NOISE_STD, example
    from sigpy_priors.io.atomic import write_atomic, writing
    from sigpy_priors.io.output import check_writable
    from sigpy_priors.show.plot import compare

    out = Path(out)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    for name in ("demo.png", "demo.npz"):
        check_writable(out / name)
    image, mps = example()
    images, rows = {}, []
    print(
        f"brain slice {image.shape}, {len(mps)} coils, noise {NOISE_STD:g} of the "
        f"peak; L1-wavelet has its best lamda in hindsight"
    )
    print("R  method       PSNR/dB   SSIM  NRMSE  seconds  network evaluations")
    for accel in accels:
        for row, img in _reconstructions(prior, image, mps, accel):
            rows.append(row)
            images[f"{row['method']}, R = {accel}"] = img
            print(
                f"{accel}  {row['method']:<11}  {row['psnr']:7.2f}  "
                f"{row['ssim']:5.3f}  {row['nrmse']:5.3f}  {row['seconds']:7.1f}  "
                f"{row['evaluations']:7d}",
                flush=True,
            )
    compare(images, image, out / "demo.png")
    arrays = {
        title.replace(", R = ", "_R").replace("-", "_"): img
        for title, img in images.items()
    }
    arrays |= {"reference": image, "maps": mps}
    write_atomic(out / "demo.npz", lambda p: np.savez(p, **arrays))
    print(f"{out / 'demo.png'}, {out / 'demo.npz'}")
    return rows


def _reconstructions(
    prior: Prior, image: np.ndarray, mps: np.ndarray, accel: int
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Rows of the table, and images, of one acceleration."""
    from sigpy.mri.app import L1WaveletRecon
    from sigpy.mri.linop import Sense

    from sigpy_priors.app.recon import PriorRecon
    from sigpy_priors.data.example import undersample
    from sigpy_priors.show import metrics

    y = undersample(image, mps, accel)
    lamda = WAVELET_LAMDA[accel]
    methods: dict[str, Callable[[], Any]] = {
        "zero-filled": lambda: Sense(mps).H * y,
        "L1-wavelet": lambda: L1WaveletRecon(y, mps, lamda, show_pbar=False).run(),
        "prior": lambda: PriorRecon(y, mps, prior, show_pbar=False).run(),
    }
    for method, reconstruct in methods.items():
        before, start = prior.evaluations, time.perf_counter()
        img = reconstruct()
        seconds = time.perf_counter() - start
        row = dict(
            accel=accel,
            method=method,
            psnr=metrics.psnr(img, image),
            ssim=metrics.ssim(img, image),
            nrmse=metrics.nrmse(img, image),
            seconds=seconds,
            evaluations=prior.evaluations - before,
        )
        yield row, img
