"""Log-density and its gradient as one ONNX graph.

ONNX has no derivatives, and ``torch.export`` refuses to trace through
``autograd.grad``. ``make_fx`` traces the gradient into ordinary operators, with
sizes as symbols, and that trace is exported; backward operators that ONNX lacks
are written as forward ones here.
"""

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from sigpy_priors import arrays

__all__ = ["Density", "traced"]

aten = torch.ops.aten


class Density(nn.Module):
    """Log-density and gradient over channels (N, 2, H, W).

    Args:
        model (Module): log-probability in nats of every pixel (N, H, W) of
            channels (N, C, H, W), with an attribute ``channels``.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model

    def total(self, x):
        """Log-density summed over the batch, and that of each image."""
        z = arrays.density_channels(x, self.model.channels)
        each = self.model(z).sum(dim=(1, 2))
        return each.sum(), each

    def forward(self, x):
        gradient, (_, each) = torch.func.grad_and_value(self.total, has_aux=True)(x)
        return each, gradient


def _convolution_backward(grad, x, w, bias_sizes, stride, padding, dilation,
                          transposed, output_padding, groups, mask):  # fmt: skip
    """The gradient over the input, as a convolution the other way round."""
    if mask[1] or mask[2]:
        raise NotImplementedError("gradients over weights are not exported.")
    if transposed:
        back = aten.convolution(
            grad, w, None, stride, padding, dilation, False, [0] * len(stride), groups
        )
        return back, None, None
    # Rows and columns at the end that no window reached.
    left = [
        n + 2 * p - d * (k - 1) - 1 - (m - 1) * s
        for n, m, k, s, p, d in zip(
            x.shape[2:], grad.shape[2:], w.shape[2:], stride, padding, dilation
        )
    ]
    back = aten.convolution(
        grad, w, None, stride, padding, dilation, True, [0] * len(stride), groups
    )
    if any(s > 1 for s in stride):
        back = torch.nn.functional.pad(back, (0, left[1], 0, left[0]))
    return back, None, None


def _elu_backward(grad, alpha, scale, input_scale, is_result, x):
    slope = input_scale * alpha * scale * torch.exp(x * input_scale)
    return grad * torch.where(x > 0, torch.full_like(x, scale), slope)


class _PlainLinear(TorchFunctionMode):
    """Linear layers as a product and a sum: torch's own adds its bias in place,
    into a view, whose derivative would be full of strides."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is not nn.functional.linear:
            return function(*args, **(kwargs or {}))
        x, weight, bias = (*args, None)[:3]
        out = x @ weight.t()
        return out if bias is None else out + bias


def traced(module, x):
    """Trace value and gradient of a density into operators that ONNX has.

    Args:
        module (Density): in evaluation mode.
        x (torch.Tensor): example; its sizes become symbols, so they should
            differ from each other and from the network's widths.

    Returns:
        torch.fx.GraphModule: of one input and two outputs.
    """
    from torch._decomp import core_aten_decompositions
    from torch.fx.experimental.proxy_tensor import make_fx

    table = dict(core_aten_decompositions())
    table.pop(aten.constant_pad_nd.default, None)  # ONNX pads; strides it lacks
    table[aten.convolution_backward.default] = _convolution_backward
    table[aten.elu_backward.default] = _elu_backward
    with _PlainLinear():
        made = make_fx(
            torch.func.functionalize(module), decomposition_table=table,
            tracing_mode="symbolic", _allow_non_fake_inputs=True,
        )(x)  # fmt: skip
    made.graph.eliminate_dead_code()
    made.recompile()
    return made
