"""The U-Net: shapes, stride, independence of images, gradients."""

import math

import pytest
import torch

from sigpy_priors.models.unet import UNet

TINY = {"channels": (4, 8), "blocks": (1, 2), "emb_channels": 8}


def random_net(**options):
    """A network without the zeros of a new one."""
    torch.manual_seed(0)
    net = UNet(**{**TINY, **options})
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0, 0.2)
    return net


@pytest.mark.parametrize(
    "options, stride",
    [
        ({}, 4),
        ({"patch": 1}, 2),
        ({"patch": 4}, 8),
        ({"channels": (4, 6, 8), "blocks": (1, 0, 1)}, 8),
        ({"channels": (4,), "blocks": (1,)}, 2),
    ],
)
def test_shapes_are_kept_at_every_multiple_of_the_stride(options, stride):
    net = random_net(**options)
    assert net.stride == stride
    for h, w in ((1, 1), (2, 3), (5, 1)):
        x = torch.randn(3, 2, h * stride, w * stride)
        assert net(x, torch.randn(3)).shape == x.shape


def test_other_sizes_are_refused():
    if random_net().stride == 4:
        with pytest.raises(RuntimeError):
            random_net()(torch.randn(1, 2, 6, 8), torch.zeros(1))


def test_other_numbers_of_channels():
    net = random_net(in_channels=4, out_channels=6)
    assert net(torch.randn(2, 4, 8, 8), torch.zeros(2)).shape == (2, 6, 8, 8)


def test_a_new_network_returns_zero_at_every_noise_level():
    """With EDM's c_skip the first guess is then the Wiener filter."""
    out = UNet(**TINY)(torch.randn(2, 2, 8, 8), torch.tensor([-1.0, 1.0]))
    assert torch.equal(out, torch.zeros_like(out))


def test_images_of_a_batch_do_not_see_each_other():
    net = random_net()
    x, c = torch.randn(3, 2, 8, 12), torch.tensor([-1.0, 0.0, 1.0])
    together = net(x, c)
    for k in range(3):
        alone = net(x[k : k + 1], c[k : k + 1])
        torch.testing.assert_close(together[k : k + 1], alone, rtol=1e-4, atol=1e-5)


def test_the_noise_level_matters():
    net = random_net()
    x = torch.randn(1, 2, 8, 8)
    a, b = net(x, torch.tensor([-1.0])), net(x, torch.tensor([-0.9]))
    assert (a - b).abs().max() > 1e-3 * a.abs().max()


def test_translation_by_the_stride_translates_the_output():
    """Nothing normalises over space, so the image size does not matter."""
    net = random_net(blocks=(1, 1))
    x = torch.zeros(1, 2, 96, 96)
    x[:, :, 40:48, 40:48] = torch.randn(1, 2, 8, 8)
    a, b = net(x, torch.zeros(1)), net(x.roll(net.stride, -1), torch.zeros(1))
    inner = (..., slice(24, 72), slice(24, 72))
    torch.testing.assert_close(
        a.roll(net.stride, -1)[inner], b[inner], rtol=1e-4, atol=1e-5
    )
    assert (a[inner] - b[inner]).abs().max() > 1e-2
    cut = net(x[..., 8:88, 8:88], torch.zeros(1))
    torch.testing.assert_close(cut[..., 24:56, 24:56], a[..., 32:64, 32:64])


def test_gradients_reach_every_weight_and_the_input():
    net = random_net()
    x = torch.randn(2, 2, 8, 8, requires_grad=True)
    net(x, torch.tensor([-1.0, 0.5])).square().sum().backward()
    assert x.grad.abs().max() > 0
    for name, p in net.named_parameters():
        assert p.grad is not None and p.grad.abs().max() > 0, name


def test_input_gradient_against_finite_differences():
    net = random_net().double()
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    c = torch.tensor([0.3], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v: net(v, c), (x,), eps=1e-7, atol=1e-4)


def test_levels_must_agree():
    with pytest.raises(ValueError, match="one entry per level, got 2 and 1"):
        UNet(channels=(4, 8), blocks=(1,))


def test_the_embedding_is_not_part_of_the_weights():
    assert not any("freq" in k for k in UNet(**TINY).state_dict())


def rotated(x, angle):
    z = torch.complex(x[:, 0], x[:, 1]) * complex(math.cos(angle), math.sin(angle))
    return torch.stack([z.real, z.imag], dim=1)


def test_without_the_smooth_phase_it_turns_with_the_image():
    x, c = torch.randn(2, 2, 12, 16, dtype=torch.float64), torch.zeros(2).double()
    turns = {}
    for width in (0, 2):
        net = random_net(phase_width=width).double()
        expected = rotated(net(x, c), 0.8)
        turns[width] = (net(rotated(x, 0.8), c) - expected).abs().max()
        assert expected.abs().max() > 0.1
    assert turns[2] < 1e-12 < 1e-3 < turns[0]


def test_images_of_smooth_phase_reach_the_network_nearly_real():
    net = random_net(phase_width=2)
    i, j = torch.meshgrid(
        torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 40), indexing="ij"
    )
    phase = i - 0.5 * j + 0.5 * i * j
    x = torch.stack([phase.cos(), phase.sin()])[None] * (1 + 0.3 * torch.cos(9 * i))
    seen = []
    net.head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    net(x, torch.zeros(1))
    re, im = torch.nn.functional.pixel_shuffle(seen[0], 2)[0]
    # At the border a low-pass sees one side only.
    middle = (slice(5, -5), slice(5, -5))
    assert im[middle].abs().max() < 0.05 < 0.3 < x[0, 1].abs().max()
    assert (re - x.norm(dim=1)[0])[middle].abs().max() < 1e-3


def test_no_signal_and_no_phase_is_no_nan():
    net = random_net(phase_width=2)
    x = torch.zeros(1, 2, 8, 8, requires_grad=True)
    (g,) = torch.autograd.grad(net(x, torch.zeros(1)).sum(), x)
    assert g.isfinite().all()


@pytest.mark.parametrize("change", [{"phase_width": -1}, {"in_channels": 4}])
def test_phase_is_that_of_complex_images(change):
    with pytest.raises(ValueError, match="phase_width is a width in pixels"):
        UNet(**{"phase_width": 2, **change})
