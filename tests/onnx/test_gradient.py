"""Gradients written into a graph: those of torch, at other sizes than the traced."""

import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sigpy_priors.onnx.export import IMAGE, _by_running
from sigpy_priors.onnx.gradient import add_gradient

K = torch.Generator().manual_seed(0)
KERNEL = torch.randn(4, 2, 3, 3, generator=K)
BACK = torch.randn(4, 2, 2, 2, generator=K)
MATRIX = torch.randn(6, 2, generator=K)

CASES = {
    "one by one": lambda x: x.exp() + x.sigmoid() * x.tanh() - F.elu(-x) + F.relu(x),
    "far out": lambda x: F.softplus(40 * x) + F.elu(3 * x, 2.0),
    "roots": lambda x: (x * x + 1).sqrt().log() / (2 + x),
    "repeated": lambda x: (
        (x[:, :1] - 2 * x) * x.sum((2, 3), keepdim=True) / (1 + x * x)
    ),
    "chosen": lambda x: torch.where(x > 0.2, x.clamp(0.5, 1), 3 * x) + x.clamp_min(0.1),
    "strided": lambda x: F.conv2d(x, KERNEL, stride=2, padding=1, dilation=1).tanh(),
    "dilated": lambda x: F.conv2d(F.pad(x, (3, -1, 2, 0)), KERNEL, dilation=2).square(),
    "grouped": lambda x: F.conv2d(x, KERNEL[:, :1], groups=2, padding=1).square(),
    "transposed": lambda x: F.conv_transpose2d(
        F.conv2d(x, KERNEL), BACK, stride=2
    ).square(),
    "cut": lambda x: x[:, 1, 2:-1, :-3].square()[:, None] * x[:, :, 2:-1, 3:],
    "halves": lambda x: torch.cat([x, x.exp()], 1).chunk(2, 1)[1] * x,
    "split": lambda x: torch.cat([x, x.exp(), x], 1).split([1, 2, 3], 1)[1] * x,
    "rows": lambda x: F.linear(x.permute(0, 2, 3, 1), MATRIX).log_softmax(-1)[..., 0],
    "summed": lambda x: (x.permute(0, 2, 3, 1) @ MATRIX.T).logsumexp(-1) * x.sum(1),
}


def written(f, x):
    class Net(nn.Module):
        def forward(self, x):
            return f(x).flatten(1).sum(1)

    with torch.no_grad():
        return _by_running(Net(), (x,), (IMAGE,), ["x"], ["y"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_rules(name):
    model = written(CASES[name], torch.rand(3, 2, 12, 14))
    add_gradient(model, "x", "y", "slope")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for shape in ((2, 2, 9, 12), (1, 2, 16, 11)):
        x = torch.randn(shape, generator=K, requires_grad=True)
        (wanted,) = torch.autograd.grad(CASES[name](x).sum(), x)
        (found,) = session.run(["slope"], {"x": x.detach().numpy()})
        torch.testing.assert_close(
            torch.from_numpy(found), wanted, rtol=2e-5, atol=2e-5
        )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "f, message",
    [
        (torch.erf, "ONNX operator Erf"),
        (lambda x: x[..., ::2] + 0, "Slice with steps"),
        (lambda x: x @ x.transpose(2, 3), "MatMul, unless"),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "Pad, unless"),
    ],
)
def test_what_has_no_rule(f, message):
    with pytest.raises(NotImplementedError, match=message):
        add_gradient(written(f, torch.rand(3, 2, 3, 3)), "x", "y", "slope")
