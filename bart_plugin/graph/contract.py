"""Every name, shape, unit and version rule of BART's graph interfaces.

Measured on BART 0.8.00 and 1.0.00; each row is tested against the real
program in ``tests/bart``. Nothing else in this package knows a tensor by name.

Axes. BART's dimension 0 (X) is the last axis of a SigPy image (..., H, W) and
the last spatial axis of a TensorFlow tensor, so an image (H, W) has BART
dimensions (W, H) and a graph for it [1, H, W, 2]: the three agree in memory.

Units. ``pics`` divides the image by s, its greatest magnitude over *all* of the
array, feeds u = x / s and returns s (u - tau lamda G(u)) with tau its step
(``-s``, 0.95 if not given, lamda / rho in ADMM). An image of zeros comes back
as zeros. Noise levels inside a graph are those of :mod:`sigpy_priors.priors.base`.

Calls. For each proximal step BART runs the session twice, for ``output_0``
(only printed) and then for the gradient. ``save/restore_all``
runs once, after loading.
"""

import re
from typing import NamedTuple

import numpy as np

from bart_plugin.graph.protobuf import GraphError, read_graph

__all__ = [
    "KINDS",
    "ALGORITHMS",
    "TENSORS",
    "FEATURES",
    "STEP",
    "Tensor",
    "Feature",
    "image_shape",
    "bart_dims",
    "check_graph",
    "centre_phase",
    "version",
]

KINDS = ("pics", "nlinv", "sample")

# Of pics, that know -R TF:.
ALGORITHMS = ("admm", "fista", "ist")

# Step size of FISTA in pics where -s is not given.
STEP = 0.95

# Dimensions of a BART array that hold ESPIRiT maps and slices.
MAPS_DIM, SLICE_DIM = 4, 13


class Tensor(NamedTuple):
    """A node that BART looks up by name."""

    name: str
    kinds: tuple
    op: str
    shape: str
    since: str
    meaning: str


_PROX = ("pics", "nlinv")
TENSORS = (
    Tensor("input_0", _PROX, "Placeholder", "[...,Y,X,2]", "0.8.00",
           "u, real and imaginary part; 0.8.00 compares only the number of "
           "elements, 1.0.00 all dimensions"),
    Tensor("grad_ys_0", _PROX, "Placeholder", "[2]", "0.8.00", "fed with 1 + 0i"),
    Tensor("output_0", _PROX, "Const or Identity", "[2]", "0.8.00",
           "the loss, only printed; for a denoiser a constant, which saves a pass "
           "of the network"),
    Tensor("grad_0", _PROX, "Identity", "as input_0", "0.8.00", "G(u)"),
    Tensor("grad_0_0", _PROX, "Identity", "as input_0", "0.8.00",
           "G(u) by the name that newer versions look for"),
    Tensor("save/Const", _PROX, "Const", "string", "0.8.00",
           "0.8.00 crashes without it"),
    Tensor("save/restore_all", _PROX, "NoOp", "none", "0.8.00",
           "run once after loading; 0.8.00 crashes without it"),
    Tensor("input_0", ("sample",), "Placeholder", "[-1,Y,X,2]", "1.0.00",
           "noisy images, -1 is the number of samples"),
    Tensor("input_1", ("sample",), "Placeholder", "[-1,2]", "1.0.00",
           "sigma + 0i, E|n|^2 = sigma^2"),
    Tensor("output_0", ("sample",), "Identity", "[-1,Y,X,2]", "1.0.00",
           "E[x0 | x0 + n = x]"),
)  # fmt: skip


class Feature(NamedTuple):
    """Something that a BART can do or not."""

    name: str
    since: str
    needs: str
    rule: str


FEATURES = (
    Feature("pics -R TF:", "0.8.00", "TENSORFLOW=1", "{graph without .pb}:lamda"),
    Feature("nlinv -R TF:", "1.0.00", "TENSORFLOW=1",
            "0.8.00 and 0.9.00 read -R as another option"),
    Feature("sample .pb", "1.0.00", "TENSORFLOW=1", "--external-graph without .pb"),
    Feature("sample .pt", "1.0.00", "PYTORCH=1", "--external-graph with .pt"),
    Feature("--fista_last", "1.0.00", "",
            "ends on the gradient step, as 0.8.00 always does"),
)  # fmt: skip


def version(text):
    """Version of a BART as numbers that compare.

    Args:
        text (str): such as "v1.0.00-3-gabcdef".

    Returns:
        tuple of int: (1, 0, 0).
    """
    found = re.search(r"v?(\d+)\.(\d+)\.?(\d*)", text)
    if not found:
        raise ValueError(f"{text!r} is no BART version, expected such as 'v1.0.00'.")
    return tuple(int(n or 0) for n in found.groups())


def centre_phase(shape):
    """What k-space must be multiplied by for ``pics`` before 1.0.00.

    Those versions modulate k-space with the conjugate of what centres the FFT:
    an image comes back with the wrong sign if half of an even size is odd, and
    with a phase ramp, which a prior does not expect, if a size is odd.

    Args:
        shape (sequence of int): (H, W).

    Returns:
        array: shape (H, W), of magnitude 1.
    """
    turns = 0.0
    for n in shape:
        ramp = (np.arange(n) - (n // 2) / 2) * (n // 2) / n
        turns = np.add.outer(turns, 2 * ramp)
    return np.exp(-2j * np.pi * turns)


def image_shape(shape, slices=1, maps=1):
    """Shape of ``input_0`` for images of ``pics``.

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
    return tuple(axes.get(d, 1) for d in range(last, -1, -1)) + (2,)


def bart_dims(graph_shape):
    """BART's dimensions of an array with the shape of ``input_0``."""
    return tuple(reversed(graph_shape[:-1]))


def check_graph(path, kind, shape=None):
    """Check that a file is a graph BART can load, before BART tries.

    BART 0.8.00 crashes on a missing node and accepts a transposed image.

    Args:
        path (str or Path): the ``.pb`` file.
        kind (str): one of ``KINDS``.
        shape (sequence of int or None): shape ``input_0`` must have.

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
        if nodes[t.name][0] not in t.op.split(" or "):
            raise GraphError(
                f"{path}: {t.name} is a {nodes[t.name][0]}, expected {t.op}: not "
                f"written by this package, or altered. Export it again."
            )
    found = nodes["input_0"][1]
    if shape is not None and not _fits(found, tuple(shape)):
        raise GraphError(
            f"{path}: the graph was exported for images {list(found[:-1])} (axes "
            f"from last to first of BART's {bart_dims(found)}), but the image is "
            f"{list(shape[:-1])}. Export it with shape={tuple(shape[-3:-1])}."
        )


def _fits(found, shape):
    return len(found) == len(shape) and all(
        a in (-1, b) for a, b in zip(found, shape, strict=True)
    )
