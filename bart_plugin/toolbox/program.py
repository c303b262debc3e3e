"""Which BART is used, and of what version it is.

Those that were built lie in a cache outside of any repository
(:func:`sigpy_priors.io.cache.cache`), beside the libraries that they load::

    <cache>/bart-1.0.00/bart
    <cache>/tensorflow-2.21.0/{lib,include}
    <cache>/torch-2.13.0 -> the torch of this Python, for TorchScript
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from sigpy_priors.io.cache import cache

__all__ = ["VERSIONS", "BartNotFound", "version_of", "cached", "find", "link_torch"]

# What can be built, in the order in which it is taken.
VERSIONS = ("1.0.00", "0.8.00")


class BartNotFound(RuntimeError):
    """There is no BART, or not the one that is needed."""


def version_of(bart: str | Path) -> str | None:
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


def cached(version: str) -> Path | None:
    """A BART that :func:`bart_plugin.toolbox.build` made, if it is there and runs.

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
            link_torch()
    return bart if version_of(bart) else None


def find() -> Path:
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
    on_path = shutil.which("bart")
    if on_path and version_of(on_path):
        return Path(on_path)
    raise BartNotFound(
        "no BART found (BART_TOOLBOX_PATH, PATH, cache): build one with "
        "'python -m bart_plugin build', which takes about 3 minutes."
    )


def link_torch() -> Path:
    """A path of this Python's torch that stays: BART 1.0.00 is linked to it.

    Returns:
        Path: a link in the cache, renewed where the virtual environment that it
        pointed to has gone.
    """
    import torch

    here = Path(torch.__file__).parent
    link = cache() / f"torch-{torch.__version__}"
    if not link.is_symlink() or not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(here)
    return link
