"""Linear operators that priors need beyond SigPy's own."""

from sigpy_priors.linop.blocks import Hankel, Patches
from sigpy_priors.linop.channels import Coils, Copies
from sigpy_priors.linop.kspace_weights import Band, KspaceRamp, KspaceWeights
from sigpy_priors.linop.multicoil import HalvingSense, SenseNormal
from sigpy_priors.linop.sms import Sms
from sigpy_priors.linop.undecimated import UndecimatedWavelet

__all__ = [
    "Band",
    "Coils",
    "Copies",
    "HalvingSense",
    "Hankel",
    "KspaceRamp",
    "KspaceWeights",
    "Patches",
    "SenseNormal",
    "Sms",
    "UndecimatedWavelet",
]
