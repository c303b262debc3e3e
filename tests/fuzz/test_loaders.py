"""Damaged files end in one line or the right image, whatever was done to them.

A few seeds of every loader here; ``make fuzz`` tries thousands.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import loaders, mutants

pytest.importorskip("onnxruntime")
pytest.importorskip("nibabel")
pytest.importorskip("pydicom")

HERE = Path(__file__).parent
COUNT = 3


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """How the files ended; tried in a process that has started no threads."""
    out = tmp_path_factory.mktemp("fuzz") / "table.json"
    subprocess.run(
        [sys.executable, HERE / "fuzz.py", "--count", str(COUNT), "--json", out],
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.DEVNULL,
    )
    return json.loads(out.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", loaders.LOADERS)
def test_no_damaged_file_ends_badly(table, name):
    assert not [text for text in table["bad"] if text.startswith(f"{name} ")]
    assert sum(table[name].values()) == COUNT
    assert not [text for text in table["bad"] if text.startswith(f"{name}:")]


@pytest.mark.slow
def test_files_that_ended_badly_once():
    """A folder of them beside the project, where there is one."""
    if not mutants.FOLDER.is_dir():
        pytest.skip(f"no damaged files in {mutants.FOLDER}")
    done = subprocess.run(
        [sys.executable, HERE / "mutants.py"],
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
