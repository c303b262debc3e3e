"""ONNX out and in: priors for any runtime, and any network as a prior.

``export.py`` writes files (``gradient.py`` the derivative of a density), ``load.py``
makes priors of them. A file runs in onnxruntime (``runtime.py``) or, where
derivatives, double precision or a trace for BART are wanted, node by node in torch
(``interpreter.py``, ``ops*.py``). ``adapter.py`` goes between a network's conventions
and ours.
"""

import contextlib
import logging

from sigpy_priors.onnx.export import export_onnx
from sigpy_priors.onnx.load import load_onnx

__all__ = ["export_onnx", "load_onnx", "quiet", "require"]


def require(*names):
    """Import optional packages, or say which extra brings them.

    Args:
        names (str): modules.

    Returns:
        list of module: one for each name.

    Raises:
        ImportError: naming the extra to install.
    """
    from importlib import import_module

    try:
        return [import_module(name) for name in names]
    except ImportError as e:
        raise ImportError(
            f"ONNX files need {' and '.join(names)} ({e}): "
            f"pip install 'sigpy-priors[onnx]'."
        ) from e


@contextlib.contextmanager
def quiet(name):
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
