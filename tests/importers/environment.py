"""A Python with every framework, for the tests alone.

    python tests/importers/environment.py     makes it where it is missing

It is kept outside the repository, by the versions in requirements.txt, and has
torch, numpy and onnx from the Python that runs the tests. About 2 GB.
"""

import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.io.cache import cache

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def home():
    """Folder of the environment for these versions and this Python."""
    text = REQUIREMENTS.read_text() + sys.version
    return cache() / f"importers-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def python():
    """The interpreter, made where it is missing.

    Returns:
        Path: the interpreter.

    Raises:
        RuntimeError: if it cannot be made, in one line.
    """
    folder = home()
    interpreter, done = folder / "bin" / "python", folder / "complete"
    here = sysconfig.get_paths()["purelib"]
    inside = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    pip = [
        sys.executable, "-m", "pip", "--python", str(interpreter), "install",
        "--quiet", "--disable-pip-version-check", "--no-compile",
        # Every version is stated, so there is nothing to resolve.
        "--no-deps", "-r", str(REQUIREMENTS), "-c", str(CONSTRAINTS),
    ]  # fmt: skip
    if not done.exists():
        print("installing TensorFlow, JAX and diffusers for the tests", flush=True)
        for command in ([sys.executable, "-m", "venv", "--without-pip", folder], pip):
            try:
                subprocess.run(command, check=True, capture_output=True, text=True)
            except (OSError, subprocess.CalledProcessError) as e:
                lines = (getattr(e, "stderr", "") or str(e)).strip().splitlines()
                raise RuntimeError(f"no frameworks for the tests: {lines[-1]}") from e
        done.touch()
    link = inside / "site-packages" / "tests.pth"
    if not link.exists() or link.read_text().strip() != here:
        write_atomic(link, lambda tmp: tmp.write_text(f"{here}\n"))
    return interpreter


if __name__ == "__main__":
    try:
        python()
    except RuntimeError as e:
        print(e, file=sys.stderr)
        sys.exit(1 if os.environ.get("CI") else 0)
