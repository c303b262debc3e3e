"""``sigpy-priors export bart NAME PATH``: a prior as a graph for BART."""

from bart_plugin.graph.contract import ALGORITHMS, KINDS

__all__ = ["add_parser"]


def _numbers(kind):
    def parse(text):
        return tuple(kind(n) for n in text.split(","))

    parse.__name__ = f"{kind.__name__}s"
    return parse


def add_parser(subparsers):
    """Add the format "bart" to an argparse group; its handler is ``args.run``."""
    p = subparsers.add_parser("bart", help="a graph for bart pics, nlinv or sample")
    p.add_argument("name", help="bundled prior or file")
    p.add_argument("path", help="graph to write; with .pt TorchScript, for sample")
    p.add_argument(
        "--shape", type=_numbers(int), required=True, metavar="H,W",
        help="image as SigPy has it; BART's dimensions are W,H",
    )  # fmt: skip
    p.add_argument(
        "--sigma", type=_numbers(float), metavar="S[,S...]",
        help="noise level at the prior's image scale, or one per iteration; "
        "default: annealing",
    )  # fmt: skip
    p.add_argument(
        "--denoiser-strength", type=float, metavar="E",
        help="factor of each denoising step, in (0, 1]",
    )  # fmt: skip
    p.add_argument("--kind", choices=KINDS, default="pics")
    p.add_argument(
        "--algorithm", choices=ALGORITHMS, default="admm", help="of pics, default admm"
    )
    p.add_argument("--steps", type=int, help="iterations of the annealing")
    p.add_argument("--slices", type=int, default=1, help="slices, BART's dimension 13")
    p.add_argument("--maps", type=int, default=1, help="sets of ESPIRiT maps")
    p.add_argument(
        "--peak", type=float, help="greatest image magnitude at the prior's scale"
    )
    p.set_defaults(run=_run)


def _run(args):
    from bart_plugin.exporters import export

    made = export(
        args.name, args.path, args.shape, sigma=args.sigma, kind=args.kind,
        slices=args.slices, maps=args.maps, peak=args.peak,
        strength=args.denoiser_strength, steps=args.steps, algorithm=args.algorithm,
    )  # fmt: skip
    print(f"wrote {made.graph} and {made.card}\nuse it with\n  {made.command}")
    return 0
