"""A volume on a SLURM cluster
===========================

Each worker is a job, each job one slice at a time::

    pip install -c constraints.txt '.[cluster]'
    python examples/9_slurm.py --jobs 20 -- recon volume.h5 -o image.npy
    python examples/9_slurm.py --jobs 4 --gpu -- sample volume.h5 -o samples.npy --device 0

Run it where ``sbatch`` works and the workers can reach, such as a login node; it
lasts as long as the command does. Jobs that are killed or end at their time limit
cost the slice they were at. All of them speak TLS with certificates of this run, which
are in the folder ``--shared`` as long as it lasts. ``--show`` prints the job script and
submits nothing.

The same without this script, on any cluster of machines (what malloc is told
saves much of a slice's time, see ``sigpy_priors.volume.cluster``)::

    export TLS="--tls-ca-file ca.pem --tls-cert node.pem --tls-key node.key"
    dask scheduler --port 8786 $TLS                        # on one
    export MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=33554432
    export MALLOC_TRIM_THRESHOLD_=268435456 OMP_NUM_THREADS=4
    dask worker tls://HOST:8786 --nthreads 1 $TLS          # on each
    sigpy-priors recon volume.h5 -o image.npy --scheduler tls://HOST:8786

SECURITY.md says where the last line has its certificates from.
"""

import argparse
import signal
import sys

from sigpy_priors.backend.extras import require
from sigpy_priors.cli import main as sigpy_priors
from sigpy_priors.volume.cluster import WORKER_ENVIRONMENT


def make_cluster(args):
    """A scheduler here; its workers are SLURM jobs of one process each."""
    # dask_jobqueue makes Ctrl-C exit without a word; ours keeps what is done.
    handler = signal.getsignal(signal.SIGINT)
    try:
        jobqueue, security = require(
            "dask_jobqueue", "distributed.security", extra="cluster"
        )
    except ImportError as e:
        sys.exit(f"9_slurm.py: error: {e}")
    signal.signal(signal.SIGINT, handler)
    extra = ["--gres=gpu:1"] if args.gpu else []
    return jobqueue.SLURMCluster(
        cores=1,  # slices at a time in a job
        processes=1,
        job_cpu=args.cpus,
        memory=args.memory,
        walltime=args.time,
        queue=args.partition,
        job_extra_directives=extra + args.sbatch,
        job_script_prologue=[
            f"export OMP_NUM_THREADS={args.cpus} OPENBLAS_NUM_THREADS={args.cpus}",
            *(f"export {name}={value}" for name, value in WORKER_ENVIRONMENT.items()),
        ],
        interface=args.interface,
        # Without certificates whoever reaches the scheduler runs code in these jobs.
        security=security.Security.temporary(),
        shared_temp_directory=args.shared,
        local_directory=args.scratch,
        python=sys.executable,
    )


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=4, help="workers [4]")
    parser.add_argument("--cpus", type=int, default=1, help="cores of a job [1]")
    parser.add_argument("--memory", default="8GB", help="of a job [8GB]")
    parser.add_argument("--time", default="04:00:00", help="limit of a job [04:00:00]")
    parser.add_argument("--partition", help="[the cluster's default]")
    parser.add_argument("--gpu", action="store_true", help="one GPU for each job")
    parser.add_argument("--interface", help="network of workers, such as ib0")
    parser.add_argument("--scratch", default="/tmp", help="workers' files [/tmp]")
    parser.add_argument(
        "--shared",
        default="~",
        help="folder that all nodes see, for the certificates of this run [~]",
    )
    parser.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="OPTION",
        help="one more line of #SBATCH, such as --sbatch=--account=lab",
    )
    parser.add_argument("--show", action="store_true", help="print the job script")
    parser.add_argument("command", nargs="*", help="-- recon or sample, its options")
    args = parser.parse_args(argv)
    with make_cluster(args) as cluster:
        if args.show:
            print(cluster.job_script())
            return 0
        cluster.scale(jobs=args.jobs)
        address = cluster.scheduler_address
        tls = cluster.security.get_tls_config_for_role("client")
        names = {"ca-file": "ca_file", "client.cert": "cert", "client.key": "key"}
        import dask.config

        with dask.config.set(
            {f"distributed.comm.tls.{n}": tls[names[n]] for n in names}
        ):
            return sigpy_priors([*args.command, "--scheduler", address])


if __name__ == "__main__":
    sys.exit(main())
