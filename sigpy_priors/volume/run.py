"""What ``recon`` and ``sample`` share: a volume's files, slice by slice.

Slices that are finished are kept on disk until the output is written, so that
a run goes on where it was interrupted, with or without a cluster.
"""

import argparse
import contextlib
import functools
import json
import sys
from pathlib import Path

__all__ = ["add_arguments", "process"]

# What decides the result of both, beside the options of each.
_NUMBERS = ("precision", "noise_std", "calib_width")
_FILES = ("kspace", "maps", "weights", "coord")


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


def add_arguments(p):
    """Declare the options that both commands have."""
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
    p.add_argument(
        "--precision",
        default="full",
        metavar="P",
        help="of the network: full, bfloat16, or on GPUs tf32 [full]",
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
        "--slices",
        "--slice",
        type=_slices,
        default=slice(None),
        metavar="A:B",
        help="only this slice or these slices of a volume [all]",
    )
    p.add_argument(
        "--restart", action="store_true", help="discard slices of an unfinished run"
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


def _settings(args, prior, names):
    """What decides the result: slices of runs that differ must not be mixed."""
    settings = {name: getattr(args, name) for name in (*names, *_NUMBERS)}
    for name in _FILES:
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


@contextlib.contextmanager
def process(args, compute, names):
    """Do the same with every slice that is not finished.

    Args:
        args (Namespace): of :func:`add_arguments` and the command itself.
        compute (callable): ``compute(prior, i, y, mps, **options)`` gives the
            array of slice i; options are noise_std, weights, coord, device
            and coil_batch_size. It is pickled for a cluster.
        names (sequence of str): options of the command that decide the result.

    Yields:
        tuple: the numbers of the slices; their arrays, stacked; and whether
        the file has a slice axis. What was kept of the run is removed after
        the ``with``, if nothing was raised.
    """
    import numpy as np
    from tqdm.auto import tqdm

    from sigpy_priors.volume import cluster
    from sigpy_priors.io import slices as io
    from sigpy_priors.volume.store import SliceStore

    io.check_output(args.output)
    if args.scheduler in (None, "local"):
        _device(args.device)
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
    # A bundled name stays one; workers may run in another folder.
    name = str(Path(args.prior).resolve()) if Path(args.prior).is_file() else args.prior
    prepare = functools.partial(_load, name, args.precision)
    store = SliceStore(args.output, _settings(args, prepare(), names), args.restart)
    missing = [i for i in chosen if i not in store]
    function = functools.partial(
        _slice,
        compute,
        args.kspace,
        args.calib_width,
        dict(
            noise_std=args.noise_std,
            weights=weights,
            coord=coord,
            device=args.device,
            coil_batch_size=args.coil_batch_size,
        ),
    )
    workers = args.workers
    if args.scheduler == "local" and args.device >= 0:
        workers = workers or 1  # they would share the GPU
    with cluster.connect(args.scheduler, workers) as client:
        if client is not None:
            print(f"Dask dashboard: {client.dashboard_link}", file=sys.stderr)
        results = cluster.map_slices(
            function,
            missing,
            lambda i: (kspace[i], maps[i] if maps else None),
            prepare,
            client,
        )
        done = len(chosen) - len(missing)
        bar = tqdm(results, total=len(chosen), initial=done, unit="slice")
        with bar, contextlib.closing(results):
            for i, result in bar:
                store.save(i, result)
    yield chosen, np.stack([store.load(i) for i in chosen]), kspace.volume
    store.remove()


def _load(name, precision):
    import sigpy_priors
    from sigpy_priors.priors.network import NetworkPrior

    prior = sigpy_priors.load_prior(name)
    if precision == "full":
        return prior
    if not isinstance(prior, NetworkPrior):
        raise ValueError(f"--precision {precision}: {prior!r} is no denoising network.")
    return prior.with_options(precision)


def _slice(compute, path, calib_width, options, prior, i, y, mps):
    """One slice, in this process or in a worker; errors name it."""
    import sigpy as sp

    from sigpy_priors.scan.maps import estimate_maps

    options = options | {"device": _device(options["device"])}
    try:
        if mps is None:
            mps = estimate_maps(
                y, options["coord"], calib_width, options["device"], options["weights"]
            )
        return sp.to_device(compute(prior, i, y, mps, **options), sp.cpu_device)
    except ValueError as e:
        raise ValueError(f"{path}, slice {i}: {e}") from e


def _device(number):
    import sigpy as sp

    try:
        return sp.Device(number)
    except Exception as e:  # SigPy raises what cupy raises, or a plain error
        raise ValueError(
            f"--device {number}: {e}; -1 is the CPU, GPUs need "
            f"pip install 'sigpy-priors[cuda]'."
        ) from e
