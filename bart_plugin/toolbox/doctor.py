"""What a BART can do, found out by trying it on an image of a few pixels."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bart_plugin.exporters import export
from bart_plugin.graph import contract
from bart_plugin.graph.protobuf import GraphError
from bart_plugin.toolbox.program import BartNotFound, find, version_of
from bart_plugin.toolbox.runner import BartError, run
from sigpy_priors.priors.gaussian import GaussianPrior

__all__ = ["Finding", "check_file", "examine", "table"]

_SHAPE = (12, 8)


class Finding(NamedTuple):
    """One thing tried.

    Attributes:
        what (str): the feature.
        works (bool): whether it does.
        why (str): the answer of BART, or what to do.
    """

    what: str
    works: bool
    why: str


def examine(bart: str | Path | None = None) -> tuple[Path, str, list[Finding]]:
    """Try everything in ``contract.FEATURES``.

    Args:
        bart (str, Path or None): the program; default the one in use.

    Returns:
        tuple: program, version and findings.

    Raises:
        BartNotFound: if there is none.
    """
    program = Path(bart) if bart else find()
    version = version_of(program)
    if version is None:
        raise BartNotFound(f"{program} does not run as BART.")
    with tempfile.TemporaryDirectory() as work:
        trials = _trials(work)
        findings = [
            _try(program, version, feature, *trials[feature.name])
            for feature in contract.FEATURES
        ]
    return program, version, findings


def _trials(work: str) -> dict[str, tuple[str, tuple[np.ndarray, ...]]]:
    """A command and its inputs for each feature; graphs go into a folder."""
    prior = GaussianPrior(np.zeros(_SHAPE), spectrum=np.ones(_SHAPE))
    for kind, name in (("pics", "g"), ("sample", "s"), ("sample", "s.pt")):
        sigma = 0.5 if kind == "pics" else None
        export(prior, f"{work}/{name}", _SHAPE, sigma=sigma, kind=kind)
    rng = np.random.default_rng(0)
    y = rng.standard_normal((2, 1, *_SHAPE)) + 1j * rng.standard_normal((2, 1, *_SHAPE))
    mps = np.full((2, 1, *_SHAPE), 0.5**0.5)
    pics = f"pics -i 2 -s 1 -w 1 -R TF:{{{work}/g}}:1"
    dims = f"{_SHAPE[1]}:{_SHAPE[0]}"
    sample = f"sample --dims {dims} -N 2 -K 1 --external-graph {work}"
    return {
        "pics -R TF:": (pics, (y, mps)),
        "nlinv -R TF:": (f"nlinv -i 4 -R TF:{{{work}/g}}:1", (y,)),
        "sample .pb": (f"{sample}/s", ()),
        "sample .pt": (f"{sample}/s.pt", ()),
        "--fista_last": (pics.replace("pics", "pics --fista_last"), (y, mps)),
    }


def _try(
    program: Path,
    version: str,
    feature: contract.Feature,
    command: str,
    arrays: tuple[np.ndarray, ...],
) -> Finding:
    if contract.version(version) < contract.version(feature.since):
        return Finding(feature.name, False, f"since {feature.since}; {feature.rule}")
    try:
        x = run(command, *arrays, bart=program)
    except BartError as e:
        said = str(e).splitlines()
        needs = f"needs a build with {feature.needs}; " if feature.needs else ""
        return Finding(feature.name, False, f"{needs}BART said: {said[-1]}")
    if not np.isfinite(x).all() or not np.any(x):
        return Finding(feature.name, False, "runs, but the image is zero or NaN")
    return Finding(feature.name, True, feature.rule)


def table(program: Path, version: str, findings: list[Finding]) -> str:
    """The findings as text."""
    rows = [f"BART {version}  {program}"]
    for f in findings:
        rows.append(f"  {'yes' if f.works else 'no ':4}{f.what:14}{f.why}")
    return "\n".join(rows)


def check_file(path: str | Path) -> Finding:
    """Say what is wrong with an exported graph.

    Args:
        path (str or Path): a ``.pb`` file.

    Returns:
        Finding: for the kinds of graph that it is.
    """
    path = Path(path)
    path = path if path.suffix == ".pb" else Path(f"{path}.pb")
    problem = ""
    for kind in ("pics", "sample"):
        try:
            contract.check_graph(path, kind)
        except GraphError as e:
            problem = problem or str(e)
        else:
            kinds = "pics and nlinv" if kind == "pics" else kind
            dims = contract.bart_dims(contract.stated_shape(path))
            return Finding(str(path), True, f"for {kinds}, BART image {dims}")
    return Finding(str(path), False, problem)
