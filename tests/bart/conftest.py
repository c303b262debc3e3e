"""Real BARTs for the tests, and small priors and data to feed them.

Where neither a build in the cache nor the means to make one exist, tests that
need a BART are skipped with one line; under CI they fail instead.
"""

import numpy as np
import pytest
import sigpy as sp
import sigpy.mri as mr
from ci import unavailable

from bart_plugin import cached as graph_cache
from bart_plugin import toolbox
from sigpy_priors.io.cache import cache


def pytest_collection_modifyitems(items):
    """The first test that needs a BART may have to build it."""
    for item in items:
        if {"bart", "bart100", "bart080"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(1500))


def _bart(version):
    try:
        return toolbox.build(version, progress=lambda line: print(line, flush=True))
    except toolbox.BuildError as e:
        unavailable(f"no BART {version}: {str(e).splitlines()[0]}")


@pytest.fixture(scope="session", autouse=True)
def graphs(tmp_path_factory):
    """A cache of graphs for the tests alone."""
    folder = tmp_path_factory.mktemp("graphs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_cache, "folder", lambda: folder)
        yield folder


@pytest.fixture(scope="session")
def bart100():
    """The program of BART 1.0.00, built where it is missing."""
    return _bart("1.0.00")


@pytest.fixture(scope="session")
def bart080():
    """The program of BART 0.8.00, built where it is missing."""
    return _bart("0.8.00")


@pytest.fixture(scope="session", params=["1.0.00", "0.8.00"])
def bart(request):
    """Each BART in turn."""
    return _bart(request.param)


@pytest.fixture(scope="session")
def libtensorflow(bart100):
    """TensorFlow's C library, which came with the build of BART."""
    return next(cache().glob("tensorflow-*/lib/libtensorflow.so"))


@pytest.fixture(scope="session")
def net_prior():
    """A small U-Net with random weights, built as the bundled one: stride 4."""
    import torch

    from sigpy_priors.models import build_model
    from sigpy_priors.priors.network import NetworkPrior

    spec = {
        "architecture": "unet",
        "options": {"channels": [8, 16], "blocks": [1, 1], "phase_width": 2},
        "precond": "edm",
        "precond_options": {},
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(spec)
        for p in model.parameters():
            p.data.normal_(0, 0.05)
    return NetworkPrior(model, sigma_range=(0.002, 10.0))


@pytest.fixture(scope="session")
def scan():
    """Undersampled 4-coil k-space: maps and y of a shape and a mask."""

    def make(shape, mask="poisson", seed=0):
        rng = np.random.default_rng(seed)
        mps = mr.birdcage_maps((4, *shape))
        mps = (mps / sp.rss(mps, axes=(0,))).astype(np.complex64)
        if mask == "poisson":
            sampled = rng.random(shape) < 0.5
        else:
            sampled = np.repeat(rng.random((shape[0], 1)) < 0.5, shape[1], axis=1)
        y = sp.fft(mps * sp.shepp_logan(shape), axes=(-1, -2)) * sampled
        return y.astype(np.complex64), mps

    return make
