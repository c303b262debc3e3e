"""Many slices: one after the other or over a cluster, resumable."""

from sigpy_priors.volume.cluster import connect
from sigpy_priors.volume.run import Finished, Job
from sigpy_priors.volume.tasks import recon, sample

__all__ = ["Finished", "Job", "connect", "recon", "sample"]
