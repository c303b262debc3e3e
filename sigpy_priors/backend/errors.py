"""What really went wrong, where SigPy has wrapped it, and in one line."""

from __future__ import annotations

__all__ = ["describe", "unwrap"]


def unwrap(error: BaseException) -> BaseException:
    """The error that was raised inside SigPy's operators.

    A Linop or Prox that fails raises ``RuntimeError("Exceptions from <...>")``,
    one around the other where they are composed; what happened is only in the
    innermost cause.

    Args:
        error (BaseException): as it was caught.

    Returns:
        BaseException: the cause within all wrappers, or ``error`` itself.
    """
    while (
        type(error) is RuntimeError
        and str(error).startswith("Exceptions from ")
        and error.__cause__ is not None
    ):
        error = error.__cause__
    return error


def describe(error: BaseException) -> str:
    """An error in one line.

    Args:
        error (BaseException): as it was caught.

    Returns:
        str: where it was (its notes), its type where its text alone would say
        little, and its text.
    """
    error = unwrap(error)
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        text = f"out of memory ({text})" if text else "out of memory"
    elif not text or not isinstance(error, ValueError | OSError | ImportError):
        text = f"{type(error).__name__}: {text}".removesuffix(": ")
    return ": ".join([*getattr(error, "__notes__", []), text])
