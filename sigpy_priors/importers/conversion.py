"""One function from any framework's model to an ONNX file that was compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sigpy_priors.backend.extras import how_to_install
from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.io.output import check_writable, refuse_inputs

__all__ = ["FRAMEWORKS", "ConversionError", "convert", "detect"]

# Framework -> extra that brings it.
FRAMEWORKS = {
    "torch": "onnx",
    "tensorflow": "tf-import",
    "jax": "jax-import",
    "diffusers": "diffusers-import",
}
PYTHON = "SIGPY_PRIORS_IMPORT_PYTHON"
# Largest difference to the framework, of the largest value, before a conversion
# is refused; what was measured is stored in the file.
TOLERANCE = 1e-4
SOURCE, PARITY, HINTS = (f"sigpy_priors.{k}" for k in ("source", "parity", "hints"))


class ConversionError(ValueError):
    """A model could not be converted; the message says why and what to do."""


def detect(model: str | Path) -> str:
    """The framework that wrote a model, by its file.

    Args:
        model (str or Path): file or folder; "module:callable" is PyTorch's.

    Returns:
        str: one of ``FRAMEWORKS``.

    Raises:
        ConversionError: if there is no such file, or nobody writes such files.
    """
    path = Path(model)
    if path.is_dir():
        inside = {p.name for p in path.iterdir()}
        if "saved_model.pb" in inside or any(n.endswith(".meta") for n in inside):
            return "tensorflow"
        if "unet" in inside or "config.json" in inside:
            return "diffusers"
        if inside & {"_METADATA", "_CHECKPOINT_METADATA"}:
            return "jax"
        raise ConversionError(
            f"{path}: no SavedModel, checkpoint of TensorFlow 1 or Orbax, or folder "
            f"of diffusers; expected saved_model.pb, a .meta file, config.json or "
            f"_METADATA in it."
        )
    if not path.exists():
        if Path(f"{path}.meta").exists():
            return "tensorflow"
        if ":" in str(model):
            return "torch"
        raise ConversionError(f"{path}: no such file.")
    kinds = {
        "torch": (".pt", ".pth", ".pt2", ".ts", ".safetensors"),
        "tensorflow": (".pb", ".keras", ".h5", ".meta", ".index"),
        "jax": (".msgpack",),
    }
    for framework, suffixes in kinds.items():
        if path.suffix in suffixes:
            return framework
    known = ", ".join(s for suffixes in kinds.values() for s in suffixes)
    raise ConversionError(
        f"{path}: unknown kind of file; known are {known} and folders; --framework "
        f"says what it is."
    )


def convert(
    model: str | Path,
    out_onnx: str | Path,
    *,
    framework: str | None = None,
    python: str | None = None,
    builder: str | None = None,
    builder_options: Mapping | None = None,
    spec: Any = None,
    tensors: str | None = None,
    show: Callable | None = None,
    trust: bool = False,
) -> Path:
    """Convert a model to ONNX and compare it with the original.

    The framework runs in a process of its own. Random inputs, at two sizes where
    sizes are free, go through it and through onnxruntime.

    Args:
        model (str or Path): file or folder of the model; or a builder
            "module:callable" that returns it with its weights.
        out_onnx (str or Path): file to write.
        framework (str or None): one of ``FRAMEWORKS``, default by the file.
        python (str or None): Python that has the framework, default
            ``$SIGPY_PRIORS_IMPORT_PYTHON`` or this one.
        builder (str or None): "module:callable" that returns the network which
            the weights in ``model`` belong to; the current folder is on its path.
        builder_options (mapping or None): arguments for it.
        spec (str, sequence or None): inputs for a trace (PyTorch, JAX), letters for
            free sizes, default "x:N,2,H,W sigma:N" (JAX: "x:N,H,W,2 sigma:N");
            "x:1,2,8*H,8*W t:N:int64" fixes the batch, wants multiples, and a
            whole-numbered time.
        tensors (str or None): "input,...->output,..." of a TensorFlow 1 graph,
            default BART's names or those of a .map file.
        show (callable or None): is told in one line what was done.
        trust (bool): the file may run code: a ``.pt2`` of torch.export does so when
            it is read, and is refused otherwise.

    Returns:
        Path: ``out_onnx``; its metadata name the source and the parity.

    Raises:
        ConversionError: with what to do.
    """
    name = framework or detect(model)
    if name not in FRAMEWORKS:
        raise ConversionError(
            f"unknown framework {name!r}, known are {', '.join(FRAMEWORKS)}."
        )
    model = str(model)
    if model.endswith(".pt2") and not trust:
        raise ConversionError(
            f"{model}: reading a .pt2 file runs code that it may hold: if you trust who "
            f"made it, say so with --trust; better is an ONNX file, or weights with "
            f"--builder."
        )
    if not Path(model).exists() and not Path(f"{model}.meta").exists():
        if builder is not None or ":" not in model:
            raise ConversionError(f"{model}: no such file.")
        weights, builder = None, model
    else:
        weights = model
    check_writable(out_onnx)
    refuse_inputs(out_onnx, {"model": weights})
    source = Path(weights).name if weights else builder
    job = {
        "model": weights and os.path.abspath(weights),
        "builder": builder,
        "builder_options": dict(builder_options or {}),
        "spec": spec.split() if isinstance(spec, str) else spec and list(spec),
        "tensors": tensors,
    }
    python = python or os.environ.get(PYTHON) or sys.executable
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        result = _run(name, python, job, folder)
        _fold(folder / "model.onnx")
        parity = _compare(folder, source)
        write_atomic(out_onnx, lambda tmp: _finish(folder, tmp, source, result, parity))
    if show is not None:
        show(
            f"{source}: {result['framework']} -> {Path(out_onnx).name}; largest "
            f"difference {parity:.1e} of the largest value"
        )
    return Path(out_onnx)


def _run(name, python, job, folder):
    """Run the framework's script and return its result."""
    (folder / "job.json").write_text(json.dumps(job))
    script = Path(__file__).parent / "frameworks" / f"from_{name}.py"
    command = [str(python), str(script), str(folder)]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as e:
        raise ConversionError(f"{python} does not run: {e}.") from e
    try:
        result = json.loads((folder / "result.json").read_text())
    except FileNotFoundError:
        tail = "\n".join(done.stdout.strip().splitlines()[-5:])
        raise ConversionError(
            f"converting with {python} ended with status {done.returncode}:\n{tail}"
        ) from None
    if "missing" in result:
        raise ConversionError(
            f"{python} lacks {result['missing']}: {how_to_install(FRAMEWORKS[name])}, "
            f"or name a Python that has it with --python PATH or {PYTHON}."
        )
    if "refused" in result:
        raise ConversionError(result["refused"])
    if "failed" in result:
        raise ConversionError(f"{name} cannot convert the model: {result['failed']}")
    return result


