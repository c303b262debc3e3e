"""Priors as ONNX files, for any runtime.

What is exported is the denoiser in the convention of this project:

- ``x`` (batch, 2, height, width), float: real and imaginary part,
- ``sigma`` (batch,), float: standard deviation of complex noise,
- ``denoised``, like ``x``: E[x0 | x0 + n = x].

Padding to the network's stride, the factor sqrt(2) between complex noise and
that of a channel, and the preconditioning are inside; batch, height and width
are free (a closed-form Gaussian has one image size). The image is in units of
its scale, as the card says, which is in the file's ``metadata_props``.

Of a density prior ``x`` alone goes in; ``log_prob`` (batch,), in nats, and
``grad_log_prob``, its gradient over ``x``, come out.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sigpy_priors.backend.validate import check_path
from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.priors.base import DenoiserPrior, Prior, check_kind
from sigpy_priors.priors.network import NetworkPrior

if TYPE_CHECKING:
    from sigpy_priors.priors.card import PriorCard

__all__ = ["OPSET", "TOLERANCE", "export_onnx"]

OPSET = 20
TOLERANCE = 1e-5
# The denoised image may lose this much by --half or --int8, in dB.
MAX_LOSS = 0.1
BATCH = {0: "batch"}
IMAGE = BATCH | {2: "height", 3: "width"}


# Sizes that differ from each other, and from the widths of networks.
_SIZE = 37, 51


def _module(prior):
    """What is written, an example, and the names of its free axes."""
    module = prior.module()
    if not isinstance(prior, DenoiserPrior):
        return module, (0.3 * _random(5, 2, *_SIZE),), (IMAGE,)
    args = _random(2, 2, *(module.size or _SIZE)), torch.tensor([0.1, 0.2])
    return module, args, (BATCH if module.size else IMAGE, BATCH)


def _random(*shape):
    """Normal numbers, the same at every call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _by_running(module, args, free, inputs, outputs):
    """A graph by running the network once, which takes a second."""
    import onnx

    file = io.BytesIO()
    write: Any = torch.onnx.export  # typed without the files that it takes
    write(
        module, args, file, dynamo=False, input_names=inputs, output_names=outputs,
        dynamic_axes=dict(zip(inputs, free)) | dict.fromkeys(outputs, free[0]),
        opset_version=OPSET,
    )  # fmt: skip
    return onnx.load_from_string(file.getvalue())


def _by_symbols(module, args, free, inputs, outputs):
    """A graph by ``torch.export``, which follows sizes as symbols: ten seconds."""
    from sigpy_priors.onnx.optional import require

    require("onnxscript")
    dynamic = tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in free)
    program = torch.export.export(module, args, dynamic_shapes=dynamic)
    write: Any = torch.onnx.export
    model = write(
        program, args, dynamo=True, input_names=inputs, output_names=outputs,
        opset_version=OPSET, verbose=False,
    ).model_proto  # fmt: skip
    _name_axes(model.graph, free)
    return model


def _write_model(prior, module, args, free, inputs, outputs, what):
    """A graph without chatter and notes on every node, and how exact it is.

    Running follows one path through Python only, and newer versions of torch may
    do without it: where it fails, or its graph does not hold, symbols are used.
    """
    from sigpy_priors.onnx.gradient import add_gradient
    from sigpy_priors.onnx.log_prob import StableFormulas
    from sigpy_priors.onnx.optional import quiet

    for way in (_by_running, _by_symbols):
        try:
            with (
                quiet("torch.onnx"),
                warnings.catch_warnings(),
                torch.no_grad(),
                StableFormulas(),
            ):
                warnings.simplefilter("ignore")
                model = way(module.eval(), args, free, inputs, outputs[:1])
            if len(outputs) > 1:
                add_gradient(model, inputs[0], *outputs)
            worst = _parity(model, prior, args, what)
            break
        except Exception:
            if way is _by_symbols:
                raise
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info,
                 *graph.initializer):  # fmt: skip
        del part.metadata_props[:]
        part.doc_string = ""
    return model, worst


def _name_axes(graph, free):
    """Names for torch's symbols of the free axes."""
    names = {}
    for value, axes in zip(graph.input, free):
        for axis, name in axes.items():
            names[value.type.tensor_type.shape.dim[axis].dim_param] = name
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]


