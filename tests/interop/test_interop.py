"""Each adapter beside the real package, in a Python that has it."""

import os
import subprocess
import sys
from pathlib import Path

import environment
import pytest

import sigpy_priors as spp

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGES = ("deepinv", "mrpro", "bartorch", "mrinufft")

pytestmark = pytest.mark.timeout(900)  # the first may have to install them


@pytest.fixture(scope="session")
def foreign():
    """The interpreter that has the packages."""
    try:
        return environment.python("interop")
    except RuntimeError as e:
        if os.environ.get("CI"):
            pytest.fail(str(e), pytrace=False)
        pytest.skip(str(e))


def run(python, script):
    done = subprocess.run(
        [python, HERE / script],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_with_the_real_package(foreign, package):
    done = run(foreign, f"with_{package}.py")
    assert done.count("check_") >= 2


def test_beside_sigpy_pytorch():
    assert "check_" in run(sys.executable, "with_pytorch.py")


@pytest.mark.parametrize("package", ["deepinv", "mrpro", "bartorch"])
def test_a_package_that_is_missing_is_named(package, monkeypatch, smooth_prior):
    for name in ("deepinv", "mrpro", "bartorch"):
        monkeypatch.setitem(sys.modules, name, None)
    adapter = getattr(spp.interop, package)
    name = {"deepinv": "denoiser", "mrpro": "functional", "bartorch": "regularizer"}
    options = (0.1,) if package == "bartorch" else ()
    with pytest.raises(ImportError, match=rf"{package}.*\[interop\]"):
        getattr(adapter, name[package])(smooth_prior, *options)


def test_names():
    assert sorted(dir(spp.interop)) == sorted(spp.interop.__all__)
    with pytest.raises(AttributeError, match="no attribute 'monai'"):
        spp.interop.monai  # noqa: B018
