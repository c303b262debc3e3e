"""SIGKILL at random moments: nothing is lost, and the end is that of a run in peace."""

import random
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

READ = " k.npy --maps m.npy --prior p.safetensors --noise-std 1 "
RECON = f"recon{READ}--max-iter 6 -o "
SAMPLE = f"sample{READ}--slices :2 -n 3 --steps 4 --chunk-size 1 -o {{}}"
TRAIN = "train c.yaml --data data --device cpu --out "
KILLS = 3


def _weights(path):
    return np.concatenate([v.ravel() for _, v in sorted(load_file(path).items())])


@pytest.mark.parametrize(
    "line, output, read, seed",
    [
        (RECON + "{}", "out.npy", np.load, 0),
        (RECON + "{}", "out.cfl", lambda p: np.fromfile(p, "c8"), 2),
        (SAMPLE, "out.npy", np.load, 3),
        (TRAIN + "{}", "out", lambda p: _weights(p / "t.safetensors"), 5),
    ],
)
def test_a_run_that_is_killed_again_and_again(
    zygote, study, names, line, output, read, seed
):
    whole = output.replace("out", "whole")
    begun = time.monotonic()
    assert zygote.run(line.format(whole), study)[0] == 0
    seconds = time.monotonic() - begun
    before = {p: p.read_bytes() for p in study.glob("*.*") if p.is_file()}

    rng, killed = random.Random(seed), 0
    for _ in range(KILLS):
        run = zygote.start(line.format(output), study)
        # Its end is a moment, too.
        time.sleep(rng.uniform(0.02, 1.1 if killed else 0.2) * seconds)
        status, said = run.kill()
        assert status in (-9, 0), said
        killed += status == -9
    status, said = zygote.run(line.format(output), study)
    assert status == 0, said
    assert killed
    np.testing.assert_array_equal(read(study / output), read(study / whole))
    for path, content in before.items():
        assert path.read_bytes() == content, f"{path.name} was modified"
    left = {p.name for p in study.iterdir()} - names
    left -= {f".{n}.made.json" for n in left}  # what an output was made with
    assert all(n.startswith(("out", "whole")) for n in left), sorted(left)
    assert not any(n.endswith(".part") for n in left)
