"""Build a BART that knows TensorFlow, from Debian's source and PyPI's library.

The upstream source is that of Debian's package, and TensorFlow's C library that of
the wheel on PyPI; what is fetched has known digests, and what is made goes into the
cache of :mod:`bart_plugin.toolbox.program`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bart_plugin.toolbox.program import VERSIONS, cached, link_torch
from sigpy_priors.io.cache import cache

__all__ = ["BuildError", "build"]

# Suites of Debian that have had the source of a version.
_SUITES = {"1.0.00": ("sid", "forky"), "0.8.00": ("bookworm",)}
_TENSORFLOW = "2.21.0"
# SHA-256 of everything that is fetched: the tarballs of Debian's bart, whose packages
# are signed as well, and the wheel tensorflow-cpu 2.21.0 for CPython 3.11 on x86-64.
_SHA256 = {
    "bart 1.0.00": "05eb050759436cb183d8c576a88967ad9d3a987270e68dcdb78663ba4d7ef1e0",
    "bart 0.8.00": "9e0491862f740bde596e1e745bcd319c750153103172b8ca5cef87d0096962f4",
    "tensorflow": "2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c",
}
_HEADERS = {
    "fftw3.h": "libfftw3-dev",
    "lapacke.h": "liblapacke-dev",
    "png.h": "libpng-dev",
}
_TOOLS = {"gcc": "gcc", "g++": "g++", "make": "make"}
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Object files of a build, for its progress; near enough.
_OBJECTS = {"1.0.00": 480, "0.8.00": 330}


class BuildError(RuntimeError):
    """A build stopped; the message says which piece is missing."""


def build(
    version: str = "1.0.00",
    source: str | Path | None = None,
    progress: Callable[[str], None] = print,
) -> Path:
    """Build a BART that knows TensorFlow, 1.0.00 TorchScript too.

    Args:
        version (str): one of ``VERSIONS``.
        source (str or Path or None): upstream tarball; default from Debian. It is
            trusted, and one that is not Debian's is said.
        progress (callable): is told each step in one line.

    Returns:
        Path: the program; at once if it is built already.

    Raises:
        BuildError: if a piece is missing: which, and how to get it; or what was
            fetched is not what it was.
    """
    if version not in VERSIONS:
        raise BuildError(
            f"unknown version {version!r}, known are {', '.join(VERSIONS)}."
        )
    if bart := cached(version):
        progress(f"BART {version} is built already: {bart}")
        return bart
    cache().mkdir(parents=True, exist_ok=True)
    progress("[1/4] compiler and libraries")
    _need_tools(progress)
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        work = Path(folder)
        progress(f"[2/4] source of BART {version}")
        tarball = Path(source) if source else _debian_source(version, work)
        if source and _sha256(tarball) != _SHA256[f"bart {version}"]:
            progress(f"      {tarball} is not Debian's tarball of BART {version}")
        progress(f"[3/4] TensorFlow {_TENSORFLOW}")
        options = ["TENSORFLOW=1", f"TENSORFLOW_BASE={_tensorflow(work)}"]
        if version != "0.8.00":
            options += ["PYTORCH=1", f"PYTORCH_BASE={link_torch()}"]
        progress(f"[4/4] compiling BART {version}, about two minutes")
        tree = work / "bart"
        tree.mkdir()
        unpack = ["tar", "xzf", str(tarball), "-C", str(tree), "--strip-components=1"]
        _run(unpack, f"{tarball} is no BART source")
        _make(tree, options, version, progress)
        _put_in_place(tree / "bart", version)
    bart = cached(version)
    if bart is None:
        raise BuildError(f"BART {version} was built but does not run.")
    progress(f"BART {version} is ready: {bart}")
    return bart


def _put_in_place(built: Path, version: str) -> None:
    """Rename it into the cache, so that a BART is there whole or not at all."""
    folder = cache() / f"bart-{version}"
    folder.mkdir(exist_ok=True)
    shutil.copy2(built, folder / "bart.part")
    os.replace(folder / "bart.part", folder / "bart")


def _sha256(file: Path) -> str:
    if not file.is_file():
        raise BuildError(f"{file}: no such file; give the tarball of BART's source.")
    with open(file, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _check(file: Path, what: str) -> Path:
    """Refuse what was fetched and has another digest."""
    got = _sha256(file)
    if got != _SHA256[what]:
        raise BuildError(
            f"{file.name} is not the {what} that is known: got SHA-256 {got}, expected "
            f"{_SHA256[what]}; is this another platform, or a mirror that was changed?"
        )
    return file


def _run(command: list[str], problem: str, **kwargs: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise BuildError(f"{problem}:\n{' '.join(command)}\n{tail}")
    return done.stdout


# Compiler and libraries


def _missing_packages() -> list[str]:
    packages = [p for tool, p in _TOOLS.items() if not shutil.which(tool)]
    for header, package in _HEADERS.items():
        places = [Path("/usr/include"), Path("/usr/local/include")]
        places += [p / "lapacke" for p in places]
        if not any((p / header).exists() for p in places):
            packages.append(package)
    return packages


def _need_tools(progress: Callable[[str], None]) -> None:
    missing = _missing_packages()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        progress(f"      installing {' '.join(missing)}")
        _run(["apt-get", "update", "-q"], "the package lists cannot be updated")
        _run(
            ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing],
            "packages cannot be installed",
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        missing = _missing_packages()
    if missing:
        raise BuildError(
            f"missing to build BART: {', '.join(missing)}. On Debian and Ubuntu: "
            f"apt-get install {' '.join(missing)}"
        )


# The source of BART


def _debian_source(version: str, work: Path) -> Path:
    """Fetch the upstream tarball with an apt of its own: /etc stays as it is."""
    if not shutil.which("apt-get") or not Path(_KEYRING).exists():
        raise BuildError(
            "the source comes from Debian, but this is no Debian (no apt-get or no "
            "archive keyring): give the upstream tarball with --source."
        )
    mirror = _debian_mirror()
    problem: object = None
    for suite in _SUITES[version]:
        try:
            folder = _fetch_source(mirror, suite, work / f"apt-{suite}")
        except BuildError as e:
            problem = e
            continue
        found = list(folder.glob(f"bart_{version}*.orig.tar.*"))
        if found:
            return _check(found[0], f"bart {version}")
        problem = f"Debian {suite} has another version by now"
    raise BuildError(f"{problem}\nGive the tarball of BART {version} with --source.")


def _debian_mirror() -> str:
    """The one that this machine's apt uses."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    uris = _run(command, "apt-get does not work").split()
    uris = [u for u in uris if re.search(r"/debian/?$", u)]
    if not uris:
        raise BuildError("apt-get knows no Debian mirror: give --source.")
    return uris[0]


