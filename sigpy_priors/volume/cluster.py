"""Slices of a volume, one after the other or spread over Dask workers.

Only what a slice needs travels to its worker: the function, its settings and
the slice's own arrays. They are part of Dask's task and not of a worker's
memory, so that the slice of a worker that died is simply given to another one.

Whoever can speak to a scheduler has its workers run any code. The one of "local"
speaks TLS only, with a certificate that is made for the run and never written to a
file, so that it is closed to the other users of this machine; and it has no pages. One
elsewhere does so if it was started with certificates (``--tls-ca-file``,
``--tls-cert``, ``--tls-key``) and is addressed as ``tls://``; which certificates
belong to it is said in Dask's configuration: ``distributed.comm.tls.ca-file``,
``.client.cert`` and ``.client.key``, or as environment variables
``DASK_DISTRIBUTED__COMM__TLS__CA_FILE``, ``__CLIENT__CERT`` and ``__CLIENT__KEY``.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from sigpy_priors.backend.extras import require

if TYPE_CHECKING:
    import distributed

__all__ = ["Scheduler", "WORKER_ENVIRONMENT", "connect", "map_slices"]

Scheduler: TypeAlias = Union[str, "distributed.Client", None]
"""Where slices are computed: see :func:`connect`."""

_QUEUE = 2  # slices for each thread of the cluster: one at work, one waiting
_POLL = 1.0  # seconds after which new workers get their slices
_QUIET = 5.0  # seconds without workers after which it is said
_NO_WORKERS = 600.0  # and after which a run ends, if Dask's configuration has no time
_GONE = (
    "the scheduler has gone; finished slices of a run with an output are kept: give the "
    "same command again."
)
WORKER_ENVIRONMENT = {
    # Dask has its workers give freed memory back at once, and glibc lets threads
    # do so too: every image is then paid for in page faults. Measured: 585,000 of
    # them and 3.3 s for a slice instead of 9,000 and 1.8 s.
    "MALLOC_ARENA_MAX": 1,
    "MALLOC_MMAP_THRESHOLD_": 1 << 25,
    "MALLOC_TRIM_THRESHOLD_": 1 << 28,
}
"""dict: environment in which a worker starts that computes slices."""


@contextlib.contextmanager
def connect(
    scheduler: Scheduler, workers: int | None = None
) -> Iterator[distributed.Client | None]:
    """Connect to a Dask scheduler, or start one for the time of a ``with``.

    Args:
        scheduler (str, Client or None): None for none, "local" for one process
            of one thread for each core of this machine, the address of a
            running scheduler, such as "tls://node7:8786", or a Dask client,
            which is left connected.
        workers (int or None): processes of "local"; None for all cores.

    Yields:
        distributed.Client or None: for :func:`map_slices`.

    Raises:
        ValueError: if ``workers`` is out of range or given for a scheduler that
            has its own.
        ImportError: if Dask or cryptography is not installed.
        OSError: if no scheduler answers.

    Warns:
        UserWarning: if an address has no TLS.
    """
    if workers is not None and (scheduler != "local" or workers < 1):
        raise ValueError(
            f"workers: got {workers} for scheduler {scheduler!r}, expected at least "
            f"1, and only for the scheduler 'local'."
        )
    if scheduler is None or not isinstance(scheduler, str):
        yield scheduler
        return
    distributed, dask = require("distributed", "dask", extra="cluster")
    if scheduler != "local":
        _warn_if_open(scheduler)
        with _client(scheduler) as client:
            yield client
        return
    # Certificates are made with it; what is missing is said before anything starts.
    require("cryptography", extra="cluster")
    environment = "distributed.nanny.pre-spawn-environ"
    closed = {
        environment: dask.config.get(environment) | WORKER_ENVIRONMENT,
        # Pages that anybody on this machine could read.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    with dask.config.set(closed):
        cluster = distributed.LocalCluster(
            n_workers=workers or len(os.sched_getaffinity(0)),
            threads_per_worker=1,
            # As without Dask: a slice may take the memory that there is.
            memory_limit=0,
            protocol="tls://",
            security=distributed.security.Security.temporary(),
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
        )
    cluster.scheduler.http_server.stop()
    with cluster, distributed.Client(cluster) as client:
        yield client


@contextlib.contextmanager
def _client(address: str) -> Iterator[distributed.Client]:
    [distributed] = require("distributed", extra="cluster")
    try:
        client = distributed.Client(address)
    except TypeError as e:  # Dask's, where it has no certificates
        if "ssl_context" not in str(e):
            raise
        raise ValueError(
            f"scheduler {address}: its certificates are missing in Dask's configuration; "
            f"set distributed.comm.tls.ca-file, .client.cert and .client.key "
            f"(SECURITY.md)."
        ) from e
    log = logging.getLogger("distributed.client")
    level = log.level
    try:
        yield client
    except ConnectionError:
        log.setLevel(logging.CRITICAL)  # it would tell the same, with a traceback
        raise
    finally:
        client.close()
        log.setLevel(level)


def _warn_if_open(address: str) -> None:
    if not address.startswith(("tls://", "wss://", "inproc://")):
        warnings.warn(
            f"scheduler {address}: without TLS whoever reaches it runs code as its "
            f"owner, and reads the data; start it and its workers with --tls-ca-file, "
            f"--tls-cert and --tls-key, and give tls:// (SECURITY.md).",
            stacklevel=4,
        )


def map_slices(
    function: Callable[..., Any],
    numbers: Sequence[Any],
    load: Callable[[Any], tuple],
    prepare: Callable[[], Any],
    client: distributed.Client | None = None,
) -> Generator[tuple[Any, Any], None, None]:
    """Call a function on slices, here or on the workers of a cluster.

    A worker that dies costs the slices that it was computing; they are
    computed again elsewhere.

    Args:
        function (callable): ``function(state, i, *load(i))``; picklable where
            there is a client.
        numbers (sequence of int or tuple): the slices, or groups of them.
        load (callable): the arrays of slice i, read in this process when its
            turn comes.
        prepare (callable): makes ``state``, such as a loaded prior; called
            once in each process that computes, so picklable too.
        client (distributed.Client or None): None computes here.

    Yields:
        tuple: number and result, in the order in which slices are finished.

    Raises:
        ChildProcessError: if several workers died of the same slice.
        ConnectionError: if the scheduler is gone.
        Exception: what ``function`` and ``load`` raise, from the first slice
            that fails.
    """
    if client is not None:
        yield from _map_on_cluster(function, numbers, load, prepare, client)
    elif numbers:
        state = prepare()
        for i in numbers:
            yield i, function(state, i, *load(i))


def _map_on_cluster(
    function: Callable[..., Any],
    numbers: Iterable[Any],
    load: Callable[[Any], tuple],
    prepare: Callable[[], Any],
    client: Any,
) -> Generator[tuple[Any, Any], None, None]:
    distributed, dask = require("distributed", "dask", extra="cluster")
    numbers = iter(numbers)
    # A scheduler may serve several runs: names of tasks must not meet there.
    run = f"slice-{uuid.uuid4().hex}"
    at_work = {}
    patience = _Patience(client)
    try:
        while True:
            room = max(_QUEUE * patience.threads(), _QUEUE) - len(at_work)
            for i in itertools.islice(numbers, max(room, 0)):
                # Dask warns of arrays within tasks; here they are meant to be there.
                with dask.config.set(
                    {"distributed.admin.large-graph-warning-threshold": "1TB"}
                ):
                    task = client.submit(
                        _compute, run, prepare, function, i, *load(i), key=(run, i)
                    )
                at_work[task] = i
            if not at_work:
                return
            try:
                # A list: in a dict wait looks for tasks among the values only.
                distributed.wait(list(at_work), _POLL, return_when="FIRST_COMPLETED")
            except TimeoutError:
                pass
            except distributed.client.FuturesCancelledError as e:
                raise ConnectionError(_GONE) from e
            for task in [t for t in at_work if t.done()]:
                yield at_work[task], _result(task, at_work[task])
                del at_work[task]
    finally:
        # Nothing is left to compute for a run that failed or was interrupted.
        with contextlib.suppress(Exception):
            client.cancel(list(at_work))


class _Patience:
    """How long a scheduler without workers is waited for, and how it is told."""

    def __init__(self, client: Any) -> None:
        [dask] = require("dask", extra="cluster")
        limit = dask.config.get("distributed.scheduler.no-workers-timeout", None)
        self._client = client
        self._limit = dask.utils.parse_timedelta(limit) if limit else _NO_WORKERS
        self._since = time.monotonic()
        self._told = False

    def threads(self) -> int:
        """Threads of all workers now.

        Raises:
            ConnectionError: if the scheduler is gone.
            TimeoutError: if there has been no worker for too long.
        """
        try:
            threads = sum(self._client.nthreads().values())
        except (OSError, ValueError, TypeError) as e:  # Dask's, of a closed connection
            raise ConnectionError(_GONE) from e
        if threads:
            self._since = time.monotonic()
            return threads
        waited = time.monotonic() - self._since
        address = self._client.scheduler.address
        if waited > self._limit:
            raise TimeoutError(
                f"{address}: no worker for {waited:.0f} s; start some with `dask worker "
                f"{address}` and give the same command again, or wait longer with Dask's "
                f"setting distributed.scheduler.no-workers-timeout."
            )
        if waited > _QUIET and not self._told:
            warnings.warn(
                f"{address} has no workers yet, waiting {self._limit:.0f} s for `dask "
                f"worker {address}`.",
                stacklevel=2,
            )
            self._told = True
        return 0


def _result(task: distributed.Future, i: Any) -> Any:
    [distributed] = require("distributed", extra="cluster")
    i = ", ".join(map(str, i)) if isinstance(i, tuple) else i
    try:
        return task.result()
    except distributed.KilledWorker as e:
        raise ChildProcessError(
            f"slice {i}: {e.allowed_failures + 1} workers died while they computed "
            f"it; was their memory too small?"
        ) from e
    except distributed.client.FutureCancelledError as e:
        raise ConnectionError(f"slice {i} was given up by Dask ({e}): {_GONE}") from e


# The state of this process, if it is a worker, and the run that it belongs to.
_state = (None, None)
_lock = threading.Lock()


def _compute(
    run: str,
    prepare: Callable[[], Any],
    function: Callable[..., Any],
    i: Any,
    *arrays: Any,
) -> Any:
    """What a worker does: prepare once for each run, then one slice."""
    global _state
    with _lock:
        if _state[0] != run:
            _state = run, prepare()
        state = _state[1]
    return function(state, i, *arrays)
