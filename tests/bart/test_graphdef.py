"""Operators of torch against their TensorFlow nodes, run by TensorFlow itself."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tfrun import TFGraph
from torch import nn
from torch.nn import functional as F

from bart_plugin.graph import translate as translate_module
from bart_plugin.graph.aten import OPS
from bart_plugin.graph.graphdef import BATCH, Graph, UntranslatedOperator, Value
from bart_plugin.graph.protobuf import read_graph
from bart_plugin.graph.translate import translate
from sigpy_priors.priors.module import _pad


def _attend(x):
    q = x.flatten(2).transpose(1, 2)[:, None]
    q = F.scaled_dot_product_attention(q, q, q)
    return q.transpose(1, 2).reshape(x.shape)


class _MHA(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        t = x.flatten(2).transpose(1, 2)
        return self.net(t, t, t, need_weights=False)[0].transpose(1, 2).reshape(x.shape)


class _Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 8)

    def forward(self, x):
        return self.net(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Standardised(nn.Conv2d):
    """A kernel that is computed, but from constants alone."""

    def __init__(self):
        super().__init__(4, 6, 3, padding=1)

    def forward(self, x):
        w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, w / w.std((1, 2, 3), keepdim=True), self.bias)


def _windows(x):
    x = x.view(x.shape[0], 4, 3, 4, 4, 4)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(-1, 4, 4, 4)


def _searchsorted(x):
    return torch.searchsorted(torch.linspace(-1, 1, 9), x.mean((1, 2, 3))).float()


MODULES = {
    "conv": lambda: nn.Conv2d(4, 6, 3, padding=1),
    "conv stride": lambda: nn.Conv2d(4, 6, 3, padding=1, stride=2),
    "conv dilated": lambda: nn.Conv2d(4, 6, 3, padding=2, dilation=2),
    "conv groups": lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2),
    "conv even": lambda: nn.Conv2d(4, 4, (4, 2), padding=(1, 3)),
    "conv of standardised weights": _Standardised,
    "transposed": lambda: nn.ConvTranspose2d(4, 6, 2, stride=2),
    "transposed 4": lambda: nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1),
    "transposed 3": lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1),
    "transposed dilated": lambda: nn.ConvTranspose2d(4, 6, 3, 2, dilation=2),
    "transposed groups": lambda: nn.ConvTranspose2d(4, 6, 3, groups=2),
    "group norm": lambda: nn.GroupNorm(2, 4),
    "layer norm": lambda: nn.LayerNorm((4, 12, 16)),
    "batch norm": lambda: nn.BatchNorm2d(4),
    "instance norm": lambda: nn.InstanceNorm2d(4, affine=True),
    "nearest": lambda: nn.Upsample(scale_factor=2),
    "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "pixel shuffle": lambda: nn.PixelShuffle(2),
    "pixel unshuffle": lambda: nn.PixelUnshuffle(2),
    "in place": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)),
    "prelu": nn.PReLU,
    "softplus": nn.Softplus,
    "leaky relu": lambda: nn.LeakyReLU(0.2),
    "mish": nn.Mish,
    "avg pool": lambda: nn.AvgPool2d(2),
    "max pool": lambda: nn.MaxPool2d(3, 2, 1),
    "global pool": lambda: nn.AdaptiveAvgPool2d(1),
    "reflection pad": lambda: nn.ReflectionPad2d(2),
    "replication pad": lambda: nn.ReplicationPad2d((1, 2, 3, 0)),
    "multi-head attention": _MHA,
    "linear": _Linear,
}
FUNCTIONS = {
    "activations": lambda x: F.silu(x) + F.gelu(x) + F.elu(x) + F.gelu(
        x, approximate="tanh") + x.tanh() + F.relu6(x),
    "powers": lambda x: x.abs() ** 1.5 + x**2 + 2**x + x.abs().sqrt(),
    "attention": _attend,
    "einsum": lambda x: torch.einsum("bchw,bdhw->bcd", x, x),
    "reductions": lambda x: x.mean(1) + x.sum((1, 2, 3))[:, None, None] + x.amax(1),
    "variance": lambda x: x.var((2, 3), keepdim=True) * x.std((1, 2, 3), keepdim=True),
    "normalize": lambda x: F.normalize(x, dim=1),
    "softmax": lambda x: x.softmax(1) + x.log_softmax(-1) + x.logsumexp(1, True),
    "join": lambda x: torch.cat([x, x.flip(2), x.roll(3, 2)], 1),
    "stack": lambda x: torch.stack([x, -x], 2).flatten(1, 2),
    "cut": lambda x: x.chunk(2, 1)[1][:, 1, 2:-1, ::2] + x.unbind(1)[2][:, 2:-1, ::2],
    "broadcast": lambda x: x + torch.arange(16.0) + torch.ones(4, 1, 1),
    "expand": lambda x: x[:, :1].expand(-1, 4, -1, -1) * x,
    "compare": lambda x: torch.where((x > 0) & (x < 1), x, -2 * x).clamp(-0.5, 0.5),
    "new tensors": lambda x: torch.full_like(x, 2.0) + torch.zeros(x.shape[0], 4, 1, 1),
    "windows": _windows,
    "searchsorted": _searchsorted,
    "matmul": lambda x: x.matmul(x.transpose(-1, -2)),
    "resize": lambda x: F.interpolate(x, size=(18, 20), mode="nearest"),
}  # fmt: skip


def _nhwc(a):
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1)) if a.ndim == 4 else a


def _graph(function, shape, dynamic):
    graph = Graph(dynamic)
    n, c, h, w = shape
    stored = (-1 if dynamic else n, h, w, c)
    name = graph.placeholder("x", stored)
    if dynamic:
        graph.read_batch(name)
        shape = (BATCH, c, h, w)
    out = translate(graph, function, [Value(shape, np.float32, name)])
    graph.add("Identity", graph.use(out), dtype=out.dtype, name="y")
    return graph.serialize()


def parity(function, library, shape=(3, 4, 12, 16), dynamic=False):
    """Greatest error over the greatest value."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    data = _graph(function, shape, dynamic)
    y = TFGraph(library, data).run({"x": _nhwc(x.numpy())}, "y")
    with torch.no_grad():
        expected = _nhwc(function(x.clone()).numpy())
    assert y.shape == expected.shape
    return np.abs(y - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "any batch"])
