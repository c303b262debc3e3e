"""onnxruntime: sessions for a device, and whole files as torch modules."""

from __future__ import annotations

import os
from typing import Any

import torch

from sigpy_priors.backend.memory import out_of_memory
from sigpy_priors.onnx.engine.interpreter import Interpreter

__all__ = ["OnnxModule", "providers", "describe", "open_session", "is_plain"]

_PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": (
        "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
    ),
}  # fmt: skip


def _onnxruntime():
    """The module, or None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    return onnxruntime


def providers(device: str = "cpu") -> Any:
    """Execution providers for tensors on a kind of device, best first.

    Args:
        device (str): "cpu" or "cuda".

    Returns:
        list of str: empty where onnxruntime cannot compute on that device.
            TensorRT takes part only where its own package is installed.
    """
    from importlib.util import find_spec

    ort = _onnxruntime()
    if ort is None:
        return []
    found = [
        p for p in _PROVIDERS.get(device, ()) if p in ort.get_available_providers()
    ]
    if find_spec("tensorrt") is None:
        found = [p for p in found if not p.startswith("Tensorrt")]
    return found if device == "cpu" or len(found) > 1 else []


def describe() -> Any:
    """One line on what ONNX priors run with here."""
    ort = _onnxruntime()
    if ort is None:
        return "torch (onnxruntime is not installed)"
    names = [
        f"{', '.join(p.removesuffix('ExecutionProvider') for p in providers(d))} on {d}"
        for d in _PROVIDERS
        if providers(d)
    ]
    return f"onnxruntime {ort.__version__} ({'; '.join(names)})"


def open_session(
    model: Any, device: str = "cpu", index: int = 0, threads: int | None = None
) -> Any:
    """A session of onnxruntime.

    Args:
        model (bytes or str): serialized model, or its path.
        device (str): "cpu" or "cuda".
        index (int): which GPU.
        threads (int or None): default as many as torch uses.

    Returns:
        onnxruntime.InferenceSession: quiet, and without a spinning pool.
    """
    ort: Any = _onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or torch.get_num_threads()
    # Between calls SigPy computes on the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chosen = [
        (p, {} if p.startswith("CPU") else {"device_id": index})
        for p in providers(device)
    ]
    return ort.InferenceSession(model, options, providers=chosen)


def _tracing() -> bool:
    inside: Any = torch
    return inside.jit.is_tracing()


def is_plain(tensors: Any) -> Any:
    """Tell tensors of numbers from those of a trace or of a derivative."""
    inside: Any = torch  # which has no public question for some of these
    return not (
        _tracing()
        or torch.compiler.is_compiling()
        or inside._C._len_torch_dispatch_stack()
        or any(
            type(t) not in (torch.Tensor, torch.nn.Parameter)
            or inside._C._functorch.is_functorch_wrapped_tensor(t)
            or inside._is_functional_tensor(t)
            or (t.requires_grad and torch.is_grad_enabled())
            for t in tensors
        )
    )


class OnnxModule(Interpreter):
    """An ONNX file as a torch module.

    It runs through onnxruntime where tensors are in single precision, on a
    device with a provider, and no derivative or trace is wanted, and node by
    node in torch otherwise (:class:`Interpreter`).

    Args:
        model (onnx.ModelProto): with its external data loaded.

    Raises:
        ValueError: if neither of the two knows all of its operators.
    """

    def __init__(self, model: Any) -> None:
        from google.protobuf.message import EncodeError

        super().__init__(model)
        try:
            self._bytes = model.SerializeToString()
        except (ValueError, EncodeError) as e:
            raise ValueError(
                f"models of 2 GiB and more are not supported ({e})."
            ) from e
        self._sessions = {}
        self.broken = None
        if not providers():
            if self.unknown:
                self.refuse_unknown()
            return
        try:
            self._session(torch.device("cpu"))
        except Exception as e:
            self.broken = str(e).splitlines()[0]
            if self.unknown:
                raise ValueError(
                    f"onnxruntime cannot run this file ({self.broken}), and of its "
                    f"operators {', '.join(self.unknown)} are not known to the "
                    f"translation into torch either. Export it again with standard "
                    f"operators (domain ai.onnx)."
                ) from e

    def __getstate__(self) -> dict:
        # Sessions cannot be copied or sent; they are opened where they are used.
        return {**self.__dict__, "_sessions": {}}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self._sessions = {}

    def _session(self, device):
        key = (device.type, device.index or 0, torch.get_num_threads(), os.getpid())
        if key not in self._sessions:
            self._sessions[key] = open_session(self._bytes, *key[:3])
        return self._sessions[key]

    def forward(self, *inputs: Any) -> Any:
        """Evaluate the graph: as :class:`Interpreter`.

        Raises:
            ValueError: if it cannot be computed for these inputs.
        """
        try:
            return self._forward(inputs)
        except (ValueError, NotImplementedError):
            raise
        except Exception as e:
            if out_of_memory(e) or torch.compiler.is_compiling() or _tracing():
                raise
            shapes = [tuple(x.shape) for x in inputs]
            why = " ".join(str(e).split())[:300]
            raise ValueError(
                f"the ONNX file cannot be computed for inputs of shape {shapes}: {why}"
            ) from e

    def _forward(self, inputs):
        first = inputs[0]
        if self.anchor.dtype != torch.float32 or not is_plain(inputs):
            if self.unknown and self.broken is None and is_plain(inputs):
                # Double precision that only onnxruntime can compute, in single.
                anchor: Any = self.anchor
                return tuple(o.to(anchor.dtype) for o in self._run(inputs))
            return Interpreter.forward(self, *inputs)
        if self.broken is not None or not providers(first.device.type):
            return Interpreter.forward(self, *inputs)
        return self._run(inputs)

    def _run(self, inputs):
        from onnx.helper import tensor_dtype_to_np_dtype

        session = self._session(inputs[0].device)
        feeds = {}
        for name, t in zip(self.inputs, inputs, strict=True):
            kind = tensor_dtype_to_np_dtype(self.types[name])
            feeds[name] = t.detach().to(getattr(torch, str(kind))).contiguous()
        if inputs[0].device.type == "cuda":
            return _run_bound(session, feeds, inputs[0].device, self.outputs)
        out = session.run(self.outputs, {k: t.numpy() for k, t in feeds.items()})
        return tuple(self._own(torch.from_numpy(o)) for o in out)


def _run_bound(session, feeds, device, outputs):
    """Run on memory of the device itself: nothing passes through the host."""
    binding = session.io_binding()
    index = device.index or 0
    for name, t in feeds.items():
        kind = torch.empty(0, dtype=t.dtype).numpy().dtype.type
        binding.bind_input(name, device.type, index, kind, tuple(t.shape), t.data_ptr())
    for name in outputs:
        binding.bind_output(name, device.type, index)
    if device.type == "cuda":
        # The session has a stream of its own.
        torch.cuda.current_stream(device).synchronize()
    session.run_with_iobinding(binding)
    return tuple(_view(v, device) for v in binding.get_outputs())


class _Memory:
    """What numpy and torch ask to look at memory of somebody else."""

    def __init__(self, value: Any) -> None:
        import numpy as np

        kind = value.data_type().removeprefix("tensor(").removesuffix(")")
        kind = {"float": "float32", "double": "float64"}.get(kind, kind)
        interface = {
            "shape": tuple(value.shape()),
            "typestr": np.dtype(kind).str,
            "data": (value.data_ptr(), False),
            "version": 3,
        }
        self.__array_interface__ = self.__cuda_array_interface__ = interface
        self.value = value


def _view(value, device):
    """A copy, on the device, of an output that the session owns."""
    import numpy as np

    memory = _Memory(value)
    if device.type == "cuda":
        return torch.as_tensor(memory, device=device).clone()
    return torch.from_numpy(np.asarray(memory).copy())
