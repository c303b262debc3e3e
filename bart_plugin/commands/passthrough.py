"""``sigpy-priors pics``: ``bart pics`` with a prior, and nothing to tune.

The command line is that of ``bart pics``, files and all. Sizes, noise level and scale
are read from the files; the graph is exported once and kept; coupling, iterations and
``-R TF:`` are added unless they are given; then BART runs.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess  # noqa: S404 - the program that the user installed
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sigpy_priors.backend.validate import check_number
from sigpy_priors.data import DEFAULT_PRIOR

__all__ = ["add_parser"]

_USAGE = f"""usage: sigpy-priors pics [--prior NAME] [bart's options] KSPACE MAPS IMAGE

bart pics with a learned prior: noise levels, coupling and iterations follow from the
data, the graph is exported and kept.

  --prior NAME   bundled prior or file [{DEFAULT_PRIOR}]
  --lamda L      strength of the prior relative to the right one [1]
  --dry-run      print BART's command and do not run it

KSPACE, MAPS and IMAGE are BART's files, without ending. -m, -u, -C and -i replace what
would be chosen; -t gives a trajectory."""

_ALLOWED = {0: "read", 1: "phase", 3: "coils", 4: "sets of maps", 13: "slices"}


class _Asked(NamedTuple):
    prior: str
    lamda: float
    dry: bool
    options: list[str]
    files: list[str]


def add_parser(commands: Any) -> None:
    """Add the command "pics" to an argparse group; its handler is ``args.run``.

    Args:
        commands (argparse action): what ``add_subparsers`` returned.
    """
    # Options are BART's: argparse is to know none.
    p = commands.add_parser(
        "pics",
        help="bart pics with a prior: levels and coupling follow from the data",
        prefix_chars="\0",
        add_help=False,
    )
    p.add_argument("arguments", nargs="*")
    p.set_defaults(run=_run)


def _parsed(arguments: list[str]) -> _Asked:
    own = argparse.ArgumentParser(
        "sigpy-priors pics", usage=_USAGE[7:], add_help=False, allow_abbrev=False
    )
    own.add_argument("--prior", default=DEFAULT_PRIOR)
    own.add_argument("--lamda", default="1")
    own.add_argument("--dry-run", action="store_true")
    args, words = own.parse_known_args(arguments)
    options, files = words[:-3], words[-3:]
    if len(files) < 3 or any(f.startswith("-") for f in files):
        raise ValueError(
            f"pics: expected three files at the end, KSPACE MAPS IMAGE, got "
            f"{' '.join(files) or 'none'}.\n{_USAGE}"
        )
    if any(w.startswith("-R") for w in options):
        raise ValueError(
            "-R: the prior is the regularization here; for others use bart pics."
        )
    try:
        lamda = check_number("--lamda", float(args.lamda))
    except ValueError as e:
        raise ValueError(f"--lamda: expected a number >= 0, got {args.lamda!r}.") from e
    return _Asked(args.prior, lamda, args.dry_run, options, files)


def _given(options: list[str], letter: str) -> str | None:
    """The value of a short option, "" if it has none; None if it is not there."""
    for k, word in enumerate(options):
        if word == f"-{letter}":
            after = options[k + 1] if k + 1 < len(options) else ""
            return "" if letter == "m" else after
        if word.startswith(f"-{letter}") and not word.startswith("--"):
            return word[2:]
    return None


def _read(name: str, path: str) -> np.ndarray:
    """A BART file as (slices, sets of maps, coils, H, W)."""
    from sigpy_priors.io.cfl import read_cfl

    data = np.asarray(read_cfl(f"{path}.cfl"))
    dims = data.shape[::-1]
    if any(n > 1 and d not in _ALLOWED for d, n in enumerate(dims)):
        raise ValueError(
            f"{path}: expected {name} in BART's dimensions "
            f"{', '.join(f'{d} ({what})' for d, what in _ALLOWED.items())} alone, got "
            f"{dims}; reconstruct parts of it with bart slice."
        )
    return data.reshape([dims[d] for d in sorted(_ALLOWED, reverse=True)])


def _scan(asked: _Asked) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """K-space, maps (slices, sets of maps, coils, H, W), and coordinates."""
    from sigpy_priors.io.slices import open_kspace, read_coord

    kspace, maps, _ = asked.files
    mps = _read("maps", maps)
    trajectory = _given(asked.options, "t")
    if trajectory is None:
        return _read("k-space", kspace)[:, 0], mps, None
    coord = read_coord(f"{trajectory}.cfl")
    y = open_kspace(f"{kspace}.cfl", coord)
    if len(y) > 1 or len(mps) > 1:
        raise ValueError(
            f"-t: expected one slice, got {len(y)} of {kspace} and {len(mps)} of {maps}; "
            f"take one with `bart slice 13 INDEX`."
        )
    return y[0], mps, coord


def _command(asked: _Asked, prior: Any) -> list[str]:
    """BART's options that follow from the data, unless they are given."""
    from bart_plugin.algorithms import default_levels
    from bart_plugin.cached import cached_graph
    from bart_plugin.calls import checked_name
    from bart_plugin.exporters import GraphSpec
    from bart_plugin.fitting import density_lamda, fitted
    from sigpy_priors.priors.base import DenoiserPrior

    y, mps, coord = _scan(asked)
    method, peak = fitted(y, mps, prior, coord=coord)
    if isinstance(prior, DenoiserPrior):
        # Where lambda is the coupling, a step is the denoiser.
        weight = float(_given(asked.options, "u") or method.bart_lamda(1))
    else:
        weight = density_lamda(y, mps, prior, coord)
    levels = default_levels(prior, method, None, None)
    slices, sets, _, *size = mps.shape
    spec = GraphSpec(tuple(size), "pics", *levels, slices, sets, peak)
    graph = checked_name(cached_graph(prior, spec), "pics", spec.image_shape())
    added = re.findall(r"-\w(?: [^-]\S*)?", f"-S {method.options()}")
    kept = [o.split() for o in added if _given(asked.options, o[1]) is None]
    return [*sum(kept, []), "-R", f"TF:{{{graph}}}:{asked.lamda * weight:.9g}"]


def _check_sizes(program: Path, maps: str) -> None:
    """Refuse what comes out of an old BART with a phase that no prior knows."""
    from bart_plugin.graph import contract
    from bart_plugin.toolbox.program import version_of
    from sigpy_priors.io.cfl import read_cfl

    size = read_cfl(maps).shape[-2:]
    version = version_of(program) or ""
    if contract.version(version) < (1, 0, 0) and any(n % 2 for n in size):
        raise ValueError(
            f"{maps}: BART {version} puts a phase ramp on images of an odd size, got "
            f"{size}; use BART 1.0.00, or bart_plugin.pics, which puts it right."
        )


def _run(args: argparse.Namespace) -> int:
    if not args.arguments or {"-h", "--help"} & set(args.arguments):
        print(_USAGE)
        return 0
    from bart_plugin.calls import capable_program
    from bart_plugin.toolbox.runner import environment
    from sigpy_priors.io.output import refuse_inputs
    from sigpy_priors.load import load_prior

    asked = _parsed(args.arguments)
    kspace, maps, image = (f"{f}.cfl" for f in asked.files)
    refuse_inputs(image, {"kspace": kspace, "maps": maps})
    prior = load_prior(asked.prior, runtime="torch")
    added = _command(asked, prior)
    command = ["pics", *asked.options, *added, *asked.files]
    print(f"bart {shlex.join(command)}", file=sys.stderr)
    if asked.dry:
        return 0
    program = capable_program("pics -R TF:", None)
    _check_sizes(program, maps)
    done = subprocess.run([str(program), *command], env=environment(program))
    return done.returncode
