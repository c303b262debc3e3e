"""TensorFlow to ONNX: the numbers stay those of the original graph."""

import numpy as np
import pytest

from sigpy_priors.importers import ConversionError


def check_parity(session, meta, path, limit=1e-5):
    """With what TensorFlow said when it wrote the model, and with what it says now."""
    assert float(meta["sigpy_priors.parity"]) <= limit
    expected = np.load(path)
    feeds = {
        i.name: expected[i.name].astype(np.int32 if "int" in i.type else np.float32)
        for i in session.get_inputs()
    }
    names = [o.name for o in session.get_outputs()]
    for name, y in zip(names, session.run(names, feeds)):
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(y / scale, expected[name] / scale, atol=limit)


@pytest.mark.parametrize("model", ["net.keras", "saved_model"])
def test_any_size(model, tensorflow_models, convert):
    session, meta = convert(tensorflow_models / model)
    check_parity(session, meta, tensorflow_models / "net.npz")
    shapes = {i.name: i.shape for i in session.get_inputs()}
    assert set(shapes) == {"x", "sigma"}
    assert [isinstance(n, int) for n in shapes["x"]] == [False, False, False, True]


def test_weights_of_keras(tensorflow_models, convert):
    """With the weights in the file, not those that the builder starts with."""
    path = tensorflow_models / "net.weights.h5"
    options = {"builder_options": {"seed": 1}}
    session, meta = convert(path, builder="tensorflow_models:keras_net", **options)
    check_parity(session, meta, tensorflow_models / "net.npz")
    with pytest.raises(ConversionError, match="name what builds the network"):
        convert(path)


def test_layers_of_ones_own(tensorflow_models, convert):
    """The module of the builder registers them."""
    path = tensorflow_models / "own.keras"
    with pytest.raises(ConversionError, match="register them.*--builder"):
        convert(path)
    session, _ = convert(path, builder="keras_layer:build")
    x = np.ones((1, 5, 6, 2), np.float32)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], 2 * x)


# The Fourier features of sde2, at scale 16, magnify the last digit of expm1.
@pytest.mark.parametrize("kind", ["ncsn", "sde2"])
def test_spreco(kind, tensorflow_models, convert):
    """The package's own networks, written by its own exporter."""
    folder = tensorflow_models / kind
    assert {p.suffix for p in folder.iterdir()} >= {".meta", ".index", ".map", ".pb"}
    session, meta = convert(folder / "net.meta")
    check_parity(session, meta, tensorflow_models / f"{kind}.npz")
    assert [i.name for i in session.get_inputs()] == ["input_0", "input_1"]
    assert session.get_inputs()[0].shape[1:] == [24, 32, 2]
    assert [o.name for o in session.get_outputs()] == ["output_0"]


def test_graph_for_bart(tensorflow_models, convert):
    """A regulariser: its value, and a gradient written out by TensorFlow."""
    session, meta = convert(tensorflow_models / "frozen.pb")
    check_parity(session, meta, tensorflow_models / "frozen.npz")
    assert [o.name for o in session.get_outputs()] == ["grad_0", "output_0"]
    assert session.get_outputs()[0].shape == [1, 24, 32, 2]


def test_graph_without_its_weights(tensorflow_models, convert, tmp_path):
    alone = tmp_path / "net.pb"
    alone.write_bytes((tensorflow_models / "sde2" / "net.pb").read_bytes())
    with pytest.raises(ConversionError, match="give the .meta of its checkpoint"):
        convert(alone)


def test_chosen_tensors(tensorflow_models, convert):
    """The value without its gradient, by names as a user has them."""
    told = "input_0:0->output_0"
    session, meta = convert(tensorflow_models / "frozen.pb", tensors=told)
    check_parity(session, meta, tensorflow_models / "frozen.npz")
    assert [o.name for o in session.get_outputs()] == ["output_0"]


@pytest.mark.parametrize("suffix", ["", ".index"])
def test_names_of_a_checkpoint(suffix, tensorflow_models, convert):
    """Its prefix, or any of its files, names it; here up to where it would convert."""
    with pytest.raises(ConversionError, match="no tensors nothing"):
        convert(
            tensorflow_models / "ncsn" / f"net{suffix}", tensors="nothing->output_0"
        )


def test_unknown_tensors(tensorflow_models, convert):
    with pytest.raises(ConversionError, match="no tensors nothing"):
        convert(tensorflow_models / "frozen.pb", tensors="input_0->nothing")
