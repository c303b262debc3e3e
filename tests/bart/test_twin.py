"""The example of the twin, with an untrained prior and few pixels."""

import importlib.util
from pathlib import Path

from sigpy_priors.cli import main as cli

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_twin(bart100, tiny_prior_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(bart100.parent))
    spec = importlib.util.spec_from_file_location("twin", EXAMPLES / "bart_twin.py")
    twin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(twin)
    out = tmp_path / "twin.png"
    options = ["--prior", str(tiny_prior_file), "--size", "60", "--steps", "5"]
    assert twin.main([*options, "--out", str(out)]) <= 1e-5
    assert out.read_bytes()[:4] == b"\x89PNG"
    assert "NRMSE between the two" in capsys.readouterr().out


def test_export_command(tiny_prior_file, tmp_path, capsys):
    target = tmp_path / "graph" / "brain"
    command = ["export", "bart", str(tiny_prior_file), str(target), "--shape", "40,36"]
    assert cli([*command, "--sigma", "0.05", "--denoiser-strength", "0.5"]) == 0
    assert target.with_suffix(".pb").exists()
    assert f"-R TF:{{{target}}}:1" in capsys.readouterr().out
    assert cli([*command, "--kind", "nlinv", "--sigma", "99"]) == 2
    assert "noise levels from" in capsys.readouterr().err
