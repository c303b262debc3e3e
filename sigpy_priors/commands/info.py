"""``sigpy-priors list`` and ``sigpy-priors info``: which priors there are."""


def add_parser(commands):
    """Declare both subcommands."""
    p = commands.add_parser("list", help="list the bundled priors")
    p.set_defaults(run=run_list)
    p = commands.add_parser("info", help="show the card of a prior")
    p.add_argument("name", metavar="NAME", help="bundled name or file")
    p.set_defaults(run=run_info)


def run_list(args):
    """One line for each bundled prior."""
    from sigpy_priors.load import read_card
    from sigpy_priors.priors.file import bundled

    for name, path in bundled().items():
        card = read_card(path)
        if card.kind == "density":
            what = f"density of images with noise {card.sigma:g}"
        else:
            what = "denoiser, sigma {:g} to {:g}".format(*card.sigma_range)
        size = path.stat().st_size / 1e6
        print(f"{name}\t{size:.1f} MB\t{what}\t{card.license}")


def run_info(args):
    """The whole card, as YAML."""
    import yaml

    from sigpy_priors.load import read_card

    card = read_card(args.name).model_dump(mode="json")
    if card["architecture"] == "onnx":
        from sigpy_priors.onnx.engine.runtime import describe

        card = {"runtime": describe(), **card}
    print(yaml.safe_dump(card, sort_keys=False, allow_unicode=True).rstrip())
