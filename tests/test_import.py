"""Importing the package costs nothing that importing SigPy does not."""

import importlib.util
import json
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import documentation
import pytest
from documentation import PAGES

import bart_plugin
import sigpy_priors


def modules_after(code):
    """Names of all modules that a fresh interpreter has after some code."""
    code += "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return set(json.loads(out.stdout.splitlines()[-1]))


def test_import_adds_only_its_own_modules():
    """Torch comes with SigPy where it is installed; nothing else comes with us."""
    ours = modules_after("import sigpy; import sigpy_priors")
    # json is what lists the modules; both sides have it.
    added = ours - modules_after("import sigpy")
    assert {m.partition(".")[0] for m in added} == {"sigpy_priors"}


HEAVY = {
    "bart_plugin",
    "h5py",
    "ismrmrd",
    "matplotlib",
    "nibabel",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pydantic",
    "pydicom",
    "skimage",
    "tensorboard",
    "yaml",
}


@pytest.mark.parametrize(
    "names, needed",
    [
        ("app, prox, GaussianPrior", set()),
        ("load_prior, read_card", {"pydantic"}),  # checks the card
    ],
)
def test_reconstruction_needs_no_training_plotting_or_export(names, needed):
    added = modules_after(f"from sigpy_priors import {names}")
    added -= modules_after("import sigpy, sigpy.mri")
    assert HEAVY & {m.partition(".")[0] for m in added} <= needed
    assert not {m for m in added if m.startswith("sigpy_priors.models")}


@pytest.mark.parametrize("name", ["brain", "brain-pixelcnn"])
def test_a_prior_is_loaded_without_torchs_compiler(name):
    """Torch's arithmetic without memory is in Python, and takes seconds to import."""
    added = modules_after(f"import sigpy_priors; sigpy_priors.load_prior('{name}')")
    assert not added & {"sympy", "torch._dynamo"}


def test_all_names_exist():
    for name in sigpy_priors.__all__:
        assert getattr(sigpy_priors, name) is not None
    assert sorted(dir(sigpy_priors)) == sorted(sigpy_priors.__all__)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'PriorRecom'"):
        sigpy_priors.PriorRecom  # noqa: B018


def packages():
    """Every package of the project, by its name."""
    for root in (sigpy_priors, bart_plugin):
        yield root.__name__, root
        for info in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            if info.ispkg:
                yield info.name, import_module(info.name)


def test_no_lazy_name_is_that_of_another_thing():
    """A name that is a submodule too would mean one or the other, by import order."""
    for name, package in packages():
        modules = {m.name for m in pkgutil.iter_modules(package.__path__)}
        for lazy in modules & set(getattr(package, "__all__", ())):
            assert getattr(package, lazy) is import_module(f"{name}.{lazy}"), lazy


def resolve(name):
    """The object that a dotted name stands for."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        if find(".".join(parts[:n])):
            found = import_module(".".join(parts[:n]))
            for part in parts[n:]:
                found = getattr(found, part)
            return found
    raise AttributeError(name)


def find(name):
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:  # its parent is no package
        return None


ROOT = Path(sigpy_priors.__file__).parents[1]
SOURCES = [p for f in ("sigpy_priors", "bart_plugin") for p in (ROOT / f).rglob("*.py")]
ROLE = re.compile(
    r":(?:mod|func|class|meth|data|attr|exc):`[~.]*((?:sigpy_priors|bart_plugin)[\w.]*)`"
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_docstrings_refer_to_exists(path):
    for name in ROLE.findall(path.read_text()):
        resolve(name)


# Not entry points, whose groups stand in quotes.
NAME = re.compile(r"(?<!\")\b(?:spp|sigpy_priors)((?:\.[A-Za-z_]\w*)+)(?![\w/])")


@pytest.mark.parametrize("page", PAGES, ids=documentation.name)
def test_what_the_documentation_calls_exists(page):
    for name in NAME.findall(page.read_text()):
        resolve(f"sigpy_priors{name}")


def test_the_documentation_calls_something():
    assert len({n for page in PAGES for n in NAME.findall(page.read_text())}) > 30
    assert len(NAME.findall(documentation.README.read_text())) > 4
