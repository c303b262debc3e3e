"""Slices on two local Dask workers beside the serial run, one thread each.

    python tests/benchmarks/cluster.py [--slices 16] [--rounds 3]

The bundled example at R = 4 as every slice of a volume; the rate is that of
slices after the first of each process, whose start is not counted. Serial and
parallel rounds alternate, so that what else runs on the machine meets both.
The third column is what the machine gives: the same serial run twice at once.
"""

import argparse
import functools
import os
import subprocess
import sys
import time

# Before numpy and torch start their threads, and for the processes below.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402

from sigpy_priors import load_prior  # noqa: E402
from sigpy_priors.data.example import example, undersample  # noqa: E402
from sigpy_priors.volume import cluster  # noqa: E402

WORKERS = 2


def reconstruct(prior, i, y, mps):
    """One slice, as a worker does it."""
    from sigpy_priors.app.recon import PriorRecon

    return PriorRecon(y, mps, prior, show_pbar=False).run()


def rate(count, data, client=None):
    """Slices per second, and the first image."""
    first = len(client.nthreads()) if client else 1
    prepare = functools.partial(load_prior, "brain")
    results = cluster.map_slices(
        reconstruct, range(count + first), lambda i: data, prepare, client
    )
    for _ in range(first):
        _, image = next(results)
    start = time.perf_counter()
    finished = len(list(results))
    return finished / (time.perf_counter() - start), image


def twice(count):
    """Rate of two serial runs at once, without Dask between them."""
    command = [sys.executable, __file__, "--slices", str(count), "--alone"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(WORKERS)]
    return sum(float(run.communicate()[0]) for run in runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    image, mps = example(num_coils=8)
    data = undersample(image, mps, 4, seed=0), mps
    if args.alone:
        print(rate(args.slices // WORKERS, data)[0])
        return
    found = []
    print("| round | serial / (slices/s) | Dask | two serial runs at once |")
    print("|---|---|---|---|")
    with cluster.connect("local", WORKERS) as client:
        for k in range(args.rounds):
            here, a = rate(args.slices // WORKERS, data)
            there, b = rate(args.slices, data, client)
            np.testing.assert_array_equal(a, b)
            found.append((here, there, twice(args.slices)))
            print(
                f"| {k + 1} | " + " | ".join(f"{v:.2f}" for v in found[-1]) + " |",
                flush=True,
            )
    here, there, bound = np.median(found, axis=0)
    print(
        f"\nDask, {WORKERS} workers: {there / here:.2f} of the serial rate; the "
        f"machine gives {bound / here:.2f}. Images are identical."
    )


if __name__ == "__main__":
    main()
