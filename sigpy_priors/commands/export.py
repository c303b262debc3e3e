"""``sigpy-priors export``: priors for other programs."""


def add_parser(commands, load):
    """Declare the subcommand; with ``load``, the formats it knows too."""
    p = commands.add_parser("export", help="export a prior, for BART or any runtime")
    if load:
        from bart_plugin.commands import add_parser as add_bart

        formats = p.add_subparsers(dest="format", required=True, metavar="FORMAT")
        add_bart(formats)
        _add_onnx(formats)


def _add_onnx(formats):
    p = formats.add_parser("onnx", help="an ONNX file, the card inside")
    p.add_argument("name", help="bundled prior or file")
    p.add_argument("path", help="file to write")
    smaller = p.add_mutually_exclusive_group()
    smaller.add_argument(
        "--half", action="store_true", help="half precision, if that loses < 0.1 dB"
    )
    smaller.add_argument(
        "--int8", action="store_true", help="8-bit convolutions, if that loses < 0.1 dB"
    )
    p.set_defaults(run=_run_onnx)


def _run_onnx(args):
    from sigpy_priors.onnx import export_onnx

    card = export_onnx(args.name, args.path, args.half, args.int8)
    print(f"wrote {args.path}\n{card.notes.splitlines()[-1]}")
