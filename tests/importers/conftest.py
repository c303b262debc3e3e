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
        return environment.python("importers")
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


@pytest.fixture(scope="session")
def servers():
    """Processes that do conversions, by interpreter and script."""
    started = {}
    yield started
    for server in started.values():
        server.stdin.close()
        server.wait()


@pytest.fixture
def served(servers, monkeypatch):
    """Conversions of all tests in one process for each framework: importing one
    takes longer than converting a small network."""
    run = subprocess.run

    def serve(command, **options):
        python, script, *folders = map(str, command)
        if not Path(script).name.startswith("from_"):
            return run(command, **options)
        key = python, script
        if key not in servers or servers[key].poll() is not None:
            servers[key] = subprocess.Popen(
                [python, HERE / "serve.py", script], cwd=HERE, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        print(*folders, file=servers[key].stdin, flush=True)
        servers[key].stdout.readline()
        return subprocess.CompletedProcess(command, servers[key].poll(), "")

    monkeypatch.setattr(subprocess, "run", serve)


@pytest.fixture
def convert(tmp_path, frameworks, served):
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