def _fold(path):
    """Compute what depends on weights alone, such as kernels that are turned.

    It also takes away loops that TorchScript leaves over from checking shapes.
    """
    from sigpy_priors.onnx.optional import require

    onnx, optimizer = require("onnx", "onnxscript.optimizer")
    largest = 2**26  # elements; the default is meant for shapes only
    model = optimizer.optimize(
        onnx.load(str(path)), input_size_limit=largest, output_size_limit=largest
    )
    onnx.save(model, str(path))


def _compare(folder, source):
    """Largest difference between onnxruntime and the framework, relative."""
    from sigpy_priors.onnx.optional import require

    (ort,) = require("onnxruntime")
    quiet = ort.SessionOptions()
    quiet.log_severity_level = 4
    try:
        session = ort.InferenceSession(
            str(folder / "model.onnx"), quiet, providers=["CPUExecutionProvider"]
        )
    except Exception as e:
        raise ConversionError(f"{source}: onnxruntime refuses its ONNX: {e}") from e
    check = np.load(folder / "check.npz")
    worst = 0.0
    for case in sorted({k.split("/")[0] for k in check}):
        feeds = {i.name: check[f"{case}/in/{i.name}"] for i in session.get_inputs()}
        try:
            results = session.run(None, feeds)
        except Exception as e:
            sizes = ", ".join(f"{k} {v.shape}" for k, v in feeds.items())
            raise ConversionError(
                f"{source}: its ONNX does not run at {sizes}; if the network has one "
                f"size only, say so with --spec, such as 'x:N,2,256,256 sigma:N': {e}"
            ) from e
        for i, result in enumerate(results):
            wanted = check[f"{case}/out/{i}"]
            if result.shape != wanted.shape:
                raise ConversionError(
                    f"{source}: its ONNX returns {result.shape}, not {wanted.shape}."
                )
            scale = np.abs(wanted).max(initial=0) or 1.0
            error = np.abs(result - wanted).max(initial=0) / scale
            worst = max(worst, float(np.nan_to_num(error, nan=np.inf)))
    if worst > TOLERANCE:
        raise ConversionError(
            f"{source}: its ONNX differs from the original by {worst:.1e} of the "
            f"largest value (limit {TOLERANCE:.0e}): an operator was converted wrongly."
        )
    return worst


def _finish(folder, path, source, result, parity):
    """One file with the weights inside, checked, with where it comes from."""
    from sigpy_priors.onnx.optional import require

    (onnx,) = require("onnx")
    model = onnx.load(str(folder / "model.onnx"))
    properties = {SOURCE: f"{source} ({result['framework']})", PARITY: f"{parity:.2e}"}
    if result.get("hints"):
        properties[HINTS] = json.dumps(result["hints"])
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
