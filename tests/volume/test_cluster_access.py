"""Who may use a cluster, and what is said of one that nobody works for."""

import urllib.error
import urllib.request

import pytest

from sigpy_priors.volume import cluster

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytest.importorskip("cryptography")

IMPATIENT = {"distributed.comm.timeouts.connect": "2s"}


def _double(state, i, x):
    return x * 2


def _state():
    return None


def _doubled(client, n=2):
    return dict(cluster.map_slices(_double, range(n), lambda i: (i,), _state, client))


def test_a_local_cluster_is_closed_to_others():
    """Neither without a certificate nor with one that is not of this run."""
    stranger = distributed.security.Security.temporary()
    with cluster.connect("local", workers=1) as client:
        assert _doubled(client) == {0: 0, 1: 2}
        [worker] = client.scheduler_info()["workers"].values()
        doors = [client.scheduler.address, worker["nanny"], *client.nthreads()]
        assert all(d.startswith("tls://127.0.0.1:") for d in doors)
        with dask.config.set(IMPATIENT):
            for door in doors:
                for address, security in (
                    (door.replace("tls", "tcp"), None),
                    (door, stranger),
                ):
                    with pytest.raises((OSError, TypeError, RuntimeError)):
                        distributed.Client(address, timeout=2, security=security)
        pages = [
            s["dashboard"]
            for s in (client.scheduler_info()["services"], worker["services"])
            if "dashboard" in s
        ]
        for port in pages:
            for page in ("status", "info/main/workers.html", "metrics", "json/counts"):
                with pytest.raises(urllib.error.URLError, match="404|refused"):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5)
        assert pages


@pytest.fixture
def open_cluster():
    """A scheduler without TLS, and without workers."""
    with distributed.LocalCluster(
        n_workers=0, threads_per_worker=1, processes=False, protocol="tcp://",
        dashboard_address="127.0.0.1:0",
    ) as made:  # fmt: skip
        yield made


def test_an_open_scheduler_is_warned_of(open_cluster):
    address = open_cluster.scheduler_address
    with (
        pytest.warns(UserWarning, match=rf"{address}: without TLS .* --tls-ca-file"),
        cluster.connect(address) as client,
    ):
        open_cluster.scale(1)
        assert _doubled(client) == {0: 0, 1: 2}


def test_a_scheduler_with_certificates_is_used_as_documented(tmp_path):
    """Files named in Dask's configuration, and nothing is warned of."""
    made = distributed.security.Security.temporary()
    files = {"ca-file": made.tls_ca_file}
    for role in ("client", "worker", "scheduler"):
        files[f"{role}.cert"] = getattr(made, f"tls_{role}_cert")
        files[f"{role}.key"] = getattr(made, f"tls_{role}_key")
    config = {}
    for key, text in files.items():
        (tmp_path / key).write_text(text)
        config[f"distributed.comm.tls.{key}"] = str(tmp_path / key)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, protocol="tls://",
            security=made, dashboard_address="127.0.0.1:0",
        ) as remote,
        dask.config.set(config),
        cluster.connect(remote.scheduler_address) as client,
    ):  # fmt: skip
        assert _doubled(client) == {0: 0, 1: 2}


def test_no_workers_are_told_and_not_waited_for_without_end(open_cluster, monkeypatch):
    monkeypatch.setattr(cluster, "_QUIET", 0.2)
    monkeypatch.setattr(cluster, "_POLL", 0.2)
    with distributed.Client(open_cluster) as client:
        with (
            dask.config.set({"distributed.scheduler.no-workers-timeout": "1s"}),
            pytest.warns(UserWarning, match="has no workers yet, waiting 1 s"),
            pytest.raises(TimeoutError, match="no worker for 1 s; start some with"),
        ):
            _doubled(client)
        open_cluster.scale(1)
        assert _doubled(client) == {0: 0, 1: 2}
