"""No command writes over what it reads, or computes what it cannot write."""

import json

import numpy as np
import pytest

from sigpy_priors import cli


@pytest.fixture
def inputs(tmp_path, tiny_prior_file, monkeypatch):
    """A folder with a small scan and a prior, and what they were."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = rng.standard_normal((2, 16, 16)) + 1j * rng.standard_normal((2, 16, 16))
    np.save("k.npy", y.astype(np.complex64))
    np.save("maps_mean.npy", np.ones((2, 16, 16), np.complex64))
    (tmp_path / "p.safetensors").write_bytes(tiny_prior_file.read_bytes())
    (tmp_path / "net.onnx").write_bytes(b"a network")
    config = {"name": "p", "init": "p.safetensors", "data": {"train": ["*.npy"]}}
    options = {"channels": [4, 8], "blocks": [1, 1], "emb_channels": 8}
    config["model"] = {"options": options}
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    return {p.name: p.read_bytes() for p in tmp_path.iterdir()}


@pytest.mark.parametrize(
    "command, what",
    [
        ("recon k.npy --maps maps_mean.npy -o k.npy", "kspace"),
        ("recon k.npy --maps maps_mean.npy -o maps_mean.npy", "maps"),
        ("sample k.npy --maps maps_mean.npy -n 2 --steps 2 -o maps.npy", "maps"),
        ("sample k.npy --maps maps_mean.npy -n 2 --weights k.npy -o k.npy", "kspace"),
        ("export onnx p.safetensors p.safetensors", "prior"),
        ("export bart p.safetensors p.safetensors --shape 16,16", "prior"),
        ("import net.onnx -o net.onnx", "model"),
        ("adapt p.safetensors k.npy -o p.safetensors", "prior"),
        ("train c.yaml --data . --out . --device cpu", "init"),
    ],
)
def test_never_over_an_input(inputs, tmp_path, command, what, capsys):
    assert cli.main(command.split()) == 2
    assert f"is the {what} that is read" in capsys.readouterr().err
    for name, content in inputs.items():
        assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize(
    "command",
    [
        "recon k.npy --maps maps_mean.npy -o {}.npy",
        "sample k.npy --maps maps_mean.npy -n 2 -o {}.npy",
        "export onnx p.safetensors {}.onnx",
        "import net.onnx -o {}.onnx",
        "demo --prior p.safetensors --out {}/x",
    ],
)
@pytest.mark.parametrize("where", ["absent/x", "/proc/x"])
def test_what_cannot_be_written_is_told_first(inputs, command, where, capsys):
    if command.startswith("demo") and where == "absent/x":
        return  # makes its folder
    assert cli.main(command.format(where).split()) == 2
    err = capsys.readouterr().err
    assert where.split("/x")[0] in err and "slice/s" not in err
    assert "no folder" in err or "cannot be written" in err


def test_a_folder_in_the_way_of_the_mean_is_told_first(inputs, tmp_path, capsys):
    (tmp_path / "out_std.npy").mkdir()
    command = "sample k.npy --maps maps_mean.npy -n 2 -o out.npy"
    assert cli.main(command.split()) == 2
    assert "out_std.npy: is a folder" in capsys.readouterr().err


def test_no_prior_is_called_like_the_state_of_its_run(inputs, capsys):
    with open("d.yaml", "w") as f:
        json.dump({"name": "checkpoint", "data": {"train": ["*.npy"]}}, f)
    assert cli.main(["train", "d.yaml", "--print-config"]) == 2
    assert "checkpoint.safetensors is the state" in capsys.readouterr().err
