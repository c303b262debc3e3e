"""Smaller ONNX files, and what they lose."""

import logging
import tempfile
from pathlib import Path

import numpy as np

__all__ = ["to_half", "to_int8", "loss", "noisy_example", "LEVELS"]

LEVELS = (0.01, 0.03, 0.1, 0.3)


def noisy_example(sigma, seed=0, size=None):
    """The bundled slice with complex noise, as channels.

    Args:
        sigma (float): standard deviation of the noise.
        seed (int): of the noise.
        size (int or None): cut out the middle.

    Returns:
        tuple: noisy and clean image, (1, 2, H, W), single precision.
    """
    from sigpy_priors.demo import example

    clean, _ = example(num_coils=1)
    if size is not None:
        start = [(n - size) // 2 for n in clean.shape]
        clean = clean[start[0] : start[0] + size, start[1] : start[1] + size]
    noise = np.random.default_rng(seed).standard_normal((2, *clean.shape)) / 2**0.5
    channels = np.stack([clean.real, clean.imag])
    noisy = channels + sigma * noise
    return noisy[None].astype(np.float32), channels[None].astype(np.float32)


def _levels(sigma_range):
    low, high = sigma_range
    return [s for s in LEVELS if low <= s <= high] or [(low * high) ** 0.5]


def loss(model, smaller, sigma_range):
    """What a smaller file loses in denoising the bundled slice.

    Args:
        model, smaller (onnx.ModelProto): files with inputs x and sigma.
        sigma_range (tuple of float): noise levels that the prior knows.

    Returns:
        dict: noise level to loss of PSNR in dB.
    """
    from sigpy_priors.onnx.runtime import open_session

    sessions = [open_session(m.SerializeToString()) for m in (model, smaller)]
    lost = {}
    for sigma in _levels(sigma_range):
        noisy, clean = noisy_example(sigma)
        feeds = {"x": noisy, "sigma": np.array([sigma], np.float32)}
        errors = [np.mean((s.run(None, feeds)[0] - clean) ** 2) for s in sessions]
        lost[sigma] = float(10 * np.log10(errors[1] / errors[0]))
    return lost


def to_half(model):
    """Weights and computation in half precision, inputs and outputs float."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    log = logging.getLogger("onnxruntime.transformers.float16")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        # The noise variable goes through a logarithm and fast sines.
        blocked = ["Sin", "Cos", "Log", "Range", "Clip", "Pow", "Sqrt", "Reciprocal"]
        return convert_float_to_float16(
            _copy(model), keep_io_types=True, op_block_list=blocked
        )
    finally:
        log.setLevel(level)


def _copy(model):
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def to_int8(model, sigma_range):
    """Convolutions of 8-bit integers, calibrated on the bundled slice."""
    from onnxruntime.quantization import (
        CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType,
        quantize_static,
    )  # fmt: skip
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.feeds = iter(
                {"x": noisy_example(s, seed=1, size=128)[0],
                 "sigma": np.array([s], np.float32)}
                for s in _levels(sigma_range)
            )  # fmt: skip

        def get_next(self):
            return next(self.feeds, None)

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.onnx", Path(folder) / "target.onnx"
        quant_pre_process(_copy(model), source, skip_symbolic_shape=True)
        # First and last convolution touch the image itself.
        convolutions = [n.name for n in model.graph.node if n.op_type == "Conv"]
        quantize_static(
            source, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
            op_types_to_quantize=["Conv"], activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=[convolutions[0], convolutions[-1]],
        )  # fmt: skip
        from sigpy_priors.onnx.load import read_onnx

        return read_onnx(target)
