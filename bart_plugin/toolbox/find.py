"""Find a BART, try what it can do, build one that knows TensorFlow.

A build takes BART's upstream source from Debian and TensorFlow's C library from
PyPI, links them, and leaves the program in a cache outside of any repository::

    <cache>/bart-1.0.00/bart
    <cache>/tensorflow-2.21.0/{lib,include}
    <cache>/torch -> the torch of this Python, for TorchScript

The cache is ``$SIGPY_PRIORS_CACHE``, else ``~/.cache/sigpy-priors``.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from sigpy_priors.io.cache import cache

__all__ = [
    "BartNotFound",
    "BuildError",
    "VERSIONS",
    "cache",
    "cached",
    "find",
    "version_of",
    "build",
    "install_pics",
    "uninstall_pics",
    "COMMANDS",
]

# Where stock BART 0.8.00 looks for a command before its own ones.
COMMANDS = Path("/usr/local/lib/bart/commands")

# Suites of Debian that have had the source of a version.
VERSIONS = {"1.0.00": ("sid", "forky"), "0.8.00": ("bookworm",)}
_TENSORFLOW = "2.21.0"
_HEADERS = {
    "fftw3.h": "libfftw3-dev",
    "lapacke.h": "liblapacke-dev",
    "png.h": "libpng-dev",
}
_TOOLS = {"gcc": "gcc", "g++": "g++", "make": "make"}
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Object files of a build, for its progress; near enough.
_OBJECTS = {"1.0.00": 480, "0.8.00": 330}


class BartNotFound(RuntimeError):
    """There is no BART, or not the one that is needed."""


class BuildError(RuntimeError):
    """A build stopped; the message says which piece is missing."""


def version_of(bart):
    """Version of a BART by asking it.

    Args:
        bart (str or Path): the program.

    Returns:
        str or None: such as "v1.0.00"; None if it does not run.
    """
    try:
        done = subprocess.run(
            [str(bart), "version"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"v\d+\.\d+\S*", done.stdout)
    return found.group() if found and done.returncode == 0 else None


def cached(version):
    """A BART that :func:`build` made, if it is there and runs.

    Args:
        version (str): one of ``VERSIONS``.

    Returns:
        Path or None: the program.
    """
    bart = cache() / f"bart-{version}" / "bart"
    if not bart.exists():
        return None
    if version == "1.0.00":
        with contextlib.suppress(OSError, ImportError):
            _link_torch()
    return bart if version_of(bart) else None


def find():
    """The BART that ``pics``, ``nlinv`` and ``sample`` use.

    In this order: ``$BART_TOOLBOX_PATH``, the one of ``build``, ``$PATH``.

    Returns:
        Path: the program.

    Raises:
        BartNotFound: with what to do.
    """
    folder = os.environ.get("BART_TOOLBOX_PATH")
    if folder:
        bart = Path(folder) / "bart"
        if version_of(bart):
            return bart
        raise BartNotFound(
            f"BART_TOOLBOX_PATH is {folder}, but {bart} does not run: set it to the "
            f"folder of a working bart, or unset it."
        )
    for version in VERSIONS:
        if bart := cached(version):
            return bart
    bart = shutil.which("bart")
    if bart and version_of(bart):
        return Path(bart)
    raise BartNotFound(
        "no BART found (BART_TOOLBOX_PATH, PATH, cache): build one with "
        "'python -m bart_plugin build', which takes about 3 minutes."
    )


# Building


def build(version="1.0.00", source=None, progress=print):
    """Build a BART that knows TensorFlow, 1.0.00 TorchScript too.

    Args:
        version (str): one of ``VERSIONS``.
        source (str or Path or None): upstream tarball; default from Debian.
        progress (callable): is told each step in one line.

    Returns:
        Path: the program; at once if it is built already.

    Raises:
        BuildError: if a piece is missing: which, and how to get it.
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
    with tempfile.TemporaryDirectory(dir=cache()) as work:
        work = Path(work)
        progress(f"[2/4] source of BART {version}")
        tarball = Path(source) if source else _debian_source(version, work)
        progress(f"[3/4] TensorFlow {_TENSORFLOW}")
        tensorflow = _tensorflow(work)
        progress(f"[4/4] compiling BART {version}, about two minutes")
        tree = work / "bart"
        tree.mkdir()
        _run(["tar", "xzf", str(tarball), "-C", str(tree), "--strip-components=1"],
             f"{tarball} is no BART source")  # fmt: skip
        options = ["TENSORFLOW=1", f"TENSORFLOW_BASE={tensorflow}"]
        if version != "0.8.00":
            options += ["PYTORCH=1", f"PYTORCH_BASE={_link_torch()}"]
        _make(tree, options, version, progress)
        folder = cache() / f"bart-{version}"
        folder.mkdir(exist_ok=True)
        # Renamed into place, so that a BART is there whole or not at all.
        shutil.copy2(tree / "bart", folder / "bart.part")
        os.replace(folder / "bart.part", folder / "bart")
    bart = cached(version)
    if bart is None:
        raise BuildError(f"{folder / 'bart'} was built but does not run.")
    progress(f"BART {version} is ready: {bart}")
    return bart


