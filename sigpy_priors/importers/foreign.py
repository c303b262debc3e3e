"""A foreign network in an ONNX file becomes a prior: conventions found, a card.

Other formats are turned into plain ONNX first (:mod:`sigpy_priors.importers`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sigpy_priors.priors.card import PriorCard

__all__ = ["import_onnx"]

HINTS = "sigpy_priors.hints"
SOURCE = "sigpy_priors.source"
# A value that was told is doubted aloud if another denoises better by this.
DOUBT = 0.05


def _names(module, inputs, path):
    """Names of the image and the noise input."""
    if inputs:
        names = (
            [n.strip() for n in inputs.split(",")]
            if isinstance(inputs, str)
            else (list(inputs))
        )
        missing = [n for n in names if n not in module.inputs]
        if missing or not 1 <= len(names) <= 2:
            raise ValueError(
                f"{path}: inputs {names}: expected the image and, if any, the noise "
                f"level, of {', '.join(module.inputs)}."
            )
    else:
        # The image is the one with the most axes.
        ranks = {n: len(module.shapes[n] or [0] * 4) for n in module.inputs}
        names = sorted(module.inputs, key=lambda n: -ranks[n])
        if len(names) > 2:
            raise ValueError(
                f"{path}: {len(names)} inputs, {', '.join(module.inputs)}: say which "
                f"are the image and the noise level with --inputs X,SIGMA."
            )
    shape = module.shapes[names[0]]
    if shape is not None and len(shape) not in (4, 5):
        raise ValueError(
            f"{path}: the image input {names[0]!r} has {len(shape)} axes, {shape}; "
            f"expected four, (batch, channels, height, width) or channels last."
        )
    left = [n for n in module.inputs if n not in names]
    if left:
        raise ValueError(
            f"{path}: the inputs {', '.join(left)} would be left without a value; a "
            f"prior is asked with an image and a noise level only. Export the network "
            f"with constants in their place."
        )
    return names


def _schedule(schedule):
    """A name, numbers, or a file of either."""
    from sigpy_priors.models.schedules import make_schedule

    if isinstance(schedule, str) and schedule.endswith(".json"):
        schedule = json.loads(Path(schedule).read_text())
    if isinstance(schedule, (list, tuple)):
        schedule = {"sigmas": list(schedule)}
    make_schedule(schedule)
    return schedule


def import_onnx(
    path: str | Path,
    out: str | Path,
    *,
    inputs: Any = None,
    channels: str | None = None,
    layout: str | None = None,
    parametrization: str | None = None,
    schedule: Any = None,
    scale: float | Sequence[float] | str | None = None,
    sigma: str | None = None,
    name: str | None = None,
    sigma_range: Sequence[float] | None = None,
    card: Mapping | None = None,
    show: Callable | None = print,
) -> PriorCard:
    """Make a prior of an ONNX denoiser or score network.

    What is not told is found by denoising the bundled slice
    (:mod:`sigpy_priors.importers.probe`); what is told is not doubted, only compared.

    Args:
        path (str or Path): ONNX file in any convention.
        out (str or Path): file to write: a copy with a card in its metadata.
        inputs (str, sequence of str or None): names of the image and, unless
            the network is blind, the noise input.
        channels (str or None): "re,im", "im,re", "complex" (real and imaginary
            part in a last axis of two), "mag" (the magnitude is denoised, the
            phase kept) or "real" (real and imaginary part one at a time).
        layout (str or None): "NCHW" or "NHWC".
        parametrization (str or None): "denoiser" or "x0", "eps", "v", "score",
            "scaled_score" (sigma times the score), "residual" (the noise
            itself) or "edm[:sigma_data]" (the raw network of EDM).
        schedule (str, mapping, sequence or None): how noise is stated
            (:func:`sigpy_priors.models.schedules.make_schedule`), or a .json
            file with ``{"betas": [...]}`` or ``{"sigmas": [...]}``.
        scale (float, sequence of float, str or None): (a, b): the network sees
            a x + b of an image x whose magnitude is about 1.
        sigma (str or None): its noise level is that of "complex" noise or of
            each "channel".
        name (str or None): of the prior, default that of the file.
        sigma_range (sequence of float or None): complex noise levels to use it
            at, default those at which it denoises.
        card (mapping or None): further entries of the card: license, data, ...
        show (callable or None): takes the report.

    Returns:
        PriorCard: the card as written.

    Raises:
        ValueError: if the file cannot be used, or nothing denoises.
    """
    from sigpy_priors.importers.probe import probe
    from sigpy_priors.io.atomic import write_atomic
    from sigpy_priors.io.output import check_writable, refuse_inputs
    from sigpy_priors.onnx.adapter import parse_scale
    from sigpy_priors.onnx.engine.runtime import OnnxModule
    from sigpy_priors.onnx.load import read_onnx, with_card
    from sigpy_priors.priors.card import PriorCard

    check_writable(out)
    refuse_inputs(out, {"model": path})
    model = read_onnx(path)
    meta = {p.key: p.value for p in model.metadata_props}
    hints = json.loads(meta.get(HINTS, "{}"))
    try:
        module = OnnxModule(model)
    except ValueError as e:
        raise ValueError(f"{path}: {e}") from e
    names = _names(module, inputs or hints.get("inputs"), path)
    told = {
        "channels": channels,
        "layout": layout,
        "parametrization": parametrization,
        "schedule": schedule,
        "sigma": sigma,
        "scale": scale,
    }
    told = {k: hints.get(k) if v is None else v for k, v in told.items()}
    told = {k: v for k, v in told.items() if v is not None}
    if "schedule" in told:
        told["schedule"] = _schedule(told["schedule"])
    if "scale" in told:
        told["scale"] = parse_scale(told["scale"])
    try:
        found = probe(module, names, told)
    except ValueError as e:
        raise ValueError(f"{path}: {e}") from e
    if show is not None:
        show(f"{Path(path).name}: {found.report(told)}")
        for field in told:
            other, gain = found.rivals.get(field, (None, -1e9))
            if gain > found.gain + DOUBT:
                show(
                    f"  doubtful: --{field} {told[field]} was told, but {other} "
                    f"denoises {gain - found.gain:.2f} dB better"
                )
    h = found.hypothesis
    precond, precond_options = h.precond()
    options = {
        "inputs": names,
        "channels": h.channels,
        "layout": h.layout,
        "sigma": h.sigma,
        "scale": list(h.scale),
        "stride": found.stride,
    }
    made = PriorCard(
        **{
            "name": name or Path(path).stem,
            "architecture": "onnx",
            "options": options,
            "precond": precond,
            "precond_options": precond_options,
            "sigma_range": tuple(sigma_range or found.sigma_range),
            "validation": {
                "probe": {
                    "gain_db": round(found.gain, 2),
                    "told": sorted(told),
                    "rivals": {
                        k: [v if isinstance(v, str) else str(v), round(g, 2)]
                        for k, (v, g) in found.rivals.items()
                    },
                }
            },
            "notes": f"Imported from {meta.get(SOURCE, Path(path).name)}.",
            **(card or {}),
        }
    )
    made = with_card(model, made)
    write_atomic(out, lambda p: Path(p).write_bytes(model.SerializeToString()))
    return made
