"""Training batches: what they are drawn from, and what is done to it."""

import numpy as np
import pytest
import torch

from sigpy_priors.train.batches import Batches
from sigpy_priors.train.datasets import Slices, open_training
from sigpy_priors.train.pixel_store import PixelStore, placements


def batches_of(config, data, share=(0, 1)):
    return Batches(open_training(config.data, data), config, "cpu", share)


def slices_of(images, noise=0.0):
    n = len(images)
    return Slices(images, np.ones(n), np.full(n, 1 / n), np.full(n, noise))


def same(a, b):
    return all(
        torch.equal(getattr(a, k), getattr(b, k)) for k in ("x", "noise", "sigma")
    )


def test_a_batch_is_a_function_of_seed_and_step(make_config, tiny_data):
    for model in ("smooth", "measured"):
        changes = dict(data__phase__model=model, data__phase__fields=3)
        one = batches_of(make_config(**changes), tiny_data)
        two = batches_of(make_config(**changes), tiny_data)
        later = [two(s, 16) for s in (7, 3, 0)][::-1]  # in another order
        assert all(same(one(s, 16), b) for s, b in zip((0, 3, 7), later))
        assert not same(one(0, 16), one(1, 16))
        other = batches_of(make_config(seed=1, **changes), tiny_data)
        assert not same(one(0, 16), other(0, 16))


def test_processes_share_a_batch(make_config, tiny_data):
    whole = batches_of(make_config(), tiny_data)(5, 16)
    parts = [batches_of(make_config(), tiny_data, (k, 2))(5, 16) for k in (0, 1)]
    for key in ("x", "noise", "sigma"):
        both = torch.cat([getattr(p, key) for p in parts])
        torch.testing.assert_close(both, getattr(whole, key), rtol=0, atol=0)


def test_noise_and_levels_have_the_stated_distribution(make_config, tiny_data):
    config = make_config(
        optim__batch_size=500, sigma__center=0.1, sigma__spread=0.5, sigma__min=0.05
    )
    items = [batches_of(config, tiny_data)(s, 16) for s in range(4)]
    log_sigma = torch.cat([b.sigma for b in items]).log()
    noise = torch.cat([b.noise for b in items])
    assert all(b.x.shape == b.noise.shape == (500, 2, 16, 16) for b in items)
    assert all(b.own is None for b in items)
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
    assert log_sigma.min().item() == pytest.approx(np.log(0.05), abs=1e-5)
    assert abs(log_sigma.median() - np.log(0.1)) < 0.06
    above = log_sigma[log_sigma > np.log(0.1)] - np.log(0.1)
    assert abs(above.square().mean().sqrt() - 0.5) < 0.05


def windows(shapes, count, crop, affine, seed=0):
    """Crops of images that hold every pixel's own row and column."""
    images = [
        (i + 1j * j).astype(np.complex64)
        for i, j in (np.mgrid[: s[0], : s[1]] for s in shapes)
    ]
    store = PixelStore(images, np.ones(len(images)), torch.device("cpu"))
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(images), size=count)
    turned = rng.random(count) < affine
    center, matrix = placements(rng, store.shapes[chosen], turned, crop)
    made = store.windows(chosen, center, matrix, crop)
    places, turns = torch.from_numpy(made.places), torch.from_numpy(made.turns)
    return store.cut(made, places, turns, crop), chosen, turned


def test_windows_on_whole_pixels_come_from_everywhere_in_all_orientations():
    shapes = [(20, 14), (9, 30)]
    cut, chosen, _ = windows(shapes, 600, 8, affine=0)
    i, j = cut[:, 0], cut[:, 1]
    assert (cut - cut.round()).abs().max() < 2e-3
    corners, turns = [set(), set()], set()
    for k, which in enumerate(chosen):
        low = (round(float(i[k].min())), round(float(j[k].min())))
        corners[which].add(low)
        assert i[k].max() - low[0] == pytest.approx(7, abs=2e-3)
        jac = [v[k].diff(dim=a).mean().round().item() for v in (i, j) for a in (0, 1)]
        turns.add(tuple(jac))
        assert abs(jac[0] * jac[3] - jac[1] * jac[2]) == 1
    for found, (h, w) in zip(corners, shapes):
        assert {c[0] for c in found} == set(range(h - 7))
        assert {c[1] for c in found} == set(range(w - 7))
    assert len(turns) == 8