def _fetch_source(mirror: str, suite: str, apt: Path) -> Path:
    """Download the source package of a suite; returns the folder it is in."""
    for part in ("lists/partial", "cache/archives/partial", "parts", "source"):
        (apt / part).mkdir(parents=True)
    (apt / "sources.list").write_text(
        f"deb-src [signed-by={_KEYRING}] {mirror} {suite} main\n"
    )
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": apt / "parts",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
    }
    command = ["apt-get", "-q", *(f"-o{k}={v}" for k, v in options.items())]
    _run([*command, "update"], "Debian's mirror cannot be read: no network?")
    _run(
        [*command, "source", "--download-only", "bart"],
        f"Debian {suite} has no source of bart",
        cwd=apt / "source",
    )
    return apt / "source"


# TensorFlow's C library


def _tensorflow(work: Path) -> Path:
    """TensorFlow's C library and headers, laid out as BART's Makefile wants."""
    home = cache() / f"tensorflow-{_TENSORFLOW}"
    if (home / "lib" / "libtensorflow.so").exists():
        return home
    # Only the C library is used, so the wheel may be for another Python.
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    command += ["-d", str(work), "--only-binary=:all:", "--python-version", "3.11"]
    command += [f"tensorflow-cpu=={_TENSORFLOW}"]
    _run(command, "tensorflow-cpu cannot be downloaded from PyPI: is there a network?")
    part = work / "tensorflow"
    (part / "lib").mkdir(parents=True)
    wheel = next(work.glob("tensorflow_cpu-*.whl"))
    _unpack_library(_check(wheel, "tensorflow"), part)
    # BART links -ltensorflow; the wheel has the C functions in another library.
    (part / "lib" / "libtensorflow.so").symlink_to("libtensorflow_cc.so.2")
    framework = "libtensorflow_framework.so"
    (part / "lib" / framework).symlink_to(f"{framework}.2")
    os.replace(part, home)
    return home


def _unpack_library(wheel: Path, folder: Path) -> None:
    """Libraries and headers of a wheel, nothing outside of the folder."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            place = _place(name)
            if place is None:
                continue
            target = folder / place
            if not target.resolve().is_relative_to(folder.resolve()):
                raise BuildError(f"{wheel.name} has an entry outside of it: {name}.")
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file)


def _place(name: str) -> str | None:
    """Where an entry of the wheel goes, if it is wanted."""
    _, _, inside = name.partition("tensorflow/")
    if name.endswith("/"):
        return None
    if name.startswith("tensorflow/lib") and ".so" in name:
        return None if "/" in inside else f"lib/{inside}"
    return inside if inside.startswith("include/") else None


# Compiling


def _make(
    tree: Path, options: list[str], version: str, progress: Callable[[str], None]
) -> None:
    command = ["make", f"-j{os.cpu_count() or 1}", "bart", *options]
    log, compiled, shown = [], 0, 0
    with subprocess.Popen(
        command, cwd=tree, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as make:
        for line in make.stdout or ():
            log.append(line)
            compiled += " -c " in line
            percent = min(99, 100 * compiled // _OBJECTS[version])
            if percent >= shown + 10:
                shown = percent - percent % 10
                progress(f"      {shown} %")
    if make.returncode:
        errors = [x for x in log if "error" in x.lower() or "undefined" in x] or log
        raise BuildError(f"BART {version} does not compile:\n{''.join(errors[-8:])}")
