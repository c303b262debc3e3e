"""``sigpy-priors sample``: k-space in a file to posterior samples in files."""

from pathlib import Path

__all__ = ["add_parser"]


def add_parser(commands):
    """Declare the subcommand and its options."""
    p = commands.add_parser(
        "sample",
        help="draw images from the posterior, with their uncertainty",
        description="Draw samples from the posterior of k-space and a learned "
        "prior, slice by slice. Writes OUT (samples), OUT_mean, OUT_std and "
        "OUT.png. An interrupted run continues when the command is given again.",
    )
    p.add_argument(
        "kspace", metavar="KSPACE", help="k-space (coils, H, W) or a volume of it"
    )
    p.add_argument("-n", "--num-samples", type=int, default=16, metavar="N",
                   help="samples of each slice [16]")
    p.add_argument("-o", "--output", required=True, metavar="OUT", help=".npy or .cfl")
    p.add_argument("--maps", metavar="FILE", help="coil maps [estimated]")
    p.add_argument("--prior", default="brain", metavar="NAME",
                   help="bundled name or file [brain]")
    p.add_argument("--method", default="mmps", metavar="NAME", help="sampler [mmps]")
    p.add_argument("--steps", type=int, metavar="K",
                   help="noise levels [about 60 network evaluations]")
    p.add_argument("--noise-std", type=float, metavar="S",
                   help="standard deviation of the complex noise [estimated]")
    p.add_argument("--coord", metavar="FILE", help="non-Cartesian coordinates")
    p.add_argument("--slice", type=int, default=0, metavar="I",
                   help="the slice of a volume to sample [0]")
    p.add_argument("--level", type=float, default=0.9, metavar="P",
                   help="of the credible interval in the picture [0.9]")
    p.add_argument("--seed", type=int, default=0, metavar="S", help="[0]")
    p.add_argument("--chunk-size", type=int, metavar="N",
                   help="samples computed together [found]")
    p.add_argument("--device", type=int, default=-1, metavar="ID",
                   help="GPU number, or -1 [-1]")
    p.set_defaults(run=run)


def run(args):
    """Draw, write, and say what was found."""
    import sigpy as sp

    from sigpy_priors import io, maps, package, plot_posterior
    from sigpy_priors.sampling import PosteriorSampling

    io.check_output(args.output)
    if args.num_samples < 2:
        raise ValueError(
            f"-n {args.num_samples}: expected at least 2 samples for an uncertainty."
        )
    coord = None if args.coord is None else io.read_coord(args.coord)
    kspace = io.open_kspace(args.kspace, coord)
    if not 0 <= args.slice < len(kspace):
        raise ValueError(
            f"{args.kspace}: no slice {args.slice}, there are {len(kspace)}."
        )
    y = kspace[args.slice]
    device = sp.Device(args.device)
    if args.maps is None:
        mps = maps.estimate_maps(y, coord, device=device)
    else:
        mps = io.open_maps(args.maps, kspace)[args.slice]
    out = Path(args.output)
    checkpoint = out.with_name(f".{out.stem}.samples.npz")
    app = PosteriorSampling(
        y, mps, package.load_prior(args.prior), args.num_samples, coord=coord,
        noise_std=args.noise_std, method=args.method, steps=args.steps,
        seed=args.seed, chunk_size=args.chunk_size, checkpoint=checkpoint,
        device=device,
    )
    samples = sp.to_device(app.run(), sp.cpu_device)
    io.write_image(out, samples)
    for name, image in (("mean", app.mmse), ("std", app.std)):
        io.write_image(
            out.with_name(f"{out.stem}_{name}{out.suffix}"),
            sp.to_device(image, sp.cpu_device),
        )
    plot_posterior.posterior(samples, out.with_suffix(".png"), level=args.level)
    checkpoint.unlink(missing_ok=True)
    print(
        f"{out}: {len(samples)} samples; noise {app.noise_std:.3g}, scale "
        f"{app.scale:.3g}, mean std {float((app.std / app.scale).mean()):.1%} "
        f"of the scale; picture in {out.with_suffix('.png')}"
    )
    return 0
