"""The input-convex network is convex, whatever its weights are."""

import pytest
import torch

from sigpy_priors.models.icnn import ICNN


def network(scale, **options):
    torch.manual_seed(0)
    net = ICNN(**{"width": 6, "kernel": 3, "gain": 3.0, **options}).double()
    for p in net.parameters():
        p.data.normal_(0, scale)
    return net.requires_grad_(False)


def energies(net, x):
    return net(x).sum(dim=(1, 2))


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_no_chord_is_below_the_function(layers, scale):
    net = network(scale, layers=layers)
    a, b = (torch.randn(200, 2, 7, 9, dtype=torch.float64) for _ in range(2))
    t = torch.rand(200, 1, 1, 1, dtype=torch.float64)
    chord = t.flatten() * energies(net, a) + (1 - t.flatten()) * energies(net, b)
    between = energies(net, t * a + (1 - t) * b)
    assert (between <= chord + 1e-9 * chord.abs()).all()
    assert (between < chord).any()


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_the_hessian_has_no_negative_eigenvalue(scale):
    net = network(scale)
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(lambda v: net(v).sum(), x).reshape(
        40, 40
    )
    values = torch.linalg.eigvalsh(hessian)
    assert values.min() >= -1e-9 * values.max() and values.max() > 0


def test_a_negative_weight_would_bend_it(monkeypatch):
    """The chords of the first test do see a network that is not convex."""
    net = network(1.0, layers=2)
    a, b = (torch.randn(200, 2, 7, 9, dtype=torch.float64) for _ in range(2))
    monkeypatch.setattr(torch.Tensor, "abs", lambda w: w)
    middle, ends = energies(net, (a + b) / 2), energies(net, a) + energies(net, b)
    assert (middle > ends / 2).any()


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="expected an odd size, got 4"):
        ICNN(kernel=4)
