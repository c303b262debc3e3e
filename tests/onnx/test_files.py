"""Files that are damaged, strange or restricted: the right result or a clear error."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnx_networks import As, Smooth, write, write_old

import sigpy_priors as spp
from sigpy_priors.importers.foreign import import_onnx
from sigpy_priors.onnx.load import read_onnx

TOLD = {
    "channels": "re,im", "layout": "NCHW", "parametrization": "denoiser",
    "schedule": "sigma", "sigma": "complex", "scale": 1.0,
}  # fmt: skip


def imported(tmp_path, module=None, told=TOLD, **options):
    path = write(tmp_path / "net.onnx", module or As(Smooth()), **options)
    import_onnx(path, tmp_path / "prior.onnx", show=None, **told)
    return spp.load_prior(tmp_path / "prior.onnx")


def test_fixed_batch_is_filled_up(tmp_path, smooth, rng):
    prior = imported(tmp_path, fixed="N", shape=(3, 2, 36, 44))
    x = (rng.standard_normal((4, 24, 30)) + 0j).astype(np.complex64)
    levels = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    wanted = np.stack([smooth(a, s) for a, s in zip(x, levels)])
    np.testing.assert_allclose(prior.denoise(x, levels), wanted, atol=1e-5)


def test_one_level_for_a_batch_is_asked_one_by_one(tmp_path, smooth, rng):
    class Scalar(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = As(Smooth())

        def forward(self, x, sigma):
            return self.net(x, sigma.reshape(1).expand(x.shape[0]))

    prior = imported(tmp_path, Scalar(), noise=torch.tensor(0.1), fixed="N",
                     shape=(1, 2, 36, 44))  # fmt: skip
    x = (rng.standard_normal((2, 24, 30)) + 0j).astype(np.complex64)
    levels = np.array([0.1, 0.4], np.float32)
    wanted = np.stack([smooth(a, s) for a, s in zip(x, levels)])
    np.testing.assert_allclose(prior.denoise(x, levels), wanted, atol=1e-5)


@pytest.mark.parametrize("shape", [(40, 70), (64, 80), (100, 91), (150, 64)])
def test_fixed_size_pads_and_tiles(tmp_path, smooth, rng, shape):
    prior = imported(tmp_path, fixed="HW", shape=(2, 2, 64, 80))
    x = rng.standard_normal((*shape, 2)).astype(np.float32).view(np.complex64)[..., 0]
    y, wanted = prior.denoise(x, 0.3), smooth(x, 0.3)
    # The filter reaches 14 pixels: at borders padding and tiles differ a little.
    inner = (slice(14, -14),) * 2
    assert np.abs(y - wanted)[inner].max() < 0.12
    assert np.abs(y - wanted)[inner].mean() < 0.01
    if shape == (64, 80):
        np.testing.assert_allclose(y, wanted, atol=1e-5)


def test_only_one_size_fixed_is_refused(tmp_path):
    with pytest.raises(ValueError, match="only one fixed.*both dynamic, or both fixed"):
        imported(tmp_path, fixed="H")


def test_wrong_rank_is_refused(tmp_path):
    class Flat(torch.nn.Module):
        def forward(self, x, sigma):
            return x * sigma

    path = tmp_path / "net.onnx"
    write_old(
        Flat(), (torch.ones(4, 6), torch.ones(1)), path, input_names=["x", "sigma"]
    )
    with pytest.raises(ValueError, match="'x' has 2 axes.*expected four"):
        import_onnx(path, tmp_path / "prior.onnx", show=None)


def custom(op="Wobble", domain="com.example"):
    """A file with an operator of somebody's own."""
    info = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
        for n, s in (("x", ["N", 2, "H", "W"]), ("sigma", ["N"]), ("y", None))
    ]
    node = helper.make_node(op, ["x", "sigma"], ["y"], domain=domain)
    graph = helper.make_graph([node], "g", info[:2], info[2:])
    sets = [helper.make_opsetid("", 18), helper.make_opsetid(domain or "ai.other", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=10)


def test_unknown_operator_is_named(tmp_path):
    onnx.save(custom(), tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=r"com\.example\.Wobble.*standard operators"):
        import_onnx(tmp_path / "net.onnx", tmp_path / "prior.onnx", show=None)


def test_interpreter_names_what_it_knows():
    from sigpy_priors.onnx.engine.interpreter import Interpreter
    from sigpy_priors.onnx.engine.nodes import UnsupportedOperator

    module = Interpreter(custom())
    with pytest.raises(UnsupportedOperator, match="Wobble.*Supported are: .*Conv, "):
        module(torch.ones(1, 2, 8, 8), torch.ones(1))


def test_external_data(tmp_path, smooth, image):
    """Weights in a file beside: read where it is there, named where it is not."""
    path = write(tmp_path / "net.onnx", As(Smooth()))
    folder = tmp_path / "apart"
    folder.mkdir()
    onnx.save(onnx.load(path), folder / "net.onnx", save_as_external_data=True,
              location="net.weights", size_threshold=0)  # fmt: skip
    import_onnx(folder / "net.onnx", tmp_path / "prior.onnx", show=None, **TOLD)
    y = spp.load_prior(tmp_path / "prior.onnx").denoise(image, 0.2)
    np.testing.assert_allclose(y, smooth(image, 0.2), atol=1e-5)
    (folder / "net.weights").unlink()
    with pytest.raises(ValueError, match="net.weights, which should be beside it"):
        import_onnx(folder / "net.onnx", tmp_path / "other.onnx", show=None)


def test_files_that_are_no_priors(tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no onnx at all")
    with pytest.raises(ValueError, match="not an ONNX file, or damaged"):
        spp.load_prior(bad)
    with pytest.raises(ValueError, match="no such file"):
        spp.load_prior(tmp_path / "none.onnx")
    path = write(tmp_path / "net.onnx", As(Smooth()))
    with pytest.raises(ValueError, match=r"(?s)without the card.*sigpy-priors import"):
        spp.load_prior(path)


def test_altered_weights_are_refused(tmp_path):
    imported(tmp_path)
    model = read_onnx(tmp_path / "prior.onnx")
    for t in model.graph.initializer:
        a = onnx.numpy_helper.to_array(t)
        if a.dtype == np.float32:
            t.CopyFrom(onnx.numpy_helper.from_array(a * 1.01, t.name))
    onnx.save(model, tmp_path / "prior.onnx")
    with pytest.raises(ValueError, match="SHA-256 differs"):
        spp.load_prior(tmp_path / "prior.onnx")


def test_a_third_input_is_refused(tmp_path):
    class Labelled(torch.nn.Module):
        def forward(self, x, sigma, label):
            return x + sigma.view(-1, 1, 1, 1) + label.view(-1, 1, 1, 1)

    path = tmp_path / "net.onnx"
    args = torch.ones(1, 2, 8, 8), torch.ones(1), torch.ones(1)
    write_old(Labelled(), args, path, input_names=["x", "sigma", "label"])
    with pytest.raises(ValueError, match="3 inputs.*--inputs"):
        import_onnx(path, tmp_path / "p.onnx", show=None)
    with pytest.raises(ValueError, match="inputs label would be left"):
        import_onnx(path, tmp_path / "p.onnx", inputs="x,sigma", show=None)
