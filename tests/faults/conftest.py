"""A small study that takes long enough to be killed in the middle."""

import json
import shutil

import numpy as np
import pytest
from zygote import Zygote

SLICES, SIZE = 8, 32


@pytest.fixture(scope="session")
def zygote():
    made = Zygote()
    yield made
    made.close()


@pytest.fixture
def study(tmp_path, tiny_prior_file):
    """A folder with k-space of 8 slices, maps, weights, a prior, images, a config."""
    folder = tmp_path / "study"
    folder.mkdir()
    rng = np.random.default_rng(0)

    def noise(*shape):
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(
            "c8"
        )

    scale = 1 + np.arange(SLICES)[:, None, None, None]
    np.save(folder / "k.npy", (scale * noise(SLICES, 2, SIZE, SIZE)).astype("c8"))
    np.save(folder / "m.npy", np.ones((SLICES, 2, SIZE, SIZE), "c8"))
    np.save(folder / "w.npy", np.ones((SIZE, SIZE), "f4"))
    shutil.copy(tiny_prior_file, folder / "p.safetensors")
    (folder / "data").mkdir()
    images = abs(noise(3, SIZE, SIZE)) + 1
    np.savez(folder / "data" / "a.npz", img=images)
    config = {
        "name": "t",
        "data": {"train": ["*.npz"], "crop": [16], "min_signal": 0.0},
        "model": {"options": {"channels": [4, 8], "blocks": [1, 1], "emb_channels": 8}},
        "optim": {"steps": 20, "batch_size": 2},
        "checkpoint_every": 2,
    }
    (folder / "c.yaml").write_text(json.dumps(config))
    return folder


@pytest.fixture
def names(study):
    """What lies in the study before anything is run."""
    return {p.name for p in study.iterdir()}


def one_line(status_and_said):
    """The error of a run, which is its last line and the only one."""
    status, said = status_and_said
    lines = said.replace("\r", "\n").splitlines()
    errors = [s for s in lines if s.startswith("sigpy-priors: error: ")]
    assert status == 2 and len(errors) == 1 and "Traceback" not in said, said
    return errors[0]
