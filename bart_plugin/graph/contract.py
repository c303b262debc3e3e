"""Every name, shape, unit and version rule of BART's graph interfaces.

Measured on BART 0.8.00 and 1.0.00; each row is tested against the real
program in ``tests/bart``. This is the only file with the names of BART's tensors.

Axes. BART's dimension 0 (X) is the last axis of a SigPy image (..., H, W) and
the last spatial axis of a TensorFlow tensor, so an image (H, W) has BART
dimensions (W, H) and a graph for it [1, H, W, 2]: the three agree in memory.

Units. ``pics`` divides the image by s, its greatest magnitude over *all* of the
array, feeds u = x / s and returns s (u - tau lamda G(u)) with tau its step
(``-s``, 0.95 if not given, lamda / rho in ADMM). An image of zeros comes back
as zeros. Noise levels inside a graph are those of :mod:`sigpy_priors.priors.base`.

Calls. For each proximal step BART runs the session twice, for the output (only
printed) and then for the gradient. ``RESTORE`` runs once, after loading.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bart_plugin.graph.protobuf import GraphError, read_graph

__all__ = [
    "KINDS",
    "ALGORITHMS",
    "IMAGE",
    "WEIGHT",
    "SIGMA",
    "OUTPUT",
    "GRADIENTS",
    "SAVE",
    "RESTORE",
    "TENSORS",
    "FEATURES",
    "MAPS_DIM",
    "SLICE_DIM",
    "Tensor",
    "Feature",
    "image_shape",
    "sample_shape",
    "bart_dims",
    "check_graph",
    "centre_phase",
    "stated_shape",
    "version",
]

KINDS = ("pics", "nlinv", "sample")

# Of pics, that know -R TF:.
ALGORITHMS = ("admm", "fista", "ist")

# Dimensions of a BART array that hold ESPIRiT maps and slices.
MAPS_DIM, SLICE_DIM = 4, 13

# pics and nlinv: real and imaginary part of u, [..., Y, X, 2], of which 0.8.00
# compares only the number of elements, 1.0.00 all dimensions. sample: noisy images
# [-1, Y, X, 2], -1 being the number of samples.
IMAGE = "input_0"
# pics and nlinv: [2], fed with 1 + 0i.
WEIGHT = "grad_ys_0"
# sample: [-1, 2], sigma + 0i, E|n|^2 = sigma^2.
SIGMA = "input_1"
# pics and nlinv: the loss, [2], only printed; for a denoiser a constant, which saves
# a pass of the network. sample: E[x0 | x0 + n = x], [-1, Y, X, 2].
OUTPUT = "output_0"
# pics and nlinv: G(u), like u; the second is the name that newer versions look for.
GRADIENTS = ("grad_0", "grad_0_0")
# 0.8.00 crashes without these two; the second is run once after loading.
SAVE = "save/Const"
RESTORE = "save/restore_all"


class Tensor(NamedTuple):
    """A node that BART looks up by name.

    Attributes:
        name (str): of the node.
        kinds (tuple of str): graphs that must have it.
        ops (tuple of str): what it may be.
    """

    name: str
    kinds: tuple[str, ...]
    ops: tuple[str, ...]


_PROX = ("pics", "nlinv")
TENSORS = (
    Tensor(IMAGE, KINDS, ("Placeholder",)),
    Tensor(WEIGHT, _PROX, ("Placeholder",)),
    Tensor(SIGMA, ("sample",), ("Placeholder",)),
    Tensor(OUTPUT, _PROX, ("Const", "Identity")),
    Tensor(OUTPUT, ("sample",), ("Identity",)),
    *(Tensor(name, _PROX, ("Identity",)) for name in GRADIENTS),
    Tensor(SAVE, _PROX, ("Const",)),
    Tensor(RESTORE, _PROX, ("NoOp",)),
)


class Feature(NamedTuple):
    """Something that a BART can do or not.

    Attributes:
        name (str): as the command line has it.
        since (str): version.
        needs (str): option of BART's build.
        rule (str): what to know of it.
    """

    name: str
    since: str
    needs: str
    rule: str


FEATURES = (
    Feature("pics -R TF:", "0.8.00", "TENSORFLOW=1", "{graph without .pb}:lamda"),
    Feature("nlinv -R TF:", "1.0.00", "TENSORFLOW=1", "older ones have another -R"),
    Feature("sample .pb", "1.0.00", "TENSORFLOW=1", "--external-graph without .pb"),
    Feature("sample .pt", "1.0.00", "PYTORCH=1", "--external-graph with .pt"),
    Feature("--fista_last", "1.0.00", "", "ends on the gradient step, as in 0.8.00"),
)


def version(text: str) -> tuple[int, ...]:
    """Version of a BART as numbers that compare.

    Args:
        text (str): such as "v1.0.00-3-gabcdef".

    Returns:
        tuple of int: (1, 0, 0).

    Raises:
        ValueError: if there is no version in it.
    """
    found = re.search(r"v?(\d+)\.(\d+)\.?(\d*)", text)
    if not found:
        raise ValueError(f"{text!r} is no BART version, expected such as 'v1.0.00'.")
    return tuple(int(n or 0) for n in found.groups())


def centre_phase(shape: Sequence[int]) -> np.ndarray:
    """What k-space must be multiplied by for ``pics`` before 1.0.00.

    Those versions modulate k-space with the conjugate of what centres the FFT:
    an image comes back with the wrong sign if half of an even size is odd, and
    with a phase ramp, which a prior does not expect, if a size is odd.

    Args:
        shape (sequence of int): (H, W).

    Returns:
        array: shape (H, W), of magnitude 1.
    """
    turns = np.zeros(())
    for n in shape:
        ramp = (np.arange(n) - (n // 2) / 2) * (n // 2) / n
        turns = np.add.outer(turns, 2 * ramp)
    return np.exp(-2j * np.pi * turns)


def image_shape(
    shape: Sequence[int], slices: int = 1, maps: int = 1
) -> tuple[int, ...]:
    """Shape of ``IMAGE`` for images of ``pics`` and ``nlinv``.

    Args:
        shape (sequence of int): (H, W).
        slices (int): slices in BART's dimension 13.
        maps (int): sets of ESPIRiT maps, BART's dimension 4.

    Returns:
        tuple of int: [..., H, W, 2] with as many axes as BART compares.

    Raises:
        ValueError: if a size is no positive integer.
    """
    shape = tuple(shape)
    sizes = (*shape, slices, maps)
    if len(shape) != 2 or any(int(n) != n or n < 1 for n in sizes):
        raise ValueError(
            f"expected shape (H, W) and numbers of slices and maps, all >= 1, got "
            f"shape {shape}, slices {slices}, maps {maps}."
        )
    axes = {1: shape[0], 0: shape[1], MAPS_DIM: maps, SLICE_DIM: slices}
    last = max([2] + [d for d, n in axes.items() if n > 1])
    return tuple(int(axes.get(d, 1)) for d in range(last, -1, -1)) + (2,)


def sample_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Shape of ``IMAGE`` for ``sample``: any number of images.

    Args:
        shape (sequence of int): (H, W).

    Returns:
        tuple of int: [-1, H, W, 2].
    """
    return (-1, *image_shape(shape)[-3:])


