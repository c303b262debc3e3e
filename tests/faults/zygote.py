"""Runs of the command that may be killed: forked from a process that has imported all.

What torch and numpy take seconds to import is paid for once, and a child has the state
of a fresh process: nothing is computed in the one that it comes from.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path


class Run:
    """One run of the command."""

    def __init__(self, zygote, pid, said):
        self.zygote, self.pid, self._said = zygote, pid, said

    def kill(self):
        """SIGKILL, if it still runs."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self):
        """Exit status, minus the signal that ended it; and what was said."""
        status = self.zygote.ask(wait=self.pid)
        return status, self._said.read_text(errors="replace")

    def until(self, condition, seconds=60):
        """Look again and again; True when it is so, False when the time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.002)
        return False


class Zygote:
    """Starts runs."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self._count = 0

    def ask(self, **request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, line, folder, limit=None):
        """Start a command in a folder; no file of it may be longer than ``limit``."""
        self._count += 1
        said = Path(folder).parent / f"said-{os.getpid()}-{self._count}"
        argv = line.split() if isinstance(line, str) else line
        pid = self.ask(argv=argv, folder=str(folder), said=str(said), limit=limit)
        return Run(self, pid, said)

    def run(self, line, folder, limit=None):
        """Start a command and wait for it."""
        return self.start(line, folder, limit).wait()

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def _child(argv, folder, said, limit):
    from sigpy_priors.cli import main

    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(out, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    status = 3
    try:
        os.chdir(folder)
        status = main(argv)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _serve():
    import torch
    import torch._dynamo  # as optimisers do
    from torch.utils import tensorboard  # noqa: F401

    import sigpy_priors.app
    import sigpy_priors.cli
    import sigpy_priors.show.plot
    import sigpy_priors.train.loop
    import sigpy_priors.volume  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        else:
            answer = os.fork()
            if not answer:
                _child(**request)
        print(answer, flush=True)


if __name__ == "__main__":
    _serve()
