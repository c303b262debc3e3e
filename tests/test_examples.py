"""Every example runs, and says what it should."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, argv, capsys):
    runpy.run_path(str(EXAMPLES / name))["main"](argv)
    return capsys.readouterr().out


def test_drop_in(tmp_path, capsys):
    picture = tmp_path / "drop_in.png"
    run("1_drop_in.py", ["--out", str(picture)], capsys)
    assert picture.stat().st_size > 10_000


def test_own_script(capsys):
    lines = run("2_own_script.py", [], capsys).splitlines()
    for line in lines:
        before, after = (float(w) for w in line.split() if w.replace(".", "").isdigit())
        assert after > before + 1


def test_own_prior(capsys):
    out = run("3_own_prior.py", [], capsys)
    assert float(out.split()[-1]) < 1e-3


def test_every_example_is_run_here():
    """The BART twin runs with the tests of BART (tests/bart)."""
    tested = Path(__file__).read_text() + "bart_twin.py"
    for file in EXAMPLES.glob("*.py"):
        if file.name not in tested:
            pytest.fail(f"{file.name} is run by no test")
