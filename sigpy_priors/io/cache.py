"""Where things are kept that are built once and used often."""

import os
from pathlib import Path

__all__ = ["cache"]


def cache() -> Path:
    """Folder of everything that is built, outside of any repository.

    Returns:
        Path: ``$SIGPY_PRIORS_CACHE``, or ``sigpy-priors`` in the user's cache.
    """
    base = os.environ.get("SIGPY_PRIORS_CACHE")
    if base:
        return Path(base)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sigpy-priors"
