"""A network of any framework in BART: imported, exported, run by a real BART."""

import importlib.util
import os
from pathlib import Path

import pytest
import torch_net
from safetensors.torch import save_file

from bart_plugin import cached as graph_cache
from bart_plugin import toolbox
from sigpy_priors.cli import main as cli

EXAMPLES = Path(__file__).parents[2] / "examples"
# What the probe would otherwise find out with many passes of the network.
TOLD = [
    "--inputs", "x,sigma", "--channels", "re,im", "--parametrization", "x0",
    "--schedule", "sigma", "--sigma", "channel", "--scale", "1",
    "--sigma-range", "0.002,10",
]  # fmt: skip


@pytest.fixture
def twin(monkeypatch, tmp_path):
    """The example that runs a prior in BART and in SigPy and compares."""
    bart = toolbox.cached("1.0.00")
    if bart is None:
        reason = "no BART 1.0.00: python -m bart_plugin build"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(bart.parent))
    monkeypatch.setattr(graph_cache, "folder", lambda: tmp_path)
    spec = importlib.util.spec_from_file_location("twin", EXAMPLES / "8_bart_twin.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_import_then_bart(framework, twin, builders, tmp_path, request):
    out = tmp_path / "net.onnx"
    if framework == "torch":
        model = tmp_path / "net.safetensors"
        save_file(torch_net.build().state_dict(), model)
        options = ["--builder", "torch_net:build", "--layout", "NCHW"]
    else:
        models = request.getfixturevalue(f"{framework}_models")
        python = str(request.getfixturevalue("frameworks"))
        options = ["--layout", "NHWC", "--python", python]
        model = models / "net.keras"
        if framework == "jax":
            model = models / "linen.msgpack"
            options += ["--builder", "jax_net:build_linen"]
    assert cli(["import", str(model), "-o", str(out), *TOLD, *options]) == 0
    graph = tmp_path / "graph"
    assert cli(["export", "bart", str(out), str(graph), "--shape", "36,28"]) == 0
    assert graph.with_suffix(".pb").exists()
    picture = ["--size", "60", "--steps", "5", "--out", str(tmp_path / "twin.png")]
    assert twin(["--prior", str(out), *picture]) <= 1e-5
