"""``sigpy-priors import``: a network of yours as a prior."""

from pathlib import Path


def add_parser(commands, load):
    """Declare the subcommand; with ``load``, its options too."""
    p = commands.add_parser(
        "import",
        help="make a prior of a trained network",
        description="Make a prior of a denoiser, score or diffusion network. What is "
        "not told is found by letting the network denoise a bundled slice, and shown.",
    )
    if not load:
        return
    from sigpy_priors import importers
    from sigpy_priors.models.precond import OUTPUTS
    from sigpy_priors.models.schedules import SCHEDULES
    from sigpy_priors.onnx.adapter import CHANNELS, LAYOUTS, SIGMAS

    p.add_argument("model", metavar="MODEL", help="ONNX file, or what becomes one")
    p.add_argument("-o", "--out", required=True, metavar="OUT.onnx")
    p.add_argument("--name", help="of the prior [that of the file]")
    p.add_argument(
        "--inputs", metavar="X,SIGMA", help="names of image and noise input; X: blind"
    )
    p.add_argument(
        "--channels", choices=CHANNELS, metavar="C", help=" | ".join(CHANNELS)
    )
    p.add_argument("--layout", choices=LAYOUTS)
    p.add_argument(
        "--parametrization", metavar="P", help=f"x0, {', '.join(OUTPUTS)}, edm[:DATA]"
    )
    p.add_argument(
        "--schedule", metavar="S",
        help=f"how noise is stated: {', '.join(SCHEDULES)}, with :numbers, or a .json "
        "file with betas or sigmas",
    )  # fmt: skip
    p.add_argument("--sigma", choices=SIGMAS, help="whose deviation its sigma is")
    p.add_argument(
        "--scale", metavar="A[,B]", help="it sees A x + B of an image of magnitude 1"
    )
    p.add_argument("--sigma-range", metavar="LOW,HIGH", help="complex noise levels")
    importers.add_arguments(p)
    p.set_defaults(run=run)


def run(args):
    """Turn the model into ONNX where it is not, then probe it and write the prior."""
    import tempfile

    from sigpy_priors import importers
    from sigpy_priors.importers.foreign import import_onnx

    fields = ("inputs", "channels", "layout", "parametrization", "schedule", "sigma",
              "scale")  # fmt: skip
    told = {k: getattr(args, k) for k in fields}
    if args.sigma_range:
        told["sigma_range"] = tuple(float(v) for v in args.sigma_range.split(","))
    told["name"] = args.name or Path(args.model).stem
    with tempfile.TemporaryDirectory() as folder:
        source = Path(args.model)
        if source.suffix != ".onnx":
            source = Path(folder) / "model.onnx"
            options = importers.options(args)
            importers.convert(args.model, source, show=print, **options)
        import_onnx(source, args.out, **told)
    print(f"wrote {args.out}: sigpy-priors info {args.out}")
