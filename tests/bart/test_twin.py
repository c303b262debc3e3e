"""The examples with BART, with an untrained prior and few pixels."""

import runpy
from pathlib import Path

from sigpy_priors.cli import main as cli

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_twin(bart100, tiny_prior_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(bart100.parent))
    twin = runpy.run_path(str(EXAMPLES / "8_bart_twin.py"))["main"]
    out = tmp_path / "twin.png"
    options = ["--prior", str(tiny_prior_file), "--size", "60", "--steps", "5"]
    assert twin([*options, "--out", str(out)]) <= 1e-5
    assert out.read_bytes()[:4] == b"\x89PNG"
    assert "NRMSE between the two" in capsys.readouterr().out


def test_compare_priors(bart100, tiny_prior_file, tmp_path, monkeypatch):
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(bart100.parent))
    main = runpy.run_path(str(EXAMPLES / "4_compare_priors.py"))["main"]
    out = tmp_path / "compare.png"
    options = ["--priors", str(tiny_prior_file), "--size", "64", "--max-iter", "2"]
    rows = main([*options, "--bart", "--out", str(out)])
    for row in rows.values():
        assert list(row)[2:] == ["pics, wavelet", "pics, tiny", "nlinv", "nlinv, tiny"]
        # An untrained prior is none; that BART's own images are right is enough.
        assert row["pics, wavelet"] > 20 and row["nlinv"] > 10
    assert out.stat().st_size > 10_000


def test_export_command(tiny_prior_file, tmp_path, capsys):
    target = tmp_path / "graph" / "brain"
    command = ["export", "bart", str(tiny_prior_file), str(target), "--shape", "40,36"]
    assert cli([*command, "--sigma", "0.05", "--relaxation", "0.5"]) == 0
    assert target.with_suffix(".pb").exists()
    said = capsys.readouterr().out
    assert f"-R TF:{{{target}}}:0.11" in said and "add -e" not in said
    assert "for images of 36:40 in BART, 1 set(s) of maps, 1 slice(s)" in said
    assert cli([*command, "--algorithm", "fista", "--sigma", "0.05"]) == 0
    assert "with -t add -e" in capsys.readouterr().out
    assert cli([*command, "--kind", "nlinv", "--sigma", "99"]) == 2
    assert "noise levels from" in capsys.readouterr().err
