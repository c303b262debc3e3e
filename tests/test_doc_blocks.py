"""The Python of the documentation, and every command of the README, run.

On the bundled scan. What needs a BART is in ``tests/bart/test_guide.py``.
"""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from documentation import PAGES, ROOT, blocks, name, readme_commands, shell

WITH_PYTHON = [page for page in PAGES if blocks(page.read_text(), "python")]
RUN = [p for p in WITH_PYTHON if p.parent.name != "guide" or p.stem != "bart"]


@pytest.mark.parametrize("page", RUN, ids=name)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = "\n".join(blocks(page.read_text(), "python"))
    exec(compile(source, str(page), "exec"), {"__name__": name(page)})


def test_there_is_python_on_most_pages_of_the_guide():
    assert len(RUN) >= 5 and len(WITH_PYTHON) == len(RUN) + 1


@pytest.mark.slow
def test_every_command_of_the_readme_runs(tmp_path):
    """After what ``make demo`` runs, once everything is installed."""
    makefile = (ROOT / "Makefile").read_text()
    [demo] = re.findall(r"^demo:.*\n\t\$\(BIN\)/(.*)$", makefile, re.M)
    lines = readme_commands(bart=False)
    assert len(lines) >= 3
    said = shell([demo, *lines], tmp_path).stdout
    assert "denoiser" in said and (tmp_path / "demo" / "demo.png").is_file()
    truth = np.abs(np.load(tmp_path / "scan_truth.npy"))
    picture = plt.imread(tmp_path / "image.png")
    picture = picture if picture.ndim == 2 else picture[..., 0]
    assert np.corrcoef(picture.ravel(), truth.ravel())[0, 1] > 0.98
