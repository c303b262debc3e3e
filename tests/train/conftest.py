"""A tiny data set and config: training runs that take a second."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import sigpy_priors
from sigpy_priors.train.config import load_config


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks gain nothing from threads, and bits depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """Folder with train.npz (6 slices 24x28) and val.npz (2 slices 40x36)."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)

    def slices(n, h, w):
        i, j = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
        disc = (i**2 + j**2 < 0.8).astype(np.float32)
        knots = rng.uniform(2, 6, (2, n, 1, 1))
        waves = np.cos(knots[0] * i + knots[1] * j)
        return (0.3 * waves + 0.7).astype(np.float32) * disc

    np.savez(root / "train.npz", img=slices(6, 24, 28))
    np.savez(root / "val.npz", img=slices(2, 40, 36))
    return root


@pytest.fixture
def config_file(tmp_path):
    """Function that writes a config, fields replaced as ``optim__steps=3``."""

    def write(**changes):
        base = {
            "name": "tiny",
            "data": {"train": ["train.npz"], "val": ["val.npz"], "crop": [16]},
            "model": {
                "options": {"channels": [10, 12], "blocks": [1, 1], "emb_channels": 8}
            },
            "optim": {"steps": 12, "batch_size": 4, "warmup": 2},
            "val_every": 6,
            "val_images": 2,
            "checkpoint_every": 5,
        }
        path = Path(tempfile.mkdtemp(dir=tmp_path)) / "tiny.yaml"
        path.write_text(yaml.safe_dump(base))
        config = load_config(path, **changes)
        path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
        return path

    return write


@pytest.fixture
def make_config(config_file):
    """Function that returns a tiny config, as ``config_file`` writes it."""
    return lambda **changes: load_config(config_file(**changes))


@pytest.fixture
def environment():
    """Environment for subprocesses that import this very package."""
    root = str(Path(sigpy_priors.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def losses():
    """Function that reads the loss curve of a run from its log."""

    def read(out):
        rows = [r.split(",") for r in (out / "log.csv").read_text().splitlines()[1:]]
        return {int(s): float(v) for name, s, v in rows if name == "loss"}

    return read
