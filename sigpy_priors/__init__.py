"""Learned image priors for SigPy and BART.

    >>> import sigpy_priors as spp
    >>> prior = spp.load_prior("brain")
    >>> img = spp.app.PriorRecon(y, mps, prior).run()

Names below are loaded when they are first used, so that importing this
package adds nothing heavy to importing SigPy.
"""

from importlib import import_module

_MODULES = (
    "alg", "app", "calibration", "linop", "noise", "plot", "prox", "testing"
)  # fmt: skip
_NAMES = {
    "Prior": "prior",
    "DenoiserPrior": "prior",
    "DensityPrior": "prior",
    "NetworkPrior": "network",
    "GaussianPrior": "gaussian",
    "GaussianMixturePrior": "gaussian",
    "PriorCard": "card",
    "load_prior": "package",
    "save_prior": "package",
    "read_card": "package",
    "bundled": "package",
    "export_onnx": "onnx.export",
    "import_onnx": "importing",
}

__version__ = "0.1.0"
__all__ = [*_MODULES, *_NAMES, "__version__"]


def __getattr__(name):
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
