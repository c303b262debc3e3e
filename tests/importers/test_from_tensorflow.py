"""TensorFlow to ONNX: the numbers stay those of the original graph.

``convert`` compares onnxruntime with TensorFlow itself and stores the difference;
what it compares with is tested in ``test_conversion.py``.
"""

import pytest

from sigpy_priors.importers import ConversionError


@pytest.mark.parametrize("model", ["net.keras", "saved_model"])
def test_any_size(model, tensorflow_models, convert):
    session, meta = convert(tensorflow_models / model)
    assert float(meta["sigpy_priors.parity"]) <= 1e-5
    x, sigma = session.get_inputs()
    assert [isinstance(n, int) for n in x.shape] == [False, False, False, True]
    assert [i.name for i in (x, sigma)] == ["x", "sigma"]


@pytest.mark.parametrize("kind", ["sde2", "ncsn"])
def test_spreco(kind, tensorflow_models, convert):
    """The package's own networks, written by its own exporter."""
    folder = tensorflow_models / kind
    assert {p.suffix for p in folder.iterdir()} >= {".meta", ".index", ".map", ".pb"}
    session, meta = convert(folder / "net.meta")
    assert float(meta["sigpy_priors.parity"]) <= 1e-5
    assert [i.name for i in session.get_inputs()] == ["input_0", "input_1"]
    assert session.get_inputs()[0].shape[1:] == [24, 32, 2]
    assert [o.name for o in session.get_outputs()] == ["output_0"]


def test_graph_for_bart(tensorflow_models, convert):
    """A regulariser: its value, and a gradient written out by TensorFlow."""
    session, meta = convert(tensorflow_models / "frozen.pb")
    assert float(meta["sigpy_priors.parity"]) <= 1e-5
    assert [o.name for o in session.get_outputs()] == ["grad_0", "output_0"]
    assert session.get_outputs()[0].shape == [1, 24, 32, 2]


def test_graph_without_its_weights(tensorflow_models, convert, tmp_path):
    alone = tmp_path / "net.pb"
    alone.write_bytes((tensorflow_models / "sde2" / "net.pb").read_bytes())
    with pytest.raises(ConversionError, match="give the .meta of its checkpoint"):
        convert(alone)


def test_unknown_tensors(tensorflow_models, convert):
    with pytest.raises(ConversionError, match="no tensors nothing"):
        convert(tensorflow_models / "frozen.pb", tensors="input_0->nothing")
