"""``sigpy-priors recon``: k-space in a file to an image in a file."""

import argparse
import json
import time
from pathlib import Path


def _slices(text):
    start, colon, stop = text.partition(":")
    try:
        if not colon:
            return slice(int(start), int(start) + 1)
        return slice(int(start or 0), int(stop) if stop else None)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected INDEX or START:STOP, got {text!r}"
        ) from None


def add_parser(commands):
    """Declare the subcommand and its options."""
    p = commands.add_parser(
        "recon",
        help="reconstruct k-space with a prior",
        description="Reconstruct k-space, slice by slice, with a learned prior. "
        "Noise level and image scale come from the data. A run that was "
        "interrupted continues when the same command is given again.",
    )
    p.add_argument(
        "kspace",
        metavar="KSPACE",
        help="k-space (coils, H, W) or (slices, coils, H, W), zeros where not "
        "sampled: .npy, BART .cfl, fastMRI .h5 or ISMRMRD .h5",
    )
    p.add_argument("-o", "--output", required=True, metavar="OUT", help=".npy or .cfl")
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
        "--prior", default="brain", metavar="NAME", help="bundled name or file [brain]"
    )
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
        "--device", type=int, default=-1, metavar="ID", help="GPU number, or -1 [-1]"
    )
    p.add_argument(
        "--coil-batch-size", type=int, metavar="N", help="coils at a time [all]"
    )
    p.add_argument(
        "--transp-nufft", action="store_true", help="adjoint NUFFT by transposition"
    )
    p.add_argument(
        "--slices",
        type=_slices,
        default=slice(None),
        metavar="A:B",
        help="only these slices of a volume [all]",
    )
    p.add_argument(
        "--restart", action="store_true", help="discard slices of an unfinished run"
    )
    p.set_defaults(run=run)


def _settings(args, prior, files):
    """What decides the result: slices of runs that differ must not be mixed."""
    settings = {
        name: getattr(args, name)
        for name in (
            "lamda",
            "solver",
            "max_iter",
            "noise_std",
            "calib_width",
            "transp_nufft",
        )
    }
    for name in files:
        file = getattr(args, name)
        if file is not None and file.endswith(".hdr"):
            file = file.removesuffix(".hdr") + ".cfl"  # the data of a BART pair
        stat = file and Path(file).stat()
        settings[name] = file and [
            str(Path(file).resolve()),
            stat.st_size,
            stat.st_mtime_ns,
        ]
    settings["prior"] = prior.card.weights_sha256 if prior.card else repr(prior)
    return json.loads(json.dumps(settings))


def run(args):
    """Reconstruct every slice that is not finished, then write the output."""
    import numpy as np
    import sigpy as sp
    from tqdm.auto import tqdm

    import sigpy_priors
    from sigpy_priors import io
    from sigpy_priors.app import PriorRecon
    from sigpy_priors.commands.resume import SliceStore
    from sigpy_priors.maps import estimate_maps

    io.check_output(args.output)
    device = _device(sp, args.device)
    coord = None if args.coord is None else io.read_coord(args.coord)
    kspace = io.open_kspace(args.kspace, coord)
    weights = None if args.weights is None else io.read_array(args.weights).real
    if weights is not None and weights.shape not in (
        kspace.shape[1:],
        kspace.shape[2:],
    ):
        raise ValueError(
            f"{args.weights}: got weights of shape {weights.shape}, expected that of "
            f"the samples of one coil, {kspace.shape[2:]}."
        )
    maps = None if args.maps is None else io.open_maps(args.maps, kspace)
    chosen = range(len(kspace))[args.slices]
    if not chosen:
        raise ValueError(
            f"{args.kspace}: no slice chosen by --slices, it has {len(kspace)}."
        )
    prior = sigpy_priors.load_prior(args.prior)
    settings = _settings(args, prior, ("kspace", "maps", "weights", "coord"))
    store = SliceStore(args.output, settings, args.restart)

    def reconstruct(i):
        y = kspace[i]
        try:
            mps = (
                maps[i]
                if maps
                else estimate_maps(y, coord, args.calib_width, device, weights)
            )
            return PriorRecon(
                y,
                mps,
                prior,
                lamda=args.lamda,
                weights=weights,
                coord=coord,
                noise_std=args.noise_std,
                solver=args.solver,
                max_iter=args.max_iter,
                device=device,
                coil_batch_size=args.coil_batch_size,
                transp_nufft=args.transp_nufft,
                show_pbar=False,
            ).run()
        except ValueError as e:
            raise ValueError(f"{args.kspace}, slice {i}: {e}") from e

    start = time.monotonic()
    missing = [i for i in chosen if i not in store]
    bar = dict(total=len(chosen), initial=len(chosen) - len(missing), unit="slice")
    for i in tqdm(missing, **bar):
        store.save(i, sp.to_device(reconstruct(i), sp.cpu_device))
    images = np.stack([store.load(i) for i in chosen])
    image = images if kspace.volume else images[0]
    io.write_image(args.output, image)
    store.remove()
    seconds = time.monotonic() - start
    print(f"{args.output}: {image.shape} {image.dtype}, {seconds:.1f} s")


def _device(sp, number):
    try:
        return sp.Device(number)
    except Exception as e:  # SigPy raises what cupy raises, or a plain error
        raise ValueError(
            f"--device {number}: {e}; -1 is the CPU, GPUs need "
            f"pip install 'sigpy-priors[cuda]'."
        ) from e
