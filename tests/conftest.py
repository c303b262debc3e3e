"""Fixtures that every test may use."""

import importlib.util
import os
import signal
from pathlib import Path

# Before numpy and torch start their threads: tests are small, and those of two
# processes run side by side.
os.environ.setdefault(
    "OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
)

import numpy as np  # noqa: E402
import pytest  # noqa: E402

# Some tests press Ctrl-C, which is ignored by what a shell starts in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items):
    """Skip what needs a GPU where there is none."""
    if importlib.util.find_spec("cupy"):
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a GPU and cupy"))


@pytest.fixture
def rng():
    """A generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data that are not part of the project; skips without it."""
    folder = Path(os.environ.get("SIGPY_PRIORS_DATA", SHARED))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; SIGPY_PRIORS_DATA names their folder")
    return folder


@pytest.fixture(scope="session")
def brain():
    """The bundled prior; it is part of the project, so its absence is a failure."""
    from sigpy_priors import load_prior

    return load_prior("brain")


@pytest.fixture(scope="session")
def brain_slice():
    """The bundled example at a quarter of its size, with 4 coil maps.

    Returns:
        tuple: image (64, 64), maps (4, 64, 64), complex64.
    """
    import sigpy as sp

    from sigpy_priors.data.example import example

    image, mps = example(num_coils=4)
    mps = mps[:, 2::4, 2::4]
    return image[2::4, 2::4], mps / sp.rss(mps, axes=(0,))


@pytest.fixture(scope="session")
def tiny_prior_file(tmp_path_factory):
    """File of a small untrained network: a prior for tests of what surrounds it."""
    import torch

    from sigpy_priors.models import build_model
    from sigpy_priors.priors.card import PriorCard
    from sigpy_priors.priors.saving import save_prior

    options = {"channels": [4, 8], "blocks": [1, 1], "emb_channels": 8}
    card = PriorCard(
        name="tiny", architecture="unet", options=options, sigma_range=(0.01, 2)
    )
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("prior") / "tiny.safetensors"
    save_prior(path, build_model(card.model_dump()), card)
    return path


@pytest.fixture(scope="session")
def smooth_prior():
    """A stationary Gaussian prior of images 16 x 16."""
    from sigpy_priors.priors.gaussian import GaussianPrior

    v, u = np.mgrid[-8:8, -8:8]
    spectrum = 20 / (1 + u**2 + v**2) ** 1.5
    return GaussianPrior(np.zeros((16, 16), np.complex64), spectrum=spectrum)


@pytest.fixture(scope="session")
def small_volume(smooth_prior):
    """K-space (3, 4, 16, 16), every other line of it missing, and its maps."""
    import sigpy as sp
    from sigpy.mri import birdcage_maps
    from sigpy.mri.linop import Sense

    rng = np.random.default_rng(0)
    mps = birdcage_maps((4, 16, 16)).astype(np.complex64)
    mps /= sp.rss(mps, axes=(0,))
    mask = np.zeros((16, 1), np.float32)
    mask[[1, 3, 6, 7, 8, 9, 11, 14]] = 1
    images = smooth_prior.sample(3, 1).astype(np.complex64)
    noise = rng.normal(scale=0.01, size=(3, 4, 16, 16, 2)).view(complex)[..., 0]
    y = mask * (np.stack([Sense(mps) * x for x in images]) + noise)
    return y.astype(np.complex64), np.stack([mps] * 3)


@pytest.fixture(scope="session", params=[2, 1], ids=["complex", "magnitude"])
def density(request):
    """A small PixelCNN with random weights, not trained, as a prior."""
    import torch

    from sigpy_priors.models.pixelcnn import PixelCNN
    from sigpy_priors.priors.density import NetworkDensity

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = PixelCNN(request.param, (8, 12, 16), (1, 1, 2), 3)
        for p in model.parameters():
            p.data.normal_(0, 0.1)
    return NetworkDensity(model)
