"""Run something in a process of its own, with limits, and say how it ended.

Processes are forked from one that has imported what they need and computed nothing.
"""

import contextlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

MEMORY = 3 << 30  # beyond what the process holds already
SECONDS = 20
GOOD = ("error", "result")
BAD = ("traceback", "hang", "memory", "NaN", "crash")


def run(function, folder, seconds=SECONDS, memory=MEMORY):
    """Call a function.

    Args:
        function (callable): returns an array, or None.
        folder (Path): where it runs, and leaves its files.
        seconds (float): after which it hangs.
        memory (int): bytes that it may take.

    Returns:
        tuple: "error" (a ValueError of one line), "result", or one of ``BAD``; and the
        last line of what was said.
    """
    with tempfile.TemporaryFile("w+") as said:
        return _watch(function, folder, seconds, memory, said)


def _watch(function, folder, seconds, memory, said):
    pid = os.fork()
    if pid == 0:
        _child(function, folder, memory, said)
    end = time.monotonic() + seconds
    while not (done := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "hang", f"more than {seconds} s"
        time.sleep(0.002)
    said.seek(0)
    kind, _, text = said.read().rpartition("\n@@")[2].partition("\n")
    if os.WIFSIGNALED(done[1]):
        return "crash", f"signal {os.WTERMSIG(done[1])}"
    return (kind, text.strip()) if kind in GOOD + BAD else ("crash", kind)


def _child(function, folder, memory, said):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.setpgid(0, 0)
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    try:
        kind, text = _judge(function)
    except BaseException as e:
        kind, text = "traceback", repr(e)
    with contextlib.suppress(OSError):
        said.write(f"\n@@{kind}\n{text}")
        said.flush()
    os._exit(0)


def _judge(function):
    import numpy as np

    try:
        out = function()
    except MemoryError as e:
        return "memory", repr(e)
    except (ValueError, ImportError) as e:
        text = str(e)
        if type(e) is UnicodeDecodeError or "\n" in text.strip() or not text:
            return "traceback", f"{type(e).__name__}: {text!r}"
        return "error", text
    except BaseException as e:
        where = traceback.extract_tb(e.__traceback__)[-1]
        at = f"{Path(where.filename).name}:{where.lineno}"
        return (
            "traceback",
            f"{type(e).__name__} at {at}: {' '.join(str(e).split())[:200]}",
        )
    if out is not None and not np.isfinite(out).all():
        return "NaN", "an image with NaN"
    return "result", ""


def command(*argv):
    """The command line, in this process.

    Raises:
        ValueError: its one line, if it was one.
        RuntimeError: anything else that it said, such as a traceback.
    """
    import io

    from sigpy_priors.cli import main

    said = io.StringIO()
    sys.stderr = said
    status = main([str(a) for a in argv])
    lines = [s for s in said.getvalue().replace("\r", "\n").splitlines() if s.strip()]
    if status == 0:
        return
    text = said.getvalue()
    last = lines[-1] if lines else ""
    if status != 2 or "Traceback" in text or "sigpy-priors: error:" not in last:
        raise RuntimeError(f"status {status}: {last}")
    raise ValueError(last)
