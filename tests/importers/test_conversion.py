"""What every route shares: the file's kind, absent frameworks, the comparison."""

import subprocess
import sys
import venv

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sigpy_priors import importers
from sigpy_priors.importers import ConversionError, conversion


@pytest.mark.parametrize(
    "name, framework",
    [
        ("a.pt", "torch"), ("a.pt2", "torch"), ("a.safetensors", "torch"),
        ("a.keras", "tensorflow"), ("a.pb", "tensorflow"), ("a.meta", "tensorflow"),
        ("saved/saved_model.pb", "tensorflow"), ("log/net.meta", "tensorflow"),
        ("a.msgpack", "jax"), ("orbax/_METADATA", "jax"),
        ("unet/config.json", "diffusers"), ("pipeline/unet/config.json", "diffusers"),
    ],
)  # fmt: skip
def test_detect(name, framework, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    model = path if path.parent == tmp_path else tmp_path / name.split("/")[0]
    assert importers.detect(model) == framework


def test_detect_by_the_prefix_of_a_checkpoint(tmp_path):
    (tmp_path / "net_100.meta").touch()
    assert importers.detect(tmp_path / "net_100") == "tensorflow"


@pytest.mark.parametrize(
    "name, message",
    [
        ("nothing.pt", "no such file"),
        ("a.doc", "unknown kind"),
        ("empty", "no SavedModel"),
    ],
)
def test_unknown_models(name, message, tmp_path):
    (tmp_path / "a.doc").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConversionError, match=message):
        importers.convert(tmp_path / name, tmp_path / "o.onnx")


@pytest.mark.parametrize("framework", importers.FRAMEWORKS)
def test_absent_framework(framework, tmp_path, monkeypatch):
    """A bare Python: the message names the extra and the other way out."""
    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setenv(conversion.PYTHON, str(tmp_path / "bare" / "bin" / "python"))
    (tmp_path / "model").touch()
    extra = importers.FRAMEWORKS[framework]
    with pytest.raises(ConversionError, match=rf"'\.\[{extra}\]'.*--python"):
        importers.convert(tmp_path / "model", tmp_path / "o.onnx", framework=framework)


def test_no_such_python(tmp_path):
    (tmp_path / "a.pt").touch()
    with pytest.raises(ConversionError, match="does not run"):
        importers.convert(tmp_path / "a.pt", tmp_path / "o.onnx", python="/no/python")


@pytest.fixture
def job(tmp_path):
    """A folder as a script leaves it: y = 2 x, and what the original made of it."""

    def make(original, size="W"):
        x, y = (
            helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", size])
            for n in "xy"
        )
        two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
        node = helper.make_node("Mul", ["x", "two"], ["y"])
        graph = helper.make_graph([node], "g", [x], [y], [two])
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=9)
        onnx.save(model, tmp_path / "model.onnx")
        x = np.ones((2, 5), np.float32)
        np.savez(tmp_path / "check.npz", **{"0/in/x": x, "0/out/0": original(x)})
        return tmp_path

    return make


def test_comparison_measures(job):
    found = conversion._compare(job(lambda x: 2 * x + 1e-5), "model")
    assert found == pytest.approx(5e-6, rel=0.1)


@pytest.mark.parametrize(
    "original, message",
    [
        (lambda x: 2.01 * x, r"differs from the original by 5.0e-03"),
        (lambda x: np.nan * x, "differs from the original by inf"),
        (lambda x: 2 * x[:1], r"returns \(2, 5\), not \(1, 5\)"),
    ],
)
def test_comparison_refuses(original, message, job):
    with pytest.raises(ConversionError, match=message):
        conversion._compare(job(original), "model")


def test_network_of_one_size(job):
    with pytest.raises(ConversionError, match="if the network has one size only"):
        conversion._compare(job(lambda x: 2 * x, size=7), "model")


def test_scripts_need_no_sigpy_priors():
    """They run where only the framework is installed."""
    folder = conversion.Path(conversion.__file__).parent / "frameworks"
    for script in (*folder.glob("from_*.py"), folder / "job.py"):
        assert "import sigpy" not in script.read_text()
        assert "from sigpy" not in script.read_text()
    code = "import sys; sys.argv[1:] = ['x']; import job; print('sigpy' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True
    )
    assert out.stdout.strip() == "False"


def test_a_file_that_runs_code_is_refused(tmp_path):
    """Before anything of it is read: torch.export.load would run it."""
    with pytest.raises(ConversionError, match=r"evil.pt2: .* runs code .* --trust"):
        importers.convert(tmp_path / "evil.pt2", tmp_path / "x.onnx", framework="torch")
    with pytest.raises(ConversionError, match="no such file"):
        importers.convert(
            tmp_path / "evil.pt2", tmp_path / "x.onnx", framework="torch", trust=True
        )
