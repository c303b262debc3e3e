"""Importing the package costs nothing that importing SigPy does not."""

import json
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize(
    "code", ["from sigpy_priors import app, prox, GaussianPrior, load_prior, read_card"]
)
def test_reconstruction_needs_no_training_plotting_or_export(code):
    added = modules_after(code) - modules_after("import sigpy, sigpy.mri")
    heavy = {
        "matplotlib", "onnx", "onnxruntime", "onnxscript", "skimage", "tensorboard",
        "h5py", "ismrmrd", "nibabel", "pydicom", "pydantic", "yaml", "bart_plugin",
    }  # fmt: skip
    assert not heavy & {m.partition(".")[0] for m in added}
    assert not {m for m in added if m.startswith("sigpy_priors.models")}


def test_all_names_exist():
    for name in sigpy_priors.__all__:
        assert getattr(sigpy_priors, name) is not None
    assert sorted(dir(sigpy_priors)) == sorted(sigpy_priors.__all__)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'PriorRecom'"):
        sigpy_priors.PriorRecom
