"""What is installed is what is declared."""

import re
import tomllib
from importlib import resources
from importlib.metadata import distribution, entry_points
from pathlib import Path

import pytest

import sigpy_priors
from sigpy_priors.cli import main

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def normal(requirement):
    """The name in a requirement, as package indexes spell it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def test_version():
    assert distribution("sigpy-priors").version == sigpy_priors.__version__


def test_command():
    [command] = entry_points(group="console_scripts", name="sigpy-priors")
    assert command.load() is main


def test_entry_points_are_installed_and_load():
    """After a change of pyproject.toml: install again."""
    for group, points in PROJECT["entry-points"].items():
        installed = entry_points(group=group)
        for name, value in points.items():
            [point] = [e for e in installed if e.name == name]
            assert point.value == value and callable(point.load())


def test_bart_is_a_format_of_export(capsys):
    """The command line finds the plugin that no module of ours may import."""
    with pytest.raises(SystemExit) as e:
        main(["export", "--help"])
    assert e.value.code == 0 and "bart" in capsys.readouterr().out


def test_every_dependency_has_an_exact_pin():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [s for s in lines if s and not s.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", pin) for pin in pins)
    extras = PROJECT["optional-dependencies"]
    # CuPy has a package for each CUDA version: which one, its user knows.
    wanted = [d for name, ds in extras.items() if name != "cuda" for d in ds]
    wanted += PROJECT["dependencies"]
    assert {normal(d) for d in wanted} <= {normal(p) for p in pins}


@pytest.mark.parametrize("name", ["example.npz", "example.LICENSE.txt"])
def test_data_are_packaged(name):
    assert resources.files("sigpy_priors").joinpath("data", name).is_file()


def test_every_data_file_has_its_licence():
    folder = ROOT / "sigpy_priors" / "data"
    for path in folder.glob("*.npz"):
        assert path.with_suffix(".LICENSE.txt").is_file()
