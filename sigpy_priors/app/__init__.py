"""What users run: reconstruction and posterior sampling as SigPy apps."""

from sigpy_priors.app.augmented import Augment
from sigpy_priors.app.joint import JointRecon
from sigpy_priors.app.recon import PriorRecon
from sigpy_priors.app.sampling import PosteriorSampling

__all__ = ["Augment", "JointRecon", "PosteriorSampling", "PriorRecon"]
