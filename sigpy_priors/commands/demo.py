"""``sigpy-priors demo``: the bundled example."""


def add_parser(commands):
    """Declare the subcommand and its options."""
    p = commands.add_parser("demo", help="reconstruct the bundled example")
    p.add_argument("--out", default="demo", metavar="DIR", help="results [demo]")
    p.add_argument(
        "--prior", default="brain", metavar="NAME", help="bundled name or file [brain]"
    )
    p.set_defaults(run=run)


def run(args):
    """Reconstruct, compare, and say where the results are."""
    import sigpy_priors
    from sigpy_priors.demo import run_demo

    run_demo(sigpy_priors.load_prior(args.prior), args.out)
