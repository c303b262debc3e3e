"""``sigpy-priors recon``: k-space in a file to an image in a file."""

import functools
import time

from sigpy_priors.volume import run as volume

__all__ = ["add_parser"]

# Arguments of PriorRecon that are options of the command.
_OPTIONS = ("lamda", "solver", "max_iter", "transp_nufft")


def add_parser(commands):
    """Declare the subcommand and its options."""
    p = commands.add_parser(
        "recon",
        help="reconstruct k-space with a prior",
        description="Reconstruct k-space, slice by slice, with a learned prior. "
        "Noise level and image scale come from the data. A run that was "
        "interrupted continues when the same command is given again.",
    )
    volume.add_arguments(p)
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
    p.set_defaults(run=run)


def run(args):
    """Reconstruct every slice that is not finished, then write the output."""
    from sigpy_priors.io import slices as io

    start = time.monotonic()
    options = {name: getattr(args, name) for name in _OPTIONS}
    compute = functools.partial(_reconstruct, **options)
    with volume.process(args, compute, _OPTIONS) as (_, images, is_volume):
        image = images if is_volume else images[0]
        io.write_image(args.output, image)
    seconds = time.monotonic() - start
    print(f"{args.output}: {image.shape} {image.dtype}, {seconds:.1f} s")


def _reconstruct(prior, i, y, mps, **options):
    from sigpy_priors.app.recon import PriorRecon

    return PriorRecon(y, mps, prior, show_pbar=False, **options).run()
