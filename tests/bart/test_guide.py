"""What README and guide say about BART runs."""

import numpy as np
import pytest
from documentation import ROOT, blocks, name, readme_commands, shell

from sigpy_priors.commands.example_files import write_scan
from sigpy_priors.io.cfl import read_cfl
from sigpy_priors.show.metrics import psnr


@pytest.mark.slow
def test_every_command_of_the_readme_runs_with_bart(bart100, tmp_path):
    assert "sigpy-priors example scan" in readme_commands(bart=False)
    write_scan(tmp_path)
    lines = readme_commands(bart=True)
    assert len(lines) >= 3 and lines[0].startswith("eval ")
    done = shell(lines, tmp_path, BART_TOOLBOX_PATH=str(bart100.parent))
    assert "oneDNN" not in done.stderr and "yes pics -R TF:" in done.stdout
    assert (tmp_path / "image_bart.png").read_bytes()[:4] == b"\x89PNG"
    x = np.squeeze(read_cfl(tmp_path / "image.cfl"))
    assert psnr(x, np.load(tmp_path / "scan_truth.npy")) > 30


def test_python_of_the_guide_runs_with_bart(bart100, tmp_path, monkeypatch):
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(bart100.parent))
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "guide" / "bart.md"
    scope = {"__name__": name(page)}
    exec("\n".join(blocks(page.read_text(), "python")), scope)
    for key, shape in (
        ("x", (64, 64)),
        ("coils", (8, 64, 64)),
        ("samples", (2, 64, 64)),
    ):
        assert scope[key].shape == shape and np.isfinite(scope[key]).all()
