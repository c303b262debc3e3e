"""Random phase: the statistics of measured phase, and the fields in closed form."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from sigpy_priors.train import phase as phases
from sigpy_priors.train.batches import Batches
from sigpy_priors.train.config import PhaseConfig
from sigpy_priors.train.datasets import open_training

SIZE = 96


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Ellipses in air, two tissues."""
    root = tmp_path_factory.mktemp("heads")
    i, j = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    img = [
        (i**2 + (j * a) ** 2 < 0.7) * (0.45 + 0.5 * (np.hypot(i - 0.2, j) < 0.4))
        for a in (1.0, 1.2, 1.4, 1.6)
    ]
    np.save(root / "train.npy", np.array(img, np.float32))
    return root


def angles(make_config, root, seed=0, **phase):
    """Phase images, and where they have signal."""
    config = make_config(
        data__train=["train.npy"], data__affine=0, data__phase=phase, seed=seed,
        optim__batch_size=80,
    )  # fmt: skip
    x = Batches(open_training(config.data, root), config, "cpu")(0, SIZE).x.numpy()
    z = x[:, 0] + 1j * x[:, 1]
    return z, np.abs(z) > 0.12 * np.abs(z).max(axis=(1, 2), keepdims=True)


def local(z, inside):
    """Rms phase that a Gaussian low-pass leaves (table in tests/benchmarks/phase.py)."""
    width = SIZE / 16
    low = [
        gaussian_filter(v.real, width) + 1j * gaussian_filter(v.imag, width) for v in z
    ]
    rest = np.angle(z * np.conj(low))
    return np.array([np.sqrt(np.mean(r[m] ** 2)) for r, m in zip(rest, inside)])


def test_the_measured_phase_is_as_rough_as_that_of_scans(make_config, heads):
    rough = local(*angles(make_config, heads, model="measured", fields=40))
    assert 0.2 < np.median(rough) < 0.7  # real heads: 0.25 to 0.7
    assert np.quantile(rough, 0.9) < 1.6
    smooth = local(*angles(make_config, heads, model="smooth"))
    assert np.median(rough) > 3 * np.median(smooth)


def test_every_part_of_the_measured_phase_can_be_switched(make_config, heads):
    off = dict(
        model="measured", fields=4, shift=0, background=0, air=0, chemical_share=0
    )
    z, inside = angles(make_config, heads, **off)
    flat = np.abs(local(z, inside))
    assert flat.max() < 1e-3
    for part in ({"shift": 1}, {"background": 1}, {"air": 8}, {"chemical_share": 1}):
        z, inside = angles(make_config, heads, **{**off, **part})
        assert np.median(local(z, inside)) > 0.005, part
    # An echo shift of one cycle, times the strength of 1.
    z, inside = angles(make_config, heads, **{**off, "shift": 1.0, "strength": (1, 1)})
    step = np.angle(np.sum(z[:, 1:] * z[:, :-1].conj(), axis=(1, 2))) * SIZE / 2 / np.pi
    assert step.std() == pytest.approx(1, abs=0.2)


def test_the_field_of_a_cylinder_of_air():
    """Outside it falls as cos(2 phi) a^2 / 2 r^2; inside it is constant."""
    n, radius = 256, 24
    i, j = np.mgrid[:n, :n] - (n - 1) / 2
    img = torch.from_numpy((np.hypot(i, j) > radius).astype(np.float32))[None]
    first, second = phases.air_fields(img, 0.5)[0].numpy()
    # Beyond the picture there is no air.
    i, j = i[::2, ::2] + 0.5, j[::2, ::2] + 0.5
    r, phi = np.hypot(i, j), np.arctan2(i, j)
    ring = (r > 1.4 * radius) & (r < 2.5 * radius)
    expected = radius**2 / (2 * r**2)
    np.testing.assert_allclose(
        -first[ring], (np.cos(2 * phi) * expected)[ring], atol=0.03
    )
    np.testing.assert_allclose(
        -second[ring], (np.sin(2 * phi) * expected)[ring], atol=0.03
    )
    assert np.abs(first[r < 0.6 * radius]).max() < 0.03


def test_background_fields_have_their_spectrum_and_are_seamless():
    config = PhaseConfig(decay=(3, 3), knee=(2, 2), fields=20)
    background = phases.Background(config, 0, torch.device("cpu"))
    n = 256
    whole = background(
        torch.arange(20), torch.zeros(20, 2), torch.full((20, 2), 1 / n), n
    )
    assert whole.std(dim=(1, 2)).numpy() == pytest.approx(1, abs=1e-2)
    power = torch.fft.fft2(whole).abs().square().mean(dim=0).numpy()
    k = np.fft.fftfreq(n) * n
    k = np.hypot(k[:, None], k[None])
    near, far = ((k > a) & (k < a + 2) for a in (8, 24))
    ratio = power[near].mean() / power[far].mean()
    expected = ((k[far] ** 2 + 4) ** -3).mean() / ((k[near] ** 2 + 4) ** -3).mean()
    assert ratio * expected == pytest.approx(1, rel=0.3)
    # A window over the edge is the rolled field; one that runs backwards is mirrored.
    start = torch.tensor([[0.75, 0.5]])
    step = torch.tensor([[1 / n, -1 / n]])
    part = background(torch.tensor([3]), start, step, n)[0]
    rolled = whole[3].roll((64, -128), (0, 1)).flip(1).roll(1, 1)
    torch.testing.assert_close(part, rolled, atol=2e-3, rtol=0)


def test_smooth_fields_are_the_bicubic_ones_between_their_knots():
    knots = torch.randn(4, 25, generator=torch.Generator().manual_seed(0))
    basis = phases.smooth_basis(37, torch.device("cpu"))
    fields = phases.smooth_fields(basis, torch.arange(4), knots)
    for field, k, order in zip(fields, knots.reshape(4, 5, 5), phases.KNOTS):
        expected = torch.nn.functional.interpolate(
            k[None, None, :order, :order], (37, 37), mode="bicubic", align_corners=True
        )[0, 0]
        torch.testing.assert_close(field, expected, atol=1e-5, rtol=1e-4)
