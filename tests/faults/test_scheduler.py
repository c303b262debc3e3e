"""A scheduler that dies: one clear error, and what is finished is kept."""

import os
import subprocess
import sys
from pathlib import Path

import lost_cluster
import numpy as np
import pytest

from sigpy_priors.backend.errors import describe
from sigpy_priors.priors.gaussian import GaussianPrior
from sigpy_priors.volume import store
from sigpy_priors.volume.run import Job

dask = pytest.importorskip("dask")
pytest.importorskip("distributed")


def test_a_scheduler_that_dies(tmp_path, monkeypatch, caplog):
    process = subprocess.Popen(
        [sys.executable, lost_cluster.__file__],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        address = process.stdout.readline().strip()
        y = np.ones((6, 1, 8, 8), np.complex64)
        prior = GaussianPrior(np.zeros((8, 8)), spectrum=np.ones((8, 8)))
        job = Job(y, lost_cluster.slow_slice, prior, y)
        out = tmp_path / "out.npy"
        save, saved = store.SliceStore.save, []

        def counted(self, i, image):
            save(self, i, image)
            saved.append(i)
            if len(saved) == 2:
                process.kill()

        monkeypatch.setattr(store.SliceStore, "save", counted)
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
            pytest.warns(UserWarning, match="without TLS"),
            pytest.raises(ConnectionError, match="give the same command again") as e,
        ):
            job.write(out, scheduler=address, show_pbar=False)
        assert "\n" not in describe(e.value)
        assert not [
            r for r in caplog.records if r.exc_info and r.name.endswith("client")
        ]
        kept = sorted(p.name for p in Path(f"{out}.part").glob("0*.npy"))
        assert len(kept) >= 2 and not out.exists()
        del saved[:2]
        image = job.write(out, show_pbar=False)
        assert len(saved) == 6 - len(kept)
        np.testing.assert_array_equal(image[:, 0, 0], np.arange(1, 7))
    finally:
        process.kill()
        process.communicate()
