"""``sigpy-priors export``: priors for other programs."""


def add_parser(commands, load):
    """Declare the subcommand; with ``load``, the formats it knows too."""
    p = commands.add_parser("export", help="export a prior, as a graph for BART")
    if load:
        from bart_plugin.cli_export import add_parser as add_bart

        add_bart(p.add_subparsers(dest="format", required=True, metavar="FORMAT"))
