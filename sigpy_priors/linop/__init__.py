"""Linear operators that priors need beyond SigPy's own."""

from sigpy_priors.linop.multicoil import HalvingSense, SenseNormal

__all__ = ["HalvingSense", "SenseNormal"]
