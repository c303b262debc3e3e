"""What is exported against ``prior.denoise``: below, at, inside and at the top of
the trained noise levels, for every route to BART.
"""

import numpy as np
import pytest
import torch
from tfrun import TFGraph

from bart_plugin.exporters import export
from bart_plugin.graph import contract
from sigpy_priors.priors.gaussian import GaussianPrior
from sigpy_priors.priors.network import NetworkPrior

SHAPE = (18, 15)  # of which the network's stride divides neither
LOW, HIGH = 0.05, 2.0
INSIDE = (LOW, 0.3, HIGH)
BELOW = (LOW / 50, LOW / 3)


@pytest.fixture(scope="module")
def network(net_prior):
    return NetworkPrior(net_prior.model, sigma_range=(LOW, HIGH))


@pytest.fixture(scope="module")
def gaussian():
    k = np.hypot(*np.meshgrid(np.arange(18) - 9, np.arange(15) - 7, indexing="ij"))
    return GaussianPrior(np.full(SHAPE, 0.2j), spectrum=1 / (1 + k) ** 2)


@pytest.fixture(scope="module")
def from_onnx(network, tmp_path_factory):
    pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    from sigpy_priors import load_prior
    from sigpy_priors.onnx import export_onnx

    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    export_onnx(network, path)
    return load_prior(path)


@pytest.fixture(scope="module", params=["network", "gaussian", "from_onnx"])
def prior(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def noisy():
    """Images at all the levels, and the levels."""
    rng = np.random.default_rng(0)
    sigma = np.float32(BELOW + INSIDE)
    noise = rng.standard_normal((2, len(sigma), *SHAPE))
    x = 0.5 + sigma[:, None, None] * (noise[0] + 1j * noise[1]) / 2**0.5
    return x.astype(np.complex64), sigma


def assert_equal(found, expected):
    for one, wanted in zip(found, expected, strict=True):
        assert np.abs(one - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_below_the_range_is_what_no_clamped_level_gives(network, noisy):
    """The rule that the other tests find in the exports is not void."""
    x, sigma = noisy
    held = network.denoise(x[:1], float(sigma[0]))
    clamped = network.denoise(x[:1], LOW)
    assert np.abs(held - clamped).max() > 1e-3 * np.abs(clamped).max()


def test_pics(libtensorflow, prior, noisy, tmp_path):
    """The proximal step of a graph, u - G(u), at every level that it may hold."""
    x, sigma = (a[len(BELOW) :] for a in noisy)
    steps = []
    for u, level in zip(x, sigma, strict=True):
        made = export(prior, tmp_path / "g", SHAPE, sigma=float(level))
        graph = TFGraph(libtensorflow, made.graph.read_bytes())
        graph.run({}, target=contract.RESTORE)
        real = u.view(np.float32).reshape(1, *SHAPE, 2)
        feeds = {contract.IMAGE: real, contract.WEIGHT: np.float32([1, 0])}
        gradient = graph.run(feeds, contract.GRADIENTS[1])
        steps.append(u - gradient.view(np.complex64).reshape(SHAPE))
    assert_equal(steps, prior.denoise(x, sigma))


def test_levels_outside_are_no_graph_for_pics(network, tmp_path):
    for sigma in (BELOW[0], 1.01 * HIGH):
        with pytest.raises(ValueError, match="knows noise levels from"):
            export(network, tmp_path / "g", SHAPE, sigma=sigma)


def test_sample_tensorflow(libtensorflow, prior, noisy, tmp_path):
    x, sigma = noisy
    made = export(prior, tmp_path / "s", SHAPE, kind="sample")
    graph = TFGraph(libtensorflow, made.graph.read_bytes())
    for n in (1, len(x)):
        feeds = {
            contract.IMAGE: x[:n].view(np.float32).reshape(n, *SHAPE, 2),
            contract.SIGMA: np.stack([sigma, 0 * sigma], 1)[:n],
        }
        found = graph.run(feeds, contract.OUTPUT).view(np.complex64)[..., 0]
        assert_equal(found, prior.denoise(x[:n], sigma[:n]))


def _script(prior, path):
    """The exported denoiser, of numpy arrays."""
    made = export(prior, path, SHAPE, kind="sample")
    script = torch.jit.load(str(made.graph))

    def denoise(x, sigma):
        sigma = torch.from_numpy(sigma.astype(np.complex64))
        return script(torch.from_numpy(x), sigma).numpy()

    return denoise


@pytest.mark.filterwarnings("ignore:.*torch.jit.load:DeprecationWarning")
def test_sample_torchscript(prior, noisy, tmp_path):
    x, sigma = noisy
    assert_equal(_script(prior, tmp_path / "s.pt")(x, sigma), prior.denoise(x, sigma))


@pytest.mark.filterwarnings("ignore:.*torch.jit.load:DeprecationWarning")
def test_torchscript_of_a_network_takes_every_size(network, noisy, tmp_path):
    """Padding included."""
    x, sigma = noisy
    small = x[:2, :11, :8].copy()
    found = _script(network, tmp_path / "s.pt")(small, sigma[:2])
    assert_equal(found, network.denoise(small, sigma[:2]))
