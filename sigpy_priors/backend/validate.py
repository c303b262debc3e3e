"""Arguments that are what they should be, or an error that names them."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import sigpy as sp

__all__ = [
    "check_choice",
    "check_count",
    "check_finite",
    "check_image",
    "check_number",
    "check_path",
    "check_result",
    "check_shape",
]


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) < 60 else f"{text[:56]} ..."


def check_number(
    name: str, value: Any, low: float = 0.0, strict: bool = False
) -> float:
    """A finite real number.

    Args:
        name (str): of the argument, for the message.
        value (object): what was given; arrays of one number are one.
        low (float): the least that it may be.
        strict (bool): whether it must be larger than that.

    Returns:
        float: the number.

    Raises:
        ValueError: if it is something else.
    """
    number = math.nan
    if isinstance(value, numbers.Real) or (
        getattr(value, "ndim", None) == 0 and "complex" not in str(value.dtype)
    ):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
    if not math.isfinite(number) or number < low or (strict and number == low):
        sign = ">" if strict else ">="
        raise ValueError(
            f"{name} must be {sign} {low:g} and finite, got {_short(value)}."
        )
    return number


def check_count(name: str, value: Any, low: int = 1, high: int = 2**31 - 1) -> int:
    """A whole number.

    Args:
        name (str): of the argument, for the message.
        value (object): what was given.
        low (int): the least that it may be.
        high (int): the greatest that it may be.

    Returns:
        int: the number.

    Raises:
        ValueError: if it is something else.
    """
    number: Any = value
    whole = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not whole or not low <= number <= high or number != int(number):
        raise ValueError(
            f"{name} must be a whole number >= {low}, got {_short(value)}."
        )
    return int(number)


def check_shape(name: str, value: Any, least: int = 2) -> tuple[int, ...]:
    """The shape of an image.

    Args:
        name (str): of the argument, for the message.
        value (object): what was given.
        least (int): fewest axes.

    Returns:
        tuple of int: sizes > 0.

    Raises:
        ValueError: if it is something else.
    """
    sizes: tuple[Any, ...] = ()
    if isinstance(value, tuple | list) or getattr(value, "ndim", 0) == 1:
        sizes = tuple(value)
    if len(sizes) < least or not all(
        isinstance(n, numbers.Integral) and int(n) > 0 for n in sizes
    ):
        axes = "..., H, W" if least == 2 else ", ".join("n" * least)
        raise ValueError(
            f"{name}: expected the shape of an image, whole numbers ({axes}) > 0, got "
            f"{_short(value)}."
        )
    return tuple(int(n) for n in sizes)


def check_path(name: str, value: Any) -> Path:
    """The name of a file.

    Args:
        name (str): of the argument, for the message.
        value (object): what was given.

    Returns:
        Path: the name.

    Raises:
        ValueError: if it is neither a text nor a path, is empty or has a NUL.
    """
    text = value if isinstance(value, str) else None
    if isinstance(value, os.PathLike):
        text = os.fspath(value)
    if not isinstance(text, str) or not text or "\0" in text or not Path(text).name:
        raise ValueError(f"{name}: expected the name of a file, got {_short(value)}.")
    return Path(text)


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """One of several words.

    Args:
        name (str): of the argument, for the message.
        value (object): what was given.
        choices (collection of str): what it may be.

    Returns:
        str: the word.

    Raises:
        ValueError: if it is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(choices)}, got {_short(value)}."
        )
    return value


def check_image(name: str, value: Any, ndim: int | None = None) -> np.ndarray:
    """A finite image on the CPU, real or complex.

    Args:
        name (str): of the argument, for the message.
        value (array): what was given, numpy or cupy.
        ndim (int or None): number of its axes.

    Returns:
        array: numpy.

    Raises:
        ValueError: if it is no array of numbers, empty, of another dimension, or has
            NaN or infinite values.
    """
    import sigpy as sp

    if not hasattr(value, "dtype") or value.dtype.kind not in "biufc":
        raise ValueError(f"{name}: expected an array of numbers, got {_short(value)}.")
    value = sp.to_device(value, sp.cpu_device)
    if 0 in value.shape or (ndim is not None and value.ndim != ndim):
        axes = {2: "(H, W)", 3: "(N, H, W)"}.get(
            ndim or 0, "an image that is not empty"
        )
        raise ValueError(f"{name}: expected {axes}, got shape {value.shape}.")
    bad = value.size - int(np.isfinite(value).sum())
    if bad:
        raise ValueError(
            f"{name}: {bad} of {value.size} values are NaN or infinite, expected none."
        )
    return value


def check_finite(name: str, value: Any, advice: str = "expected none.") -> None:
    """Refuse NaN and infinite values, where looking for them does not wait for a GPU.

    Args:
        name (str): of the argument, for the message.
        value (array): numpy, cupy or torch.
        advice (str): how the message ends.

    Raises:
        ValueError: if there are any, on the CPU and outside of traces.
    """
    module = type(value).__module__.partition(".")[0]
    if module == "numpy":
        bad = not np.isfinite(value).all()
    elif module == "torch" and value.device.type == "cpu" and not _traced(value):
        bad = not bool(value.detach().isfinite().all())
    else:
        return
    if bad:
        raise ValueError(f"{name} has NaN or infinite values, {advice}")


def check_result(image: Any, why: str) -> None:
    """Refuse to give away an image that is not finite, on any device.

    Args:
        image (array): numpy or cupy.
        why (str): how the message ends: after what, and what may be the cause.

    Raises:
        FloatingPointError: with the number of NaN and infinite values.
    """
    bad = image.size - int(sp.get_array_module(image).isfinite(image).sum())
    if bad:
        raise FloatingPointError(
            f"the image has {bad} values that are not finite {why}."
        )


def _traced(tensor: Any) -> bool:
    """Whether a tensor stands for others, so that its values are not known."""
    import torch as public

    torch: Any = public  # torch has no public question for the last two
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))
        or bool(torch._is_functional_tensor(tensor))
    )
