"""Learned image priors for SigPy and BART.

    >>> import sigpy_priors as spp
    >>> prior = spp.load_prior("brain")
    >>> img = spp.app.PriorRecon(y, mps, prior).run()

Names below are loaded when they are first used, so that importing this
package adds nothing heavy to importing SigPy.
"""

from importlib import import_module

# Short names of modules, and where they are.
_MODULES = {
    "alg": "alg",
    "app": "app",
    "calibration": "posterior.calibration",
    "gaussian": "priors.gaussian",
    "interop": "importers.interop",
    "io": "io",
    "linop": "linop",
    "maps": "scan.maps",
    "metrics": "show.metrics",
    "noise": "scan.noise",
    "plot": "show.plot",
    "priors": "priors",
    "prox": "prox",
    "samplers": "posterior.samplers",
    "scan": "scan",
    "statistics": "posterior.statistics",
    "testing": "testing",
    "volume": "volume",
}
_NAMES = {
    "Prior": "priors.base",
    "DenoiserPrior": "priors.base",
    "DensityPrior": "priors.base",
    "NetworkPrior": "priors.network",
    "NetworkDensity": "priors.density",
    "GaussianPrior": "priors.gaussian",
    "GaussianMixturePrior": "priors.gaussian",
    "EnergyPrior": "priors.energy",
    "Lifted": "priors.lifted",
    "Product": "priors.product",
    "PriorCard": "priors.card",
    "bundled": "priors.file",
    "save_prior": "priors.saving",
    "load_prior": "load",
    "read_card": "load",
    "export_onnx": "onnx.export",
    "import_onnx": "importers.foreign",
}

__version__ = "0.1.0"
__all__ = [*_MODULES, *_NAMES, "__version__"]


def __getattr__(name):
    if name in _MODULES:
        return import_module(f"{__name__}.{_MODULES[name]}")
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
