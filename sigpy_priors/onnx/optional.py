"""The packages of the extra ``onnx``, and their chatter."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from sigpy_priors.backend import extras

__all__ = ["quiet", "require"]


def require(*names: str) -> list[Any]:
    """Import packages of the extra, or say how to install it.

    Args:
        *names (str): modules.

    Returns:
        list of module: one for each name.

    Raises:
        ImportError: naming the extra.
    """
    return extras.require(*names, extra="onnx")


@contextlib.contextmanager
def quiet(name: str) -> Iterator[None]:
    """Only errors from a logger, for the time of a ``with``.

    Args:
        name (str): the logger.
    """
    log = logging.getLogger(name)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
