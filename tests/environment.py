"""Pythons with the packages of others, for the tests alone.

    python tests/environment.py     makes them where they are missing

They are kept outside the repository, by the versions in requirements.txt of the
tests that want them, and have torch, numpy and onnx from the Python that runs the
tests: "importers" TensorFlow, JAX and diffusers, about 2 GB, "interop" deepinv, MRpro,
mri-nufft and bartorch, 0.4 GB.
"""

import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.io.cache import cache

TESTS = Path(__file__).parent
CONSTRAINTS = TESTS.parent / "constraints.txt"
NAMES = ("importers", "interop")


def home(name):
    """Folder of the environment for these versions and this Python."""
    text = requirements(name).read_text() + sys.version
    return cache() / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def requirements(name):
    """The versions that an environment has."""
    return TESTS / name / "requirements.txt"


def python(name):
    """The interpreter, made where it is missing.

    Args:
        name (str): of the folder of tests that want it.

    Returns:
        Path: the interpreter.

    Raises:
        RuntimeError: if it cannot be made, in one line.
    """
    folder = home(name)
    interpreter, done = folder / "bin" / "python", folder / "complete"
    here = sysconfig.get_paths()["purelib"]
    inside = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    pip = [
        sys.executable, "-m", "pip", "--python", str(interpreter), "install",
        "--quiet", "--disable-pip-version-check", "--no-compile",
        # Every version is stated, so there is nothing to resolve.
        "--no-deps", "-r", str(requirements(name)), "-c", str(CONSTRAINTS),
    ]  # fmt: skip
    if not done.exists():
        print(f"installing what the tests in tests/{name} are about", flush=True)
        for command in ([sys.executable, "-m", "venv", "--without-pip", folder], pip):
            try:
                subprocess.run(command, check=True, capture_output=True, text=True)
            except (OSError, subprocess.CalledProcessError) as e:
                lines = (getattr(e, "stderr", "") or str(e)).strip().splitlines()
                raise RuntimeError(f"no packages for tests/{name}: {lines[-1]}") from e
        done.touch()
    link = inside / "site-packages" / "tests.pth"
    if not link.exists() or link.read_text().strip() != here:
        write_atomic(link, lambda tmp: tmp.write_text(f"{here}\n"))
    return interpreter


if __name__ == "__main__":
    failed = False
    for of_tests in NAMES:
        try:
            python(of_tests)
        except RuntimeError as e:
            failed = True
            print(e, file=sys.stderr)
    sys.exit(1 if failed and os.environ.get("CI") else 0)
