"""Any ONNX file to BART: the same graph as from the network itself."""

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")

from bart_plugin.exporters import export  # noqa: E402
from sigpy_priors import load_prior  # noqa: E402
from sigpy_priors.onnx import export_onnx  # noqa: E402
from tfrun import TFGraph  # noqa: E402


@pytest.fixture(scope="module")
def from_onnx(net_prior, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    export_onnx(net_prior, path)
    return load_prior(path)


def test_pics(libtensorflow, net_prior, from_onnx, tmp_path, rng):
    x = rng.standard_normal((1, 18, 26, 2)).astype(np.float32)
    feeds = {"input_0": x, "grad_ys_0": np.array([1, 0], np.float32)}
    out = []
    for k, prior in enumerate((net_prior, from_onnx)):
        made = export(prior, tmp_path / str(k), (18, 26), sigma=0.1)
        out.append(TFGraph(libtensorflow, made.graph.read_bytes()).run(feeds, "grad_0"))
    assert np.abs(out[0] - out[1]).max() <= 1e-5 * np.abs(out[0]).max()


@pytest.mark.parametrize("batch", [1, 3])
def test_sample(libtensorflow, net_prior, from_onnx, tmp_path, rng, batch):
    x = rng.standard_normal((batch, 18, 26, 2)).astype(np.float32)
    sigma = np.array([[0.1 * (k + 1), 0] for k in range(batch)], np.float32)
    made = export(from_onnx, tmp_path / "s", (18, 26), kind="sample")
    graph = TFGraph(libtensorflow, made.graph.read_bytes())
    y = graph.run({"input_0": x, "input_1": sigma}, "output_0")
    wanted = net_prior.denoise(x[..., 0] + 1j * x[..., 1], sigma[:, 0])
    assert np.abs(y[..., 0] + 1j * y[..., 1] - wanted).max() <= 1e-5


def test_torchscript_takes_any_batch(net_prior, from_onnx, tmp_path, rng):
    import torch

    made = export(from_onnx, tmp_path / "s.pt", (18, 26), kind="sample")
    x = (rng.standard_normal((3, 18, 26)) + 0j).astype(np.complex64)
    sigma = np.array([0.1, 0.2, 0.3], np.complex64)
    script = torch.jit.load(str(made.graph))
    y = script(torch.from_numpy(x), torch.from_numpy(sigma)).numpy()
    assert np.abs(y - net_prior.denoise(x, sigma.real)).max() <= 1e-5
