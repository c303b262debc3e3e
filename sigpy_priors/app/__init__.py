"""What users run: reconstruction and posterior sampling as SigPy apps."""

from sigpy_priors.app.joint import JointRecon
from sigpy_priors.app.recon import PriorRecon
from sigpy_priors.app.sampling import PosteriorSampling

__all__ = ["JointRecon", "PosteriorSampling", "PriorRecon"]
