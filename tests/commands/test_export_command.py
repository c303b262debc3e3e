"""``sigpy-priors export``: formats of ours and of other packages."""

import sys

import pytest

from sigpy_priors.cli import main
from sigpy_priors.commands.plugins import GROUP, plugins

PLUGIN = """
def add_parser(formats):
    p = formats.add_parser("toy", help="a toy format")
    p.add_argument("name")
    p.set_defaults(run=lambda args: print(f"toy of {args.name}"))
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Make a package of one module, with an entry point, as pip would."""

    def package(entry, value, code=PLUGIN):
        (tmp_path / "toy_format.py").write_text(code)
        info = tmp_path / "toy_format-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-format\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entry} = {value}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "toy_format", raising=False)

    return package


def test_formats_of_another_package(install, capsys):
    install("export.toy", "toy_format:add_parser")
    assert plugins("export")["toy"].value == "toy_format:add_parser"
    assert "toy_format" not in sys.modules, "imported to be listed"
    assert main(["export", "toy", "brain"]) == 0
    assert capsys.readouterr().out == "toy of brain\n"
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    out = capsys.readouterr().out
    assert "a toy format" in out and "onnx" in out


def test_entry_points_of_other_commands_are_left_alone(install):
    install("list.toy", "toy_format:add_parser")
    assert "toy" not in plugins("export") and list(plugins("list")) == ["toy"]


@pytest.mark.parametrize("code", ["import nowhere", "add_parsers = 1"])
def test_a_broken_package_is_named_and_disturbs_nobody(install, capsys, code):
    install("export.toy", "toy_format:add_parser", code)
    with pytest.raises(SystemExit) as e:
        main(["export", "onnx", "--help"])
    assert e.value.code == 0
    out, err = capsys.readouterr()
    assert "an ONNX file" in out or "--half" in out
    assert "warning: export toy" in err and "toy_format:add_parser" in err


def test_a_command_is_found_without_its_package(install, capsys):
    """Only `export` looks for formats."""
    install("export.toy", "toy_format:add_parser", "raise SystemError")
    assert main(["list"]) == 0


def test_onnx_is_given_a_prior(monkeypatch, tiny_prior_file, capsys):
    from sigpy_priors.priors.network import NetworkPrior

    calls = []

    def export_onnx(prior, path, half, int8):
        calls.append((prior, path, half, int8))
        return prior.card.model_copy(update={"notes": "exact to 1e-6"})

    monkeypatch.setattr("sigpy_priors.onnx.export_onnx", export_onnx)
    assert main(["export", "onnx", str(tiny_prior_file), "out.onnx", "--half"]) == 0
    [(prior, *rest)] = calls
    assert isinstance(prior, NetworkPrior) and rest == ["out.onnx", True, False]
    assert "exact to 1e-6" in capsys.readouterr().out