def bart_dims(graph_shape: Sequence[int]) -> tuple[int, ...]:
    """BART's dimensions of an array with the shape of ``IMAGE``."""
    return tuple(reversed(graph_shape[:-1]))


def stated_shape(path: str | Path) -> tuple[int, ...]:
    """Shape of ``IMAGE`` that a graph was exported for.

    Args:
        path (str or Path): a ``.pb`` file that :func:`check_graph` accepts.

    Returns:
        tuple of int: [..., H, W, 2]; -1 is any number.
    """
    return read_graph(path)[IMAGE][1] or ()


def check_graph(
    path: str | Path, kind: str, shape: Sequence[int] | None = None
) -> None:
    """Check that a file is a graph BART can load, before BART tries.

    BART 0.8.00 crashes on a missing node and accepts a transposed image.

    Args:
        path (str or Path): the ``.pb`` file.
        kind (str): one of ``KINDS``.
        shape (sequence of int or None): shape ``IMAGE`` must have.

    Raises:
        GraphError: what is wrong, and what to do.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}.")
    nodes = read_graph(path)
    rows = [t for t in TENSORS if kind in t.kinds]
    missing = [t.name for t in rows if t.name not in nodes]
    if missing:
        raise GraphError(
            f"{path}: no graph for bart {kind}: it lacks {', '.join(missing)}. "
            f"Export it with kind={kind!r}."
        )
    for t in rows:
        if nodes[t.name][0] not in t.ops:
            raise GraphError(
                f"{path}: {t.name} is a {nodes[t.name][0]}, expected "
                f"{' or '.join(t.ops)}: not written by this package, or altered. "
                f"Export it again."
            )
    found = nodes[IMAGE][1] or ()
    if shape is not None and not _fits(found, tuple(shape)):
        raise GraphError(
            f"{path}: the graph was exported for images {list(found[:-1])} (axes "
            f"from last to first of BART's {bart_dims(found)}), but the image is "
            f"{list(shape[:-1])}. Export it with shape={tuple(shape[-3:-1])}."
        )


def _fits(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(found) == len(shape) and all(a in (-1, b) for a, b in zip(found, shape))
