"""What a BART can do, found out by trying it on an image of a few pixels."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bart_plugin.graph import contract
from bart_plugin import toolbox
from bart_plugin.toolbox.runner import BartError, run
from bart_plugin.graph.protobuf import GraphError

__all__ = ["Finding", "examine", "table"]

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


def _prior():
    from sigpy_priors.priors.gaussian import GaussianPrior

    return GaussianPrior(np.zeros(_SHAPE), spectrum=np.ones(_SHAPE))


def examine(bart=None):
    """Try everything in ``contract.FEATURES``.

    Args:
        bart (str, Path or None): the program; default the one in use.

    Returns:
        tuple: program (Path), version (str) and list of :class:`Finding`.

    Raises:
        BartNotFound: if there is none.
    """
    program = Path(bart) if bart else toolbox.find()
    version = toolbox.version_of(program)
    if version is None:
        raise toolbox.BartNotFound(f"{program} does not run as BART.")
    from bart_plugin.exporters import export

    prior = _prior()
    rng = np.random.default_rng(0)
    y = rng.standard_normal((2, 1, *_SHAPE)) + 1j * rng.standard_normal((2, 1, *_SHAPE))
    mps = np.full((2, 1, *_SHAPE), 0.5**0.5)
    findings = []

    with tempfile.TemporaryDirectory() as work:
        for kind, name in (("pics", "g"), ("sample", "s"), ("sample", "s.pt")):
            sigma = 0.5 if kind == "pics" else None
            export(prior, f"{work}/{name}", _SHAPE, sigma=sigma, kind=kind)
        pics = f"pics -i 2 -s 1 -w 1 -R TF:{{{work}/g}}:1"
        dims = f"{_SHAPE[1]}:{_SHAPE[0]}"
        sample = f"sample --dims {dims} -N 2 -K 1 --external-graph {work}"
        trials = {
            "pics -R TF:": (pics, 1, (y, mps)),
            "nlinv -R TF:": (f"nlinv -i 4 -R TF:{{{work}/g}}:1", 1, (y,)),
            "sample .pb": (f"{sample}/s", 1, ()),
            "sample .pt": (f"{sample}/s.pt", 1, ()),
            "--fista_last": (pics.replace("pics", "pics --fista_last"), 1, (y, mps)),
        }
        for feature in contract.FEATURES:
            findings.append(_try(program, version, feature, *trials[feature.name]))
    return program, version, findings


def _try(program, version, feature, command, outputs, arrays):
    if contract.version(version) < contract.version(feature.since):
        return Finding(feature.name, False, f"since {feature.since}; {feature.rule}")
    try:
        x = run(command, *arrays, outputs=outputs, bart=program)
    except BartError as e:
        said = str(e).splitlines()
        needs = f"needs a build with {feature.needs}; " if feature.needs else ""
        return Finding(feature.name, False, f"{needs}BART said: {said[-1]}")
    if not np.isfinite(x).all() or not np.any(x):
        return Finding(feature.name, False, "runs, but the image is zero or NaN")
    return Finding(feature.name, True, feature.rule)


def table(program, version, findings):
    """The findings as text."""
    rows = [f"BART {version}  {program}"]
    for f in findings:
        rows.append(f"  {'yes' if f.works else 'no ':4}{f.what:14}{f.why}")
    return "\n".join(rows)


def check_file(path):
    """Say what is wrong with an exported graph.

    Args:
        path (str or Path): a ``.pb`` file.

    Returns:
        Finding: for the kinds of graph that it is.
    """
    path = Path(path)
    path = path if path.suffix == ".pb" else Path(f"{path}.pb")
    problem = None
    for kind in ("pics", "sample"):
        try:
            contract.check_graph(path, kind)
        except GraphError as e:
            problem = problem or str(e)
        else:
            kinds = "pics and nlinv" if kind == "pics" else kind
            shape = contract.read_graph(path)["input_0"][1]
            dims = contract.bart_dims(shape)
            return Finding(str(path), True, f"for {kinds}, BART image {dims}")
    return Finding(str(path), False, problem)
