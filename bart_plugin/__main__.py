"""``python -m bart_plugin``: find, try, build and install a BART."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from bart_plugin import toolbox

_EVAL = 'eval "$(python -m bart_plugin env)"'


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv (sequence of str or None): arguments; default the process's.

    Returns:
        int: exit status: 0, 1 if BART cannot do what is needed, 2 on errors.
    """
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except (toolbox.BartNotFound, toolbox.BuildError, ValueError) as e:
        print(f"bart_plugin: error: {e}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bart_plugin", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("doctor", help="say what the BART in use can do")
    p.add_argument("graphs", nargs="*", help="exported graphs to check as well")
    p.add_argument("--bart", help="a BART other than the one in use")
    p.set_defaults(run=_doctor)
    p = commands.add_parser("build", help="build a TensorFlow-enabled BART")
    p.add_argument("--version", default="1.0.00", choices=toolbox.VERSIONS)
    p.add_argument("--source", help="upstream tarball, instead of Debian's")
    p.set_defaults(run=_build)
    p = commands.add_parser(
        "env", help='what puts it into a shell: eval "$(python -m bart_plugin env)"'
    )
    p.set_defaults(run=_env)
    p = commands.add_parser(
        "install-pics", help="give stock BART 0.8.00 a pics with TensorFlow"
    )
    p.set_defaults(run=_install)
    p = commands.add_parser("uninstall-pics", help="take that pics away")
    p.set_defaults(run=_uninstall)
    return parser


def _doctor(args: argparse.Namespace) -> int:
    from bart_plugin.toolbox import doctor

    good = True
    for graph in args.graphs:
        finding = doctor.check_file(graph)
        good &= finding.works
        print(f"{'ok' if finding.works else 'BAD'}  {finding.what}: {finding.why}")
    program, version, findings = doctor.examine(args.bart)
    print(doctor.table(program, version, findings))
    works = {f.what for f in findings if f.works}
    if "pics -R TF:" not in works:
        print("To get TensorFlow graphs: python -m bart_plugin build")
        good = False
    return 0 if good else 1


def _build(args: argparse.Namespace) -> int:
    bart = toolbox.build(args.version, args.source, lambda m: print(m, flush=True))
    print(f"To use it in a shell:\n{_exports(bart)}\nor: {_EVAL}")
    return 0


def _env(args: argparse.Namespace) -> int:
    print(_exports(toolbox.find()))
    return 0


def _exports(bart: Path) -> str:
    """Lines for a shell, after which ``bart`` is this one and says nothing else's."""
    from bart_plugin.toolbox.runner import shell_settings

    lines = [f"export {k}={shlex.quote(v)}" for k, v in shell_settings(bart).items()]
    return "\n".join([*lines, f'export PATH={shlex.quote(str(bart.parent))}:"$PATH"'])


def _install(args: argparse.Namespace) -> int:
    program = toolbox.install_pics()
    print(f"installed {program}, which 'bart pics' of stock BART 0.8.00 runs")
    stock = shutil.which("bart")
    version = toolbox.version_of(stock) if stock else None
    if not version or not version.startswith("v0.8"):
        print(f"There is no BART 0.8.00 on the PATH (found: {stock}, {version}).")
    return 0


def _uninstall(args: argparse.Namespace) -> int:
    print("removed" if toolbox.uninstall_pics() else "there was nothing to remove")
    return 0


if __name__ == "__main__":
    sys.exit(main())
