"""PyTorch to ONNX: the numbers stay those of the original network."""

import numpy as np
import pytest
import torch
import torch_net
from safetensors.torch import save_file

from sigpy_priors.importers import ConversionError, convert

SHAPES = [(2, 20, 28), (1, 36, 24)]


@pytest.fixture(scope="module")
def net():
    return torch_net.build().eval()


def weights(net, tmp_path, kind):
    state = net.state_dict()
    path = tmp_path / f"weights.{kind}"
    if kind == "safetensors":
        save_file(state, path)
    else:
        # As of a training script, with DataParallel.
        state = {f"module.{k}": v for k, v in state.items()}
        torch.save({"epoch": 3, "state_dict": state}, path)
    return path, {"builder": "torch_net:build"}


def torchscript(net, tmp_path):
    path = tmp_path / "script.pt"
    torch.jit.script(net).save(path)
    return path, {}


def exported(net, tmp_path):
    n, h, w = (torch.export.Dim(s) for s in "nhw")
    program = torch.export.export(
        net, (torch.randn(2, 2, 32, 48), torch.rand(2)),
        dynamic_shapes=({0: n, 2: 2 * h, 3: 2 * w}, {0: n}),
    )  # fmt: skip
    torch.export.save(program, tmp_path / "net.pt2")
    return tmp_path / "net.pt2", {"trust": True}


ROUTES = {
    "safetensors": lambda net, tmp: weights(net, tmp, "safetensors"),
    "pt": lambda net, tmp: weights(net, tmp, "pt"),
    "TorchScript": torchscript,
    "torch.export": exported,
}


pytestmark = pytest.mark.usefixtures("served")


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("route", ROUTES)
def test_parity(route, net, tmp_path, builders):
    import onnxruntime as ort

    model, options = ROUTES[route](net, tmp_path)
    out = convert(model, tmp_path / "net.onnx", **options)
    session = ort.InferenceSession(out)
    for n, h, w in SHAPES:
        x, sigma = torch.randn(n, 2, h, w), torch.rand(n)
        names = [i.name for i in session.get_inputs()]
        [y] = session.run(None, dict(zip(names, (x.numpy(), sigma.numpy()))))
        with torch.no_grad():
            np.testing.assert_allclose(y, net(x, sigma).numpy(), atol=1e-5)
    meta = session.get_modelmeta().custom_metadata_map
    assert model.name in meta["sigpy_priors.source"]
    assert float(meta["sigpy_priors.parity"]) <= 1e-5


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "name what builds it with --builder"),
        ({"builder": "torch_net:not_a_network"}, "expected a torch.nn.Module, got int"),
        ({"builder": "no_such_module:build"}, "must be in the current folder"),
        (
            {"builder": "torch_net:build", "builder_options": {"width": 4}},
            "the weights do not fit",
        ),
        ({"builder": "torch_net:build", "spec": "x:N,2,?"}, "neither a number"),
    ],
)
def test_wrong_options(options, message, net, tmp_path, builders):
    model, _ = weights(net, tmp_path, "safetensors")
    with pytest.raises(ConversionError, match=message):
        convert(model, tmp_path / "net.onnx", **options)
    assert not (tmp_path / "net.onnx").exists()


def test_a_pickled_network_is_not_loaded(net, tmp_path, builders):
    torch.save(net, tmp_path / "net.pt")
    with pytest.raises(ConversionError, match="would run code from the file"):
        convert(tmp_path / "net.pt", tmp_path / "o.onnx", builder="torch_net:build")
