"""A Python with the frameworks, and models that it wrote.

Where it cannot be made the tests are skipped with one line; under CI they fail.
"""

import os
import subprocess
from pathlib import Path

import environment
import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """The first test that needs the frameworks may have to install them."""
    for item in items:
        if "frameworks" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(1500))


@pytest.fixture(scope="session")
def frameworks():
    """The interpreter that has TensorFlow, JAX and diffusers."""
    try:
        return environment.python()
    except RuntimeError as e:
        if os.environ.get("CI"):
            pytest.fail(str(e), pytrace=False)
        pytest.skip(str(e))


@pytest.fixture
def builders(monkeypatch):
    """Builders are found in this folder, as a user's are in theirs."""
    monkeypatch.chdir(HERE)


@pytest.fixture(scope="session")
def write_models(frameworks, tmp_path_factory):
    """Run a script of this folder that writes models into a new folder."""

    def write(script):
        folder = tmp_path_factory.mktemp(script)
        done = subprocess.run(
            [frameworks, HERE / f"{script}.py", folder], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return folder

    return write


@pytest.fixture(scope="session")
def tensorflow_models(write_models):
    """Models of every kind that TensorFlow has."""
    return write_models("tensorflow_models")


@pytest.fixture(scope="session")
def jax_models(write_models):
    """Weights of networks of JAX."""
    return write_models("jax_net")


@pytest.fixture(scope="session")
def diffusers_models(write_models):
    """A pipeline's folder and that of its network alone."""
    return write_models("diffusers_models")


@pytest.fixture
def convert(tmp_path, frameworks):
    """Convert by the tests' Python, and what there is to say about the result.

    Returns:
        callable: (model, **options) -> the session of onnxruntime and the metadata.
    """
    import onnxruntime as ort

    from sigpy_priors import importers

    def run(model, **options):
        options = {"python": frameworks} | options
        out = importers.convert(model, tmp_path / "o.onnx", **options)
        session = ort.InferenceSession(str(out))
        return session, session.get_modelmeta().custom_metadata_map

    return run
