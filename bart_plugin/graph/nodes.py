"""What BART's graphs consist of: the nodes around a translated network.

How a noise level falls from call to call, and why, is told in :mod:`export`.
"""

import numpy as np

from bart_plugin.graph.loss import write_loss
from bart_plugin.graph.graphdef import BATCH, Graph, Value, dtype_of
from bart_plugin.graph.protobuf import Shape
from bart_plugin.graph.translate import translate

__all__ = ["PEAK", "prox_graph", "loss_graph", "sample_graph", "strengths"]

PEAK = 1.0


def strengths(strength, levels):
    """Factors of the gradient, one for each noise level.

    Args:
        strength (float or sequence of float): in (0, 1], one or one per level.
        levels (array): noise levels.

    Returns:
        array: float32, like ``levels``.
    """
    strength = np.asarray(strength, dtype=np.float32)
    if strength.ndim > 1 or strength.size not in (1, levels.size):
        raise ValueError(
            f"strength: expected one value or {levels.size} like sigma, got shape "
            f"{strength.shape}."
        )
    if not ((strength > 0) & (strength <= 1)).all():
        raise ValueError(f"strength must be in (0, 1], got {strength}.")
    return np.broadcast_to(strength, levels.shape)


def _schedule(graph, tables, u, rank):
    """This call's entry of each table, scalar tensors, and what resets them."""
    number = np.int32
    if len(tables[0]) == 1:
        return [graph.const(t[0]) for t in tables], None
    attrs = {"dtype": dtype_of(number)}
    variable = graph.add(
        "VarHandleOp", name="calls", attrs={**attrs, "shape": Shape(())}
    )
    zero = graph.const(number(0))
    start = graph.add("AssignVariableOp", variable, zero, attrs=attrs)
    filled = graph.add("NotEqual", u, graph.const(np.float32(0)), dtype=np.float32)
    filled = graph.add(
        "Any", filled, graph.ints(range(rank)), keep_dims=False, Tidx=dtype_of(number)
    )
    filled = graph.cast(filled, np.bool_, number)
    count = graph.add("AssignAddVariableOp", variable, filled, attrs=attrs)
    calls = graph.add("ReadVariableOp", variable, f"^{count}", attrs=attrs)
    index = graph.add("Sub", calls, graph.const(number(1)), dtype=number)
    index = graph.add("Maximum", index, zero, dtype=number)
    last = graph.const(number(len(tables[0]) - 1))
    index = graph.add("Minimum", index, last, dtype=number)
    kinds = dict(
        Tparams=dtype_of(np.float32), Tindices=dtype_of(number), Taxis=dtype_of(number)
    )
    return [
        graph.add("GatherV2", graph.const(t), index, zero, **kinds) for t in tables
    ], start


def _placeholder(graph, name, shape):
    return graph.add(
        "Placeholder", name=name,
        attrs={"dtype": dtype_of(np.float32), "shape": Shape(shape)},
    )  # fmt: skip


def prox_graph(module, shape, levels, peak=PEAK, strength=1.0):
    """GraphDef for ``pics -R TF:`` and ``nlinv -R TF:``.

    Args:
        module (torch.nn.Module): from :func:`sigpy_priors.priors.module.as_module`.
        shape (tuple of int): of ``input_0``.
        levels (array): complex noise levels at the prior's image scale.
        peak (float): greatest magnitude of an image at the prior's scale.
        strength (float): factor of the gradient.

    Returns:
        bytes: the file.
    """
    kind = np.float32
    graph, u = _prox_inputs(shape)
    graph.const(np.array([0, 0], kind), name="output_0")
    h, w = shape[-3:-1]
    batch = int(np.prod(shape[:-3]))
    strength = strengths(strength, levels)
    tables = (levels, np.ascontiguousarray(strength))
    (sigma, strength), start = _schedule(graph, tables, u, len(shape))
    graph.add("NoOp", *([f"^{start}"] if start else []), name="save/restore_all")

    images = graph.reshape(u, (batch, h, w, 2), kind)
    scaled = graph.add("Mul", images, graph.const(kind(peak)), dtype=kind)
    inputs = [Value((batch, 2, h, w), kind, scaled), Value((), kind, sigma)]
    denoised = translate(
        graph, lambda x, s: module(x, s.expand(x.shape[0])), inputs
    )
    denoised = graph.add(
        "Mul", graph.use(denoised), graph.const(kind(1 / peak)), dtype=kind
    )
    gradient = graph.add("Sub", images, denoised, dtype=kind)
    gradient = graph.add("Mul", gradient, strength, dtype=kind)
    return _with_gradient(graph, gradient, shape)


def loss_graph(module, shape):
    """GraphDef of a density for ``pics -R TF:`` and ``nlinv -R TF:``.

    Args:
        module (DensityLoss): from :func:`bart_plugin.graph.loss.loss_module`.
        shape (tuple of int): of ``input_0``.

    Returns:
        bytes: the file.
    """
    kind = np.float32
    graph, u = _prox_inputs(shape)
    graph.add("NoOp", name="save/restore_all")
    images = (int(np.prod(shape[:-3])), *shape[-3:-1])
    u = graph.reshape(u, (*images, 2), kind)
    loss, gradient = write_loss(graph, module, u, images)
    graph.add("Identity", loss, dtype=kind, name="output_0")
    return _with_gradient(graph, gradient, shape)


def _prox_inputs(shape):
    graph = Graph()
    u = _placeholder(graph, "input_0", shape)
    _placeholder(graph, "grad_ys_0", (2,))
    graph.const(np.bytes_(b"unused"), name="save/Const")
    return graph, u


def _with_gradient(graph, gradient, shape):
    gradient = graph.reshape(gradient, shape, np.float32)
    for name in ("grad_0", "grad_0_0"):
        graph.add("Identity", gradient, dtype=np.float32, name=name)
    return graph.serialize()


def sample_graph(module, shape):
    """GraphDef of a denoiser for ``sample --external-graph``, any batch.

    Args:
        module (torch.nn.Module): from :func:`sigpy_priors.priors.module.as_module`.
        shape (sequence of int): (H, W).

    Returns:
        bytes: the file.
    """
    kind, number = np.float32, np.int32
    graph = Graph(dynamic=True)
    x = _placeholder(graph, "input_0", (-1, *shape, 2))
    noise = _placeholder(graph, "input_1", (-1, 2))
    sizes = graph.add("Shape", x, dtype=kind, out_type=dtype_of(number))
    graph.batch = graph.add(
        "GatherV2", sizes, graph.ints(0), graph.ints(0),
        Tparams=dtype_of(number), Tindices=dtype_of(number), Taxis=dtype_of(number),
    )  # fmt: skip
    inputs = [Value((BATCH, 2, *shape), kind, x), Value((BATCH, 2), kind, noise)]
    out = translate(graph, lambda x, s: module(x, s[:, 0]), inputs)
    # The reshape states what shape inference may have lost on the way.
    out = graph.reshape(graph.use(out), (BATCH, *shape, 2), kind)
    graph.add("Identity", out, dtype=kind, name="output_0")
    return graph.serialize()
