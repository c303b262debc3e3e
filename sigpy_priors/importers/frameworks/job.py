"""What every conversion script shares. Runs in the framework's own Python.

The scripts ``from_*.py`` beside this file are programs, not modules of the
package: started with the folder of one job, by an interpreter that need not
have sigpy-priors, they read ``job.json`` and leave there

- ``model.onnx``,
- ``check.npz``: random inputs and what the framework itself makes of them,
- ``result.json``: version and hints, or what went wrong.
"""

import json
import os
import re
import sys
import traceback
from importlib import import_module
from pathlib import Path

# This folder is on the path of a script; it must not hide anything.
sys.path[:] = [p for p in sys.path if Path(p or ".") != Path(__file__).parent]

# Letters of a spec: the first axis is the batch, others are sizes.
_TERM = re.compile(r"(?:(\d+)\*)?([A-Za-z_]\w*)|(\d+)")


class Refused(ValueError):
    """The model or an option does not fit; the message says what to do."""


def run(convert, *modules):
    """Do the job named on the command line and write its result.

    Args:
        convert (callable): takes the job, a dict with its folder under
            "folder", and returns a dict: "framework", maybe "hints".
        modules (str): what the framework's Python must have.
    """
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    job["folder"] = folder
    sys.path.append(os.getcwd())  # where a builder may be
    result = {}
    try:
        for name in modules:
            import_module(name)
    except ImportError as e:
        result["missing"] = f"{name} ({e})"
    else:
        try:
            result = convert(job)
        except Refused as e:
            result["refused"] = str(e)
        except Exception as e:
            traceback.print_exc()
            result["failed"] = f"{type(e).__name__}: {str(e).strip()[:1500]}"
    (folder / "result.json").write_text(json.dumps(result))


def build(job):
    """Call the builder "module:callable" with its options."""
    name, _, attribute = job["builder"].partition(":")
    if not attribute:
        raise Refused(f"builder {job['builder']!r}: expected module:callable.")
    try:
        builder = getattr(import_module(name), attribute)
    except (ImportError, AttributeError) as e:
        raise Refused(
            f"builder {job['builder']!r}: {e}. The module must be in the current "
            f"folder or installed for {sys.executable}."
        ) from e
    return builder(**(job["builder_options"] or {}))


def parse(text):
    """One input of a spec, "x:N,2,4*H,4*W" or "t:N:int64".

    Returns:
        tuple: name, axes (int, or text such as "4*H"), dtype.
    """
    name, axes, dtype = (*text.split(":"), "float32")[:3]
    axes = [a.strip() for a in axes.split(",")]
    for a in axes:
        if not _TERM.fullmatch(a):
            raise Refused(f"spec {text!r}: {a!r} is neither a number nor such as 4*H.")
    return name, [int(a) if a.isdigit() else a for a in axes], dtype


def multiples(inputs, factor):
    """The same inputs with sizes that are multiples of ``factor``."""
    return [
        (name, [
            f"{factor}*{a}" if i and isinstance(a, str) and "*" not in a else a
            for i, a in enumerate(axes)
        ], dtype)
        for name, axes, dtype in inputs
    ]  # fmt: skip


def _split(axis):
    """Factor and letter of "4*H"."""
    factor, _, symbol = axis.rpartition("*")
    return int(factor or 1), symbol


def sample(inputs, case=0):
    """Random arrays for inputs; free sizes are multiples of 32 and not square.

    Args:
        inputs (list of tuple): name, axes and dtype of each.
        case (int): 0 or 1: another size and batch.

    Returns:
        list of array: one for each input.
    """
    import numpy as np

    sizes, spatial = {}, 0
    for _, axes, _ in inputs:
        for i, axis in enumerate(axes):
            if isinstance(axis, int) or _split(axis)[1] in sizes:
                continue
            factor, symbol = _split(axis)
            if i == 0:
                sizes[symbol] = 2 - case
            else:
                sizes[symbol] = max(1, 32 * (1 + spatial % 2 + case) // factor)
                spatial += 1
    rng = np.random.default_rng(case)
    arrays = []
    for _, axes, dtype in inputs:
        shape = []
        for axis in axes:
            if isinstance(axis, str):
                factor, symbol = _split(axis)
                axis = factor * sizes[symbol]
            shape.append(axis)
        if "int" in dtype:
            array = rng.integers(0, 5, shape)
        elif len(shape) < 2:
            array = rng.uniform(0.1, 0.9, shape)
        else:
            array = rng.standard_normal(shape)
        arrays.append(array.astype(dtype))
    return arrays


def fixed(inputs):
    """Whether no size is free, so that there is one case only."""
    return not any(isinstance(a, str) for _, axes, _ in inputs for a in axes)


def check(job, inputs, model):
    """Store inputs and what the framework makes of them, for the comparison.

    Args:
        job (dict): the job.
        inputs (list of tuple): name, axes and dtype of each, as in the file.
        model (callable): takes arrays in that order, returns a list of arrays.
    """
    import numpy as np

    arrays = {}
    for case in range(1 if fixed(inputs) else 2):
        values = sample(inputs, case)
        for (name, _, _), value in zip(inputs, values):
            arrays[f"{case}/in/{name}"] = value
        for i, value in enumerate(model(*values)):
            arrays[f"{case}/out/{i}"] = np.asarray(value)
    np.savez(job["folder"] / "check.npz", **arrays)
