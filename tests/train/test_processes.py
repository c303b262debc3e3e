"""Training runs as processes of their own: killed for real, and distributed."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sigpy_priors.load import read_card
from sigpy_priors.train.checkpoint import read_checkpoint
from sigpy_priors.train.config import load_config
from sigpy_priors.train.loop import train

STEPS = 80

# Imports take seconds, a run takes one: this process imports once, and forks a
# process for every line (config, data, out) that it reads. It answers with the
# process id, and with the exit status when that process has ended.
SERVER = """
import os, sys
import torch._dynamo, torch.utils.tensorboard  # imported by the loop otherwise
from sigpy_priors.train.config import load_config
from sigpy_priors.train.loop import train

for line in sys.stdin:
    config, data, out = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        try:
            train(load_config(config), data, out, device="cpu", show_pbar=False)
        except KeyboardInterrupt as e:
            os.write(2, str(e).encode())
            os._exit(130)
        os._exit(0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""

TORCHRUN = """
import sys
from sigpy_priors.train.config import load_config
from sigpy_priors.train.loop import train
config, data, out = sys.argv[1:]
train(load_config(config), data, out, device="cpu", show_pbar=False)
"""


class Server:
    """The process that forks training runs."""

    def __init__(self, environment, errors):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )

    def start(self, *args):
        self.process.stdin.write("\t".join(map(str, args)) + "\n")
        self.process.stdin.flush()
        return int(self._read())

    def status(self):
        return int(self._read())

    def _read(self):
        line = self.process.stdout.readline()
        assert line, "the server has ended"
        return line

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


@pytest.fixture
def server(environment, tmp_path):
    with (tmp_path / "stderr").open("w") as errors:
        server = Server(environment, errors)
        yield server
        server.close()


def _wait_for_step(out, step):
    """Until the log of the running process shows a step."""
    log = out / "log.csv"
    end = time.monotonic() + 60
    while not (log.exists() and f"loss,{step}," in log.read_text()):
        assert time.monotonic() < end, f"no step {step}"
        time.sleep(0.002)


def test_killed_at_random_moments_and_continued_bit_for_bit(
    config_file, tiny_data, server, tmp_path, losses
):
    config = config_file(
        optim__steps=STEPS, checkpoint_every=2, val_every=30, optim__lr_rest=0.01
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    server.start(config, tiny_data, whole)
    assert server.status() == 0, (tmp_path / "stderr").read_text()

    rng = random.Random(time.time_ns())
    # Apart, since the log of a killed run may be a few steps ahead.
    stops = [4 + 16 * k + rng.randrange(8) for k in range(4)]
    kinds = [signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGKILL]
    for step, kind in zip(stops, kinds):
        pid = server.start(config, tiny_data, cut)
        _wait_for_step(cut, step)
        time.sleep(rng.uniform(0, 0.02))  # anywhere within a step or a write
        os.kill(pid, kind)
        assert server.status() == (130 if kind == signal.SIGINT else -kind), stops
        meta, _ = read_checkpoint(cut / "checkpoint.safetensors")
        assert step - 2 <= meta["step"] < STEPS, stops
    said = (tmp_path / "stderr").read_text()
    assert "the same command continues it from step" in said
    server.start(config, tiny_data, cut)
    assert server.status() == 0, (tmp_path / "stderr").read_text()

    a, b = (read_checkpoint(o / "checkpoint.safetensors")[1] for o in (whole, cut))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a), stops
    digests = {read_card(o / "tiny.safetensors").weights_sha256 for o in (whole, cut)}
    assert len(digests) == 1
    assert not list(cut.glob(".*")), "temporary files are left"

    assert losses(cut) == losses(whole)
    events = EventAccumulator(str(cut / "tensorboard"))
    events.Reload()
    shown = [e.step for e in events.Scalars("loss")]
    assert shown == list(range(1, STEPS + 1)), stops


def test_two_processes_give_the_loss_curve_of_one(
    config_file, tiny_data, tmp_path, environment, losses
):
    path = config_file(optim__lr_rest=0.01, val_every=12)
    script = tmp_path / "run.py"
    script.write_text(TORCHRUN)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *torchrun, script, path, tiny_data, tmp_path / "two"]
    with (tmp_path / "stderr").open("w") as errors:
        process = subprocess.Popen(command, env=environment, stderr=errors)
        for name, size in (("one", 4), ("halved", 2)):
            config = load_config(path, optim__batch_size=size)
            train(config, tiny_data, tmp_path / name, device="cpu", show_pbar=False)
        assert process.wait(timeout=120) == 0, (tmp_path / "stderr").read_text()

    one, two, half = (
        np.array(list(losses(tmp_path / name).values()))
        for name in ("one", "two", "halved")
    )
    assert len(one) == len(two) == 12
    np.testing.assert_allclose(two, one, rtol=1e-3)
    assert np.abs(half / one - 1).max() > 0.1  # another batch is another curve
    cards = [read_card(tmp_path / n / "tiny.safetensors") for n in ("one", "two")]
    assert cards[1].hardware.startswith("2 x CPU")
    tables = [c.validation["denoising PSNR in dB by sigma"] for c in cards]
    assert tables[0] == pytest.approx(tables[1], abs=0.02)
