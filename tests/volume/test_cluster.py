"""Slices on Dask workers: the same result, whatever happens to a worker."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import worker_log

from sigpy_priors import volume
from sigpy_priors.backend.errors import describe
from sigpy_priors.cli import main
from sigpy_priors.data.example import undersample
from sigpy_priors.volume import cluster
from sigpy_priors.volume.run import Job

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")


@pytest.fixture(scope="module")
def client():
    """Two worker processes of one thread, shared by the tests."""
    with cluster.connect("local", workers=2) as client:
        yield client


@pytest.fixture
def scan(tmp_path, brain_slice, monkeypatch):
    """Folder, entered, with k-space of 6 slices and their maps."""
    image, mps = brain_slice
    ksp = [undersample(image, mps, 2, seed=i) for i in range(3)]
    ksp = np.stack([ksp[i % 3] * (i + 1) for i in range(6)])
    np.save(tmp_path / "ksp.npy", ksp)
    np.save(tmp_path / "maps.npy", np.stack([mps] * 6))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def serial(command):
    """The command in a process of one thread, as a worker is: rounding is alike."""
    one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    subprocess.run(
        [sys.executable, "-m", "sigpy_priors", *command.split()],
        env={**os.environ, **one}, check=True,
    )  # fmt: skip


def test_without_a_cluster_slices_come_one_by_one():
    seen = []

    def load(i):
        seen.append(f"load {i}")
        return (10 * i,)

    def prepare():
        seen.append("prepare")
        return 1

    results = cluster.map_slices(lambda s, i, x: s + x, [2, 0], load, prepare)
    assert next(results) == (2, 21) and seen == ["prepare", "load 2"]
    assert list(results) == [(0, 1)] and seen[2:] == ["load 0"]
    assert list(cluster.map_slices(None, [], None, prepare)) == []
    assert seen.count("prepare") == 1, "prepared although nothing is left to do"


def test_waiting_takes_no_processor_time(client, monkeypatch):
    waits, wait = [], distributed.wait

    def counted(*args, **kwargs):
        waits.append(args)
        return wait(*args, **kwargs)

    monkeypatch.setattr(distributed, "wait", counted)
    results = cluster.map_slices(
        lambda state, i: time.sleep(0.3), range(6), lambda i: (), lambda: None, client
    )
    assert len(list(results)) == 6
    assert len(waits) <= 6 + 10  # one for each slice, and one for each second


def test_each_worker_prepares_once(client, tmp_path):
    prepared = str(tmp_path / "prepared")

    def prepare():
        worker_log.log(prepared, 0)
        time.sleep(0.2)
        return 100

    def function(state, i, x):
        time.sleep(0.05)
        return state + i + x.sum()

    numbers = list(range(12))
    found = dict(
        cluster.map_slices(
            function, numbers, lambda i: (np.full(3, i),), prepare, client
        )
    )
    assert found == {i: 100 + 4 * i for i in numbers}
    processes = worker_log.read(prepared)[1]
    assert len(processes) == len(set(processes)) == 2


def test_workers_keep_their_memory(client):
    """A worker that has died starts again as it was."""

    def settings():
        return {k: v for k, v in os.environ.items() if "MALLOC" in k}

    wanted = {k: str(v) for k, v in cluster.WORKER_ENVIRONMENT.items()}
    for found in client.run(settings).values():
        assert wanted.items() <= found.items()
    client.restart()
    for found in client.run(settings).values():
        assert wanted.items() <= found.items()


def test_a_killed_worker_costs_only_its_slice(client, tmp_path):
    """The worker of slice 5 dies while it computes it, after all that was done
    before has been given back."""
    calls = str(tmp_path / "calls")

    def function(state, i, x):
        first = 5 not in worker_log.read(calls)[0]
        worker_log.log(calls, i)
        time.sleep(0.1)
        if i == 5 and first:
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * x

    def load(i):
        return (np.full((2, 2), i),)

    found = dict(cluster.map_slices(function, range(10), load, lambda: None, client))
    for i in range(10):
        np.testing.assert_array_equal(found[i], np.full((2, 2), 2 * i))
    begun, pids = worker_log.read(calls)
    assert sorted(begun) == sorted([*range(10), 5]), "other slices were lost too"
    assert len({p for i, p in zip(begun, pids) if i == 5}) == 2


def test_a_slice_that_kills_every_worker_is_named(client):
    def function(state, i):
        os.kill(os.getpid(), signal.SIGKILL)

    client.run_on_scheduler(lambda dask_scheduler: _allow(dask_scheduler, 0))
    try:
        with pytest.raises(ChildProcessError, match="slice 3: 1 workers died"):
            list(cluster.map_slices(function, [3], lambda i: (), lambda: None, client))
    finally:
        client.run_on_scheduler(lambda dask_scheduler: _allow(dask_scheduler, 3))


def _allow(scheduler, failures):
    scheduler.allowed_failures = failures


def test_errors_of_slices_and_files_come_through(client):
    def function(state, i):
        raise ValueError(f"slice {i} is bad")

    def load(i):
        raise ValueError(f"cannot read {i}")

    with pytest.raises(ValueError, match="slice 4 is bad"):
        list(cluster.map_slices(function, [4], lambda i: (), lambda: None, client))
    with pytest.raises(ValueError, match="cannot read 4"):
        list(cluster.map_slices(function, [4], load, lambda: None, client))
    # The cluster is as good as before.
    again = cluster.map_slices(
        lambda state, i: i, [1], lambda i: (), lambda: None, client
    )
    assert list(again) == [(1, 1)]


def test_recon_and_sample_are_those_of_the_serial_run(
    client, scan, tiny_prior_file, capsys
):
    address = client.scheduler.address
    tls = client.security.get_tls_config_for_role("client")
    names = {"ca_file": "ca-file", "cert": "client.cert", "key": "client.key"}
    tls = {f"distributed.comm.tls.{new}": tls[old] for old, new in names.items()}
    for command in (
        f"recon ksp.npy --prior {tiny_prior_file} --slices :3",
        f"sample ksp.npy --maps maps.npy --prior {tiny_prior_file} --slices 2:3 "
        "-n 2 --steps 3 --seed 7 --noise-std 0.05",
    ):
        serial(f"{command} -o here.npy --restart")
        there = f"{command} -o there.npy --restart --scheduler {address}".split()
        assert (
            main(there) == 2 and "certificates are missing" in capsys.readouterr().err
        )
        with dask.config.set(tls):
            assert main(there) == 0
        err = capsys.readouterr().err
        assert client.dashboard_link in err and "slice/s" in err
        here, there = np.load("here.npy"), np.load("there.npy")
        assert np.abs(here).max() > 0.1
        np.testing.assert_array_equal(there, here)


def test_a_job_with_a_prior_of_its_own_on_a_client(client, small_volume, smooth_prior):
    """The prior travels with the slices, and the client stays connected."""
    y, mps = small_volume
    job = volume.recon(y, smooth_prior, mps, noise_std=0.01)
    here = dict(job.run(show_pbar=False))
    there = dict(job.run(scheduler=client, show_pbar=False))
    assert sorted(there) == [0, 1, 2]
    for i in range(3):
        np.testing.assert_allclose(there[i], here[i], atol=1e-5)
    assert client.status == "running"


def _runs_out(prior, i, y, mps, **options):
    raise RuntimeError("Exceptions from <Sense Linop>.") from MemoryError("24 GB")


def test_what_happened_on_a_worker_is_told(client, small_volume, smooth_prior):
    """Pickled errors lose their cause; which slice it was is told all the same."""
    y, mps = small_volume
    job = Job(y, _runs_out, smooth_prior, mps, slices=slice(1, 2))
    with pytest.raises(MemoryError, match="24 GB") as e:
        list(job.run(scheduler=client, show_pbar=False))
    assert describe(e.value) == "kspace, slice 1: out of memory (24 GB)"


def _children(process):
    """Worker processes below a run of the command."""
    return [
        p
        for p in psutil.Process(process.pid).children(recursive=True)
        if "spawn_main" in " ".join(p.cmdline())
    ]


def _wait(condition, seconds=280):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_killed_worker_and_killed_run(scan, tiny_prior_file):
    """SIGKILL of a worker in the middle: nothing is seen of it in the result.
    SIGKILL of the whole run: the serial command goes on where it was."""
    ksp = np.load("ksp.npy")
    np.save("ksp.npy", np.concatenate([ksp] * 3))
    np.save("maps.npy", np.concatenate([np.load("maps.npy")] * 3))
    line = f"recon ksp.npy --maps maps.npy --prior {tiny_prior_file} --max-iter 15 -o "

    def start():
        return subprocess.Popen(
            [sys.executable, "-m", "sigpy_priors", *f"{line}out.npy".split()]
            + ["--scheduler", "local", "--workers", "2"],
            stderr=subprocess.PIPE,
        )

    def finished():
        return {p.name for p in (scan / "out.npy.part").glob("0*.npy")}

    process = start()
    _wait(lambda: len(finished()) >= 2)
    kept = finished()
    times = {n: (scan / "out.npy.part" / n).stat().st_mtime_ns for n in kept}
    victim = _children(process)[0]
    victim.kill()
    _wait(lambda: len(finished()) >= len(kept) + 4)
    for name, when in times.items():
        assert (scan / "out.npy.part" / name).stat().st_mtime_ns == when
    workers = _children(process)
    assert victim.pid not in [p.pid for p in workers]
    assert len(finished()) < 18, "it was over before it was killed"
    process.kill()
    process.communicate()
    kept = finished()
    psutil.wait_procs(workers, timeout=30)
    assert not any(p.is_running() for p in workers), "workers outlive their run"

    serial(f"{line}out.npy")
    serial(f"{line}whole.npy")
    np.testing.assert_array_equal(np.load("out.npy"), np.load("whole.npy"))
    assert len(kept) >= 6


def test_what_cannot_be_connected(monkeypatch, scan, capsys):
    for arguments in (("local", 0), (None, 2), ("tcp://127.0.0.1:1", 2)):
        with pytest.raises(ValueError, match="workers: got"):
            with cluster.connect(*arguments):
                pass
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        line = "recon ksp.npy -o out.npy --scheduler tcp://127.0.0.1:1"
        with pytest.warns(UserWarning, match="without TLS"):
            assert main(line.split()) == 2
    assert "127.0.0.1:1" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"'\.\[cluster\]'"):
        with cluster.connect("local"):
            pass