@pytest.mark.parametrize("name", [*MODULES, *FUNCTIONS])
def test_operator(libtensorflow, name, dynamic):
    torch.manual_seed(0)
    function = FUNCTIONS.get(name) or MODULES[name]().eval().requires_grad_(False)
    assert parity(function, libtensorflow, dynamic=dynamic) <= 1e-5


def test_group_norm_of_a_large_image(libtensorflow):
    """Where a mean in one stage loses digits."""
    norm = nn.GroupNorm(1, 4).requires_grad_(False)
    assert parity(lambda x: norm(x + 3), libtensorflow, (1, 4, 256, 256)) <= 1e-5


def test_unknown_operator_is_named():
    def function(x):
        return torch.fft.fft2(x).real

    with pytest.raises(UntranslatedOperator, match=r"fft.*Supported are.*convolution"):
        _graph(function, (1, 4, 8, 8), False)


def test_value_dependent_network_is_refused():
    def function(x):
        return x * float(x.max())

    with pytest.raises(UntranslatedOperator, match="looks at the values"):
        _graph(function, (1, 4, 8, 8), False)


def test_padding_by_indices_is_computed_at_export(tmp_path):
    """No node where there is nothing to pad, else one gather for each axis."""

    def operators(shape):
        (tmp_path / "g.pb").write_bytes(_graph(lambda x: _pad(x, 4) * 2, shape, False))
        return Counter(op for op, _ in read_graph(tmp_path / "g.pb").values())

    assert operators((1, 2, 8, 12)) == Counter(
        Placeholder=1, Const=1, Mul=1, Identity=1
    )
    padded = operators((1, 2, 7, 9))
    assert padded["GatherV2"] == 2
    assert not {"Minimum", "Range", "Cast"} & set(padded)


def test_handlers_are_named_after_operators():
    for handler in OPS.values():
        operator = handler.__name__.removeprefix("aten_")
        assert handler.__name__ == f"aten_{operator}"
        assert any(operator == name.lstrip("_") for name in OPS), operator


def test_graphs_know_no_prior():
    folder = Path(translate_module.__file__).parent
    for file in folder.glob("*.py"):
        assert not re.search(r"^\s*(from|import) sigpy", file.read_text(), re.M), file