def _run(command, problem, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise BuildError(f"{problem}:\n{' '.join(command)}\n{tail}")
    return done.stdout


def _missing():
    packages = [p for tool, p in _TOOLS.items() if not shutil.which(tool)]
    for header, package in _HEADERS.items():
        places = [Path("/usr/include"), Path("/usr/local/include")]
        places += [p / "lapacke" for p in places]
        if not any((p / header).exists() for p in places):
            packages.append(package)
    return packages


def _need_tools(progress):
    missing = _missing()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        progress(f"      installing {' '.join(missing)}")
        _run(["apt-get", "update", "-q"], "the package lists cannot be updated")
        _run(
            ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing],
            "packages cannot be installed",
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        missing = _missing()
    if missing:
        raise BuildError(
            f"missing to build BART: {', '.join(missing)}. On Debian and Ubuntu: "
            f"apt-get install {' '.join(missing)}"
        )


def _debian_source(version, work):
    """Fetch the upstream tarball with an apt of its own: /etc stays as it is."""
    if not shutil.which("apt-get") or not Path(_KEYRING).exists():
        raise BuildError(
            "the source comes from Debian, but this is no Debian (no apt-get or no "
            "archive keyring): give the upstream tarball with --source."
        )
    uris = _run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"], "apt-get does not work"
    ).split()
    uris = [u for u in dict.fromkeys(uris) if re.search(r"/debian/?$", u)]
    if not uris:
        raise BuildError("apt-get knows no Debian mirror: give --source.")
    problem = None
    for suite in VERSIONS[version]:
        apt = work / f"apt-{suite}"
        for part in ("lists/partial", "cache/archives/partial", "parts", "source"):
            (apt / part).mkdir(parents=True)
        (apt / "sources.list").write_text(
            f"deb-src [signed-by={_KEYRING}] {uris[0]} {suite} main\n"
        )
        options = {
            "Dir::Etc::sourcelist": apt / "sources.list",
            "Dir::Etc::sourceparts": apt / "parts",
            "Dir::State::lists": apt / "lists",
            "Dir::Cache": apt / "cache",
            "APT::Sandbox::User": "root",
        }
        command = ["apt-get", "-q", *(f"-o{k}={v}" for k, v in options.items())]
        try:
            _run([*command, "update"], "Debian's mirror cannot be read: no network?")
            _run(
                [*command, "source", "--download-only", "bart"],
                f"Debian {suite} has no source of bart",
                cwd=apt / "source",
            )
        except BuildError as e:
            problem = e
            continue
        found = list((apt / "source").glob(f"bart_{version}*.orig.tar.*"))
        if found:
            return found[0]
        problem = f"Debian {suite} has another version by now"
    raise BuildError(f"{problem}\nGive the tarball of BART {version} with --source.")


