"""A scheduler and its worker in one process, which a test kills."""

import sys
import threading
import time


def slow_slice(prior, i, y, mps, **options):
    """What a slice takes on a cluster that is about to die."""
    time.sleep(0.2)
    return y.sum(axis=0) * (i + 1)


if __name__ == "__main__":
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://",
        dashboard_address="127.0.0.1:0",
    ) as cluster:  # fmt: skip
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
        threading.Event().wait()
