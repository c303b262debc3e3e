"""Smaller ONNX files, and what they lose."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sigpy_priors.priors.module import add_noise
from sigpy_priors.show.metrics import psnr_of_mse

__all__ = ["to_half", "to_int8", "loss", "noisy_example", "LEVELS"]

LEVELS = (0.01, 0.03, 0.1, 0.3)


def noisy_example(sigma: float, seed: int = 0, size: int | None = None) -> tuple:
    """The bundled slice with complex noise, as channels.

    Args:
        sigma (float): standard deviation of the noise.
        seed (int): of the noise.
        size (int or None): cut out the middle.

    Returns:
        tuple: noisy and clean image, (1, 2, H, W), single precision.
    """
    from sigpy_priors.data.example import example

    clean, _ = example(num_coils=1)
    if size is not None:
        start = [(n - size) // 2 for n in clean.shape]
        clean = clean[start[0] : start[0] + size, start[1] : start[1] + size]
    noise = np.random.default_rng(seed).standard_normal((1, 2, *clean.shape))
    channels = torch.from_numpy(np.stack([np.real(clean), np.imag(clean)])[None])
    noisy = add_noise(channels, torch.from_numpy(noise), sigma)
    return noisy.float().numpy(), channels.float().numpy()


def _levels(sigma_range):
    low, high = sigma_range
    return [s for s in LEVELS if low <= s <= high] or [(low * high) ** 0.5]


def loss(model: Any, smaller: Any, sigma_range: tuple[float, ...]) -> dict:
    """What a smaller file loses in denoising the bundled slice.

    Args:
        model (onnx.ModelProto): file with inputs x and sigma.
        smaller (onnx.ModelProto): the smaller one.
        sigma_range (tuple of float): noise levels that the prior knows.

    Returns:
        dict: noise level to loss of PSNR in dB.
    """
    from sigpy_priors.onnx.engine.runtime import open_session

    sessions = [open_session(m.SerializeToString()) for m in (model, smaller)]
    lost = {}
    for sigma in _levels(sigma_range):
        noisy, clean = noisy_example(sigma)
        feeds = {"x": noisy, "sigma": np.array([sigma], np.float32)}
        errors = [np.mean((s.run(None, feeds)[0] - clean) ** 2) for s in sessions]
        lost[sigma] = psnr_of_mse(errors[0]) - psnr_of_mse(errors[1])
    return lost


def to_half(model: Any) -> Any:
    """Weights and computation in half precision, inputs and outputs float."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    from sigpy_priors.onnx.optional import quiet

    # The noise variable goes through a logarithm and fast sines.
    blocked = ["Sin", "Cos", "Log", "Range", "Clip", "Pow", "Sqrt", "Reciprocal"]
    with quiet("onnxruntime.transformers.float16"):
        made = convert_float_to_float16(
            _copy(model), keep_io_types=True, op_block_list=blocked
        )
    # A value with several uses among those is cast several times by one name, and
    # the casts come last.
    graph = made.graph
    waiting = {node.output[0]: node for node in graph.node}
    known = {v.name for v in (*graph.input, *graph.initializer)} | {""}
    del graph.value_info[:]  # types of before
    del graph.node[:]
    while waiting:
        ready = [n for n in waiting.values() if known.issuperset(n.input)]
        for node in ready:
            graph.node.append(node)
            known.update(node.output)
            del waiting[node.output[0]]
    return made


def _copy(model):
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def to_int8(model: Any) -> Any:
    """Kernels of 8-bit integers with one scale for each output channel.

    Activations stay float: with them in 8 bits, too, the bundled prior loses
    0.98 dB at sigma 0.01 and 0.26 dB at 0.03.
    """
    from onnx import helper, numpy_helper

    made = _copy(model)
    graph = made.graph
    kernels = {
        node.input[1]: 1 if node.op_type == "ConvTranspose" else 0
        for node in graph.node
        if node.op_type in ("Conv", "ConvTranspose")
    }
    nodes, tensors = [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.name not in kernels or array.size < 64:
            tensors.append(tensor)
            continue
        axis = kernels[tensor.name]
        others = tuple(i for i in range(array.ndim) if i != axis)
        scale = np.maximum(np.abs(array).max(others), 1e-12).astype(np.float32) / 127
        wide = scale.reshape([-1 if i == axis else 1 for i in range(array.ndim)])
        whole = np.round(array / wide).astype(np.int8)
        name = tensor.name
        tensors.append(numpy_helper.from_array(whole, f"{name}_int8"))
        tensors.append(numpy_helper.from_array(scale, f"{name}_scale"))
        nodes.append(
            helper.make_node(
                "DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [name], axis=axis
            )
        )
    nodes += list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(tensors)
    graph.node.extend(nodes)
    return made