def test_turned_windows_have_the_stated_zoom_and_any_angle():
    cut, _, turned = windows([(200, 200)], 300, 32, affine=0.5)
    assert 0.4 < turned.mean() < 0.6
    i, j = cut[:, 0], cut[:, 1]
    inner = slice(8, 24)
    jac = torch.stack(
        [
            v[:, inner, inner].diff(dim=a).mean(dim=(1, 2))
            for v in (i, j)
            for a in (1, 2)
        ]
    ).T.reshape(-1, 2, 2)[torch.from_numpy(turned)]
    det = torch.linalg.det(jac)
    stretch = torch.linalg.svdvals(jac)
    assert (stretch[:, 0] / stretch[:, 1]).max() < np.exp(0.24) * 1.02
    zoom = det.abs().sqrt()
    assert 0.74 < zoom.min() < 0.80 and 1.28 < zoom.max() < 1.37
    assert abs(det.sign().mean()) < 0.25
    angle = torch.atan2(jac[:, 1, 0], jac[:, 0, 0])
    assert abs(torch.exp(1j * angle).mean()) < 0.2


def test_an_image_smaller_than_the_crop_is_padded_with_zeros(make_config):
    config = make_config(data__affine=0, data__crop=[16], optim__batch_size=20)
    x = Batches(slices_of([np.ones((6, 10), np.float32)]), config, "cpu")(0, 16).x
    assert ((x.square().sum(dim=1) > 1e-9).sum(dim=(1, 2)) == 60).all()


def test_sources_are_drawn_with_their_weights(tmp_path, make_config):
    levels = {"a": [0.2] * 30 + [0.4] * 2, "b": [0.8] * 5}
    for name, values in levels.items():
        img = np.stack([np.full((16, 16), v, np.float32) for v in values])
        meta = np.array([[f"source {v}", "x"] for v in values])
        np.savez(tmp_path / f"{name}.npz", img=img, meta=meta)
    for balance, share in ((1.0, 30 / 32), (0.0, 0.5)):
        train = [
            {"path": "a.npz", "weight": 3, "balance": balance},
            {"path": "b.npz", "weight": 1},
        ]
        config = make_config(data__train=train, optim__batch_size=4000)
        slices = open_training(config.data, tmp_path)
        value = slices.scales  # of constant images
        assert slices.weights[value > 0.6].sum() == pytest.approx(0.25)
        assert slices.weights[value < 0.3].sum() == pytest.approx(0.75 * share)
        rng = np.random.default_rng(0)
        drawn = Batches(slices, config, "cpu")._draw(rng, np.ones(4000), np.ones(4000))
        assert (value[drawn] > 0.6).mean() == pytest.approx(0.25, abs=0.03)
    with pytest.raises(ValueError, match="all of the patterns a weight, or none"):
        make_config(data__train=["a.npz", {"path": "b.npz", "weight": 1}])


def test_the_own_noise_follows_gain_and_shading(make_config):
    """Flat images with noise: what is left of them is as strong as stated."""
    rng, level = np.random.default_rng(0), 0.05
    images = [
        np.abs(1 + level / 2**0.5 * rng.standard_normal((128, 128)).astype(np.float32))
        for _ in range(20)
    ]
    config = make_config(
        data__noise_aware=True, optim__batch_size=64, data__crop=[48],
        sigma__center=0.3, sigma__min=0.2,
    )  # fmt: skip
    b = Batches(slices_of(images, level), config, "cpu")(0, 48)
    z = torch.complex(b.x[:, 0], b.x[:, 1])
    # White noise by a cross difference, to which smooth phase adds nothing.
    a = z[:, :-1, :-1] * z[:, 1:, 1:] - z[:, 1:, :-1] * z[:, :-1, 1:]
    found = a.abs().square().mean(dim=(1, 2)).sqrt() / z.abs().mean(dim=(1, 2)) / 2
    own = b.own.mean(dim=(1, 2, 3))
    assert own.std() > 0.1 * own.mean()  # gain
    assert (b.own[:, 0].std(dim=(1, 2)) > 1e-3).any()  # shading
    assert found.mean().item() == pytest.approx(own.mean().item(), rel=0.12)
    assert np.corrcoef(found, own)[0, 1] > 0.8


def test_below_its_own_noise_a_slice_is_not_drawn(make_config):
    images = [np.full((16, 16), v, np.float32) for v in (0.5, 1.0)]
    slices = Slices(images, np.ones(2), np.array([0.01, 0.99]), np.array([0.0, 0.1]))
    config = make_config(data__noise_aware=True)
    b = Batches(slices, config, "cpu")
    ones = np.ones(1000)
    rng = np.random.default_rng(0)
    assert (b._draw(rng, 0.09 * ones, ones) == 0).all()
    assert (b._draw(rng, 0.3 * ones, ones) == 1).mean() > 0.97
    assert (b._draw(rng, 0.3 * ones, 4 * ones) == 0).all()  # brighter, and noisier
