"""One BART command through its Python wrapper, and its errors as exceptions."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bart_plugin.toolbox.program import BartNotFound, find, version_of
from sigpy_priors.backend.extras import require

__all__ = ["BartError", "environment", "run"]

_LOCK = threading.Lock()


class BartError(RuntimeError):
    """BART failed; the message ends with BART's own words."""


_BUILD = (
    "this BART was built without TensorFlow: use the one of "
    "'python -m bart_plugin build'"
)
# What is behind BART's messages, which do not say it.
_CAUSES = {
    "TensorFlow support not available": _BUILD,
    "without TensorFlow support": _BUILD,
    "not compatible": "the graph was exported for another image size",
    "Unrecognized regularization": "this BART is too old for -R TF:",
    "unknown option": "this BART does not know an option of the command",
    "Unknown bart command": "this BART does not have the command",
    "could not be loaded": "the graph cannot be read: export it again",
    "graph failed": "the graph cannot be read: export it again",
}


def run(
    command: str,
    *arrays: np.ndarray,
    outputs: int = 1,
    bart: str | Path | None = None,
    **named: np.ndarray,
) -> Any:
    """Run one BART command through ``mrbart``.

    Args:
        command (str): command and options.
        *arrays (array): inputs in SigPy's order of axes.
        outputs (int): number of output arrays.
        bart (str, Path or None): the program, default that of
            :func:`bart_plugin.toolbox.find`.
        **named (array): inputs of options, by the option's letter or name.

    Returns:
        array or list of array: outputs in SigPy's order, complex64, leading
        axes of length one dropped.

    Raises:
        BartNotFound: if there is no BART.
        BartError: with BART's message and what to look at.
    """
    try:
        (mrbart,) = require("bart", extra="bart")
    except ImportError as e:
        raise BartNotFound(f"BART's Python files are missing: {e}") from None
    program = Path(bart) if bart else find()
    reversed_ = [np.asarray(a, np.complex64).T for a in arrays]
    named = {k: np.asarray(v, np.complex64).T for k, v in named.items()}
    said = io.StringIO()
    # mrbart takes the program from the environment and prints what it says.
    with _LOCK, environment(program), contextlib.redirect_stdout(said):
        out = mrbart.bart(outputs, command, *reversed_, **named)
        code, stderr = mrbart.bart.ERR, mrbart.bart.stderr
    if code:
        _fail(command, program, code, said.getvalue() + stderr)
    out = out if outputs != 1 else [out]
    out = [np.ascontiguousarray(a.T) for a in out or []]
    return out[0] if outputs == 1 else out


@contextlib.contextmanager
def environment(program: Path) -> Iterator[None]:
    """BART and its TensorFlow as they should run, while this lasts.

    Args:
        program (Path): the ``bart`` to run.
    """
    wanted = {
        "BART_TOOLBOX_PATH": str(program.parent),
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
    }
    if (os.cpu_count() or 1) <= 4:
        # OpenMP's threads spin while they wait, for TensorFlow's among others.
        wanted["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
    before = {k: os.environ.get(k) for k in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _fail(command: str, program: Path, code: int, said: str) -> None:
    noise = ("I0000", "W0000", "WARNING: All log", "Command exited")
    lines = [x for x in said.splitlines() if x.strip() and not x.startswith(noise)]
    said = "\n".join(dict.fromkeys(lines[-12:])) or "(BART said nothing)"
    causes = [c for words, c in _CAUSES.items() if words.lower() in said.lower()]
    if code < 0:
        causes.append(f"BART was killed by signal {-code}")
    why = f" Probably {'; '.join(dict.fromkeys(causes))}." if causes else ""
    version = version_of(program) or "of unknown version"
    raise BartError(
        f"bart {command.split()[0]} failed with status {code} (BART {version}, "
        f"{program}).{why}\nCommand: bart {command}\nBART said:\n{said}"
    )