def _parity(model, prior, args, what):
    """Largest difference of onnxruntime to the prior in double precision, relative
    to the largest value: at several sizes, and at noise below, at and above both
    ends of the prior's range.

    Double precision: rounding of torch's own in single is no fault of the file.
    """
    from sigpy_priors.onnx.engine.runtime import open_session

    session = open_session(model.SerializeToString())
    if isinstance(prior, NetworkPrior):
        prior = prior.with_options("double")
    x, *sigma = args
    cases = [x]
    if all(not isinstance(n, int) for n in session.get_inputs()[0].shape[2:]):
        scale = x.std()
        cases += [scale * _random(1, 2, 24, 40), scale * _random(3, 2, 41, 18)]
    worst = 0.0
    for case in cases:
        z = torch.complex(*case.double().unbind(1))
        for level in _levels(prior) if sigma else (None,):
            feeds, expected = {"x": case.numpy()}, _expected(prior, z, level)
            if sigma:
                feeds["sigma"] = np.full(len(case), level, np.float32)
            for found, wanted in zip(session.run(None, feeds), expected, strict=True):
                gap = np.abs(found - wanted).max()
                worst = max(worst, gap / np.abs(wanted).max())
    if not worst <= TOLERANCE:
        raise ValueError(
            f"{what}: onnxruntime and the prior differ by {worst:.1e} of the greatest "
            f"value, more than {TOLERANCE:g}: this prior cannot be exported."
        )
    return worst


def _levels(prior):
    """Noise below, at and inside the ends of the range; above it is an error."""
    low, high = prior.sigma_range
    low, high = low or 0.01, min(high, 10.0)
    return 0.0, low / 4, low, (low * high) ** 0.5, high


def _expected(prior, z, sigma):
    """What the prior says of complex images, as arrays of channels."""
    if sigma is None:
        value, gradient = prior.log_prob_and_grad(z)
        return value.numpy(), _channels(gradient)
    return (_channels(prior.denoise(z, float(np.float32(sigma)))),)


def _channels(z):
    return torch.view_as_real(z.resolve_conj()).permute(0, 3, 1, 2).numpy()


def export_onnx(
    prior: Prior, path: str | Path, half: bool = False, int8: bool = False
) -> PriorCard:
    """Write a prior as an ONNX file, with its card inside.

    Checked by ``onnx.checker``, and by parity of onnxruntime with torch in double
    precision.

    Args:
        prior (Prior): a network or Gaussian prior, or a density prior.
        path (str or Path): file to write.
        half (bool): compute in half precision; inputs and outputs stay float.
        int8 (bool): kernels of 8-bit integers; activations stay float.

    Returns:
        PriorCard: the card as written; its notes say the parity, and what half
        or int8 lose in denoising the bundled example.

    Raises:
        ValueError: if half or int8 lose 0.1 dB or more, or the prior is an
            ONNX file already, or onnxruntime computes something else.
        TypeError: if the prior is neither network nor Gaussian nor density.
        ImportError: naming the extra to install.
    """
    from sigpy_priors.onnx.load import with_card
    from sigpy_priors.onnx.optional import require

    onnx, _ = require("onnx", "onnxruntime")
    check_kind(prior)
    path = check_path("path", path)
    if half and int8:
        raise ValueError("half and int8 are alternatives, choose one.")
    if prior.card is not None and prior.card.architecture == "onnx":
        raise ValueError(f"{prior!r} is an ONNX file already: copy it.")
    module, args, free = _module(prior)
    inputs = ["x", "sigma"][: len(args)]
    outputs = ["denoised"] if len(args) == 2 else ["log_prob", "grad_log_prob"]
    if len(args) == 1 and (half or int8):
        raise ValueError("a density is exported in single precision only.")
    model, worst = _write_model(prior, module, args, free, inputs, outputs, path)
    notes = f"ONNX opset {OPSET}; differs from torch by {worst:.0e} of the maximum."
    if half or int8:
        from sigpy_priors.onnx.quantize import loss, to_half, to_int8

        smaller = (to_half if half else to_int8)(model)
        denoiser: Any = prior
        lost = loss(model, smaller, denoiser.sigma_range)
        what = "half precision" if half else "int8 kernels"
        if not max(lost.values()) < MAX_LOSS:
            table = ", ".join(f"{v:.2f} at {s:g}" for s, v in lost.items())
            raise ValueError(
                f"{what} loses too much in denoising the bundled example: dB at sigma: "
                f"{table}; allowed is {MAX_LOSS:g}. Export it without."
            )
        model = smaller
        notes += f" In {what}, which loses at most {max(lost.values()):.3f} dB."
    card = with_card(model, _card(prior, inputs, notes))
    onnx.checker.check_model(model, full_check=True)
    write_atomic(path, lambda p: Path(p).write_bytes(model.SerializeToString()))
    return card


def _card(prior, inputs, notes):
    """The prior's own card, with the file in place of the architecture."""
    from sigpy_priors.priors.card import PriorCard

    how = {
        "architecture": "onnx", "options": {"inputs": inputs}, "precond": "direct",
        "precond_options": {}, "package": None,
    }  # fmt: skip
    if len(inputs) == 1:
        kind = "density" if prior.normalised else "energy"
        how |= {"precond": None, "kind": kind}
        how["options"]["channels"] = prior.channels
    if prior.card is None:
        if len(inputs) == 2:
            low, high = prior.sigma_range
            how["sigma_range"] = max(low, 1e-4), min(high, 1e4)
        return PriorCard(
            name=type(prior).__name__, strength=prior.strength, notes=notes, **how
        )
    notes = f"{prior.card.notes}\n{notes}".strip()
    return prior.card.model_copy(update={**how, "notes": notes})
