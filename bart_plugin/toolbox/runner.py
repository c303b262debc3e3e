"""One BART command with arrays, and its errors as exceptions."""

from __future__ import annotations

import os
import subprocess  # noqa: S404 - the program that the user installed
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bart_plugin.toolbox.program import find, version_of
from sigpy_priors.io.cfl import read_cfl, write_cfl

__all__ = ["BartError", "environment", "run", "shell_settings"]


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
    """Run one BART command: arrays go through files of a folder that is then removed.

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
    program = Path(bart) if bart else find()
    with tempfile.TemporaryDirectory() as work:
        words = command.split()
        for name, array in named.items():
            write_cfl(f"{work}/option_{name}.cfl", np.asarray(array))
            words += [f"-{name}" if len(name) == 1 else f"--{name}"]
            words += [f"{work}/option_{name}"]
        for k, array in enumerate(arrays):
            write_cfl(f"{work}/in{k}.cfl", np.asarray(array))
            words.append(f"{work}/in{k}")
        results = [f"{work}/out{k}" for k in range(outputs)]
        done = subprocess.run(
            [str(program), *words, *results],
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(program),
        )
        if done.returncode:
            _fail(command, program, done.returncode, done.stdout + done.stderr)
        out = [_read(name) for name in results]
    return out[0] if outputs == 1 else out


def _read(name: str) -> np.ndarray:
    """An output in memory, without BART's unused dimensions."""
    data = np.array(read_cfl(f"{name}.cfl"))
    used = [d for d, n in enumerate(data.shape) if n > 1]
    return data.reshape(data.shape[used[0] if used else -1 :])


def environment(program: Path) -> dict[str, str]:
    """Variables with which BART and its TensorFlow run as they should.

    Args:
        program (Path): the ``bart`` to run.

    Returns:
        dict: those of this process, and what they lack.
    """
    wanted = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if (os.cpu_count() or 1) <= 4:
        # OpenMP's threads spin while they wait, for TensorFlow's among others.
        wanted["OMP_NUM_THREADS"] = "1"
    return {**wanted, **os.environ, "BART_TOOLBOX_PATH": str(program.parent)}


def shell_settings(program: Path) -> dict[str, str]:
    """What a shell sets so that ``bart`` prints nothing but BART's own words.

    Args:
        program (Path): the ``bart`` of that shell.

    Returns:
        dict: of its variables; what the user has set stays as it is.
    """
    return {
        "BART_TOOLBOX_PATH": str(program.parent),
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
        # Its notice, printed when the library is loaded, heeds no log level; without
        # oneDNN a tenth slower (5.9 in place of 5.3 s, 256 x 256, one thread).
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "0"),
    }


def _fail(command: str, program: Path, code: int, said: str) -> None:
    noise = ("I0000", "W0000", "WARNING: All log")
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