def _tensorflow(work):
    """TensorFlow's C library and headers, laid out as BART's Makefile wants."""
    home = cache() / f"tensorflow-{_TENSORFLOW}"
    if (home / "lib" / "libtensorflow.so").exists():
        return home
    # Only the C library is used, so the wheel may be for another Python.
    wheel = [
        sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(work),
        "--only-binary=:all:", "--python-version", "3.11",
        f"tensorflow-cpu=={_TENSORFLOW}",
    ]  # fmt: skip
    _run(wheel, "tensorflow-cpu cannot be downloaded from PyPI: is there a network?")
    part = work / "tensorflow"
    (part / "lib").mkdir(parents=True)
    with zipfile.ZipFile(next(work.glob("tensorflow_cpu-*.whl"))) as wheel:
        for name in wheel.namelist():
            _, _, inside = name.partition("tensorflow/")
            if name.endswith("/"):
                continue
            if name.startswith("tensorflow/lib") and ".so" in name:
                if "/" in inside:
                    continue
                target = part / "lib" / inside
            elif inside.startswith("include/"):
                target = part / inside
            else:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(name) as src, open(target, "wb") as dst:
                shutil.copyfileobj(src, dst)
    # BART links -ltensorflow; the wheel has the C functions in another library.
    (part / "lib" / "libtensorflow.so").symlink_to("libtensorflow_cc.so.2")
    framework = "libtensorflow_framework.so"
    (part / "lib" / framework).symlink_to(f"{framework}.2")
    os.replace(part, home)
    return home


def _link_torch():
    """A stable path of this Python's torch, which a virtual environment is not."""
    import torch

    here = Path(torch.__file__).parent
    link = cache() / f"torch-{torch.__version__}"
    if not link.is_symlink() or not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(here)
    return link


def _make(tree, options, version, progress):
    command = ["make", f"-j{os.cpu_count() or 1}", "bart", *options]
    log, done, told = [], 0, 0
    with subprocess.Popen(
        command, cwd=tree, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as make:
        for line in make.stdout:
            log.append(line)
            done += " -c " in line
            percent = min(99, 100 * done // _OBJECTS[version])
            if percent >= told + 10:
                told = percent - percent % 10
                progress(f"      {told} %")
    if make.returncode:
        errors = [x for x in log if "error" in x.lower() or "undefined" in x] or log
        raise BuildError(f"BART {version} does not compile:\n{''.join(errors[-8:])}")


# A pics with TensorFlow for stock BART 0.8.00


def install_pics(folder=COMMANDS):
    """Put a TensorFlow-enabled ``pics`` where stock BART 0.8.00 tries it first.

    Args:
        folder (Path): where that BART looks for commands.

    Returns:
        Path: the link that was made.

    Raises:
        BuildError: if there is no build of 0.8.00, the place is taken by
            something else, or may not be written.
    """
    bart = cached("0.8.00")
    if bart is None:
        raise BuildError(
            "there is no TensorFlow-enabled BART 0.8.00 yet: "
            "python -m bart_plugin build --version 0.8.00"
        )
    link = Path(folder) / "pics"
    if link.exists() and not _ours(link):
        raise BuildError(f"{link} is there already and not ours: move it away first.")
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        # BART runs the command that it is called by, so a link is enough.
        link.symlink_to(bart)
    except PermissionError:
        raise BuildError(f"{link} may not be written: run this as root.") from None
    return link


def uninstall_pics(folder=COMMANDS):
    """Take away what :func:`install_pics` put there.

    Returns:
        bool: whether there was anything.
    """
    link = Path(folder) / "pics"
    if not _ours(link):
        return False
    try:
        link.unlink()
    except PermissionError:
        raise BuildError(f"{link} may not be removed: run this as root.") from None
    return True


def _ours(link):
    return link.is_symlink() and "sigpy-priors" in os.readlink(link) or (
        link.is_symlink() and Path(os.readlink(link)).is_relative_to(cache())
    )
