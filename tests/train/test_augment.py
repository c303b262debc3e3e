"""Augmentation does what it says, by statistics and by exact images."""

import numpy as np
import pytest
import torch

from sigpy_priors.train.augment import _geometry, complex_crop, smooth_field


def rng_of(seed):
    return np.random.default_rng((seed, 0))


def as_complex(channels):
    return torch.complex(channels[0], channels[1]).numpy()


def ramps(h, w):
    """Two channels that hold every pixel's own row and column."""
    i, j = np.mgrid[:h, :w]
    return torch.from_numpy(np.stack([i, j]).astype(np.float32))


def test_smooth_field_is_smooth_and_of_unit_variance():
    fields = torch.stack([smooth_field(rng_of(s), (96, 80), 4) for s in range(300)])
    assert abs(fields.mean()) < 0.1
    assert 0.7 < fields.std() < 1.1  # interpolation lowers it
    for axis in (1, 2):
        assert fields.diff(dim=axis).std() < 0.1 * fields.std()
    # More knots, more variation.
    fine = torch.stack([smooth_field(rng_of(s), (96, 80), 8) for s in range(50)])
    assert fine.diff(dim=1).std() > 1.5 * fields.diff(dim=1).std()


def test_right_angles_and_flips_all_occur_and_nothing_else():
    img = ramps(9, 9)
    group = [
        torch.rot90(img, k, (1, 2)).flip(-1) if flip else torch.rot90(img, k, (1, 2))
        for k in range(4)
        for flip in (False, True)
    ]
    seen = np.zeros(8)
    for s in range(200):
        got = _geometry(img, 9, rng_of(s), affine=0)
        match = [torch.equal(got, g) for g in group]
        assert sum(match) == 1
        seen += match
    assert seen.min() > 10


def test_crops_are_windows_from_everywhere():
    img = ramps(20, 14)
    corners = set()
    for s in range(300):
        i, j = _geometry(img, 8, rng_of(s), affine=0).numpy()
        assert sorted(set(i.ravel())) == list(range(int(i.min()), int(i.min()) + 8))
        assert sorted(set(j.ravel())) == list(range(int(j.min()), int(j.min()) + 8))
        corners.add((int(i.min()), int(j.min())))
    assert {c[0] for c in corners} == set(range(13))
    assert {c[1] for c in corners} == set(range(7))


def test_an_image_smaller_than_the_crop_is_padded_with_zeros():
    img = torch.ones(1, 6, 10)
    for s in range(8):
        got = _geometry(img, 16, rng_of(s), affine=0)
        assert got.shape == (1, 16, 16) and got.sum() == 60
        assert _geometry(img, 16, rng_of(s), affine=1).shape == (1, 16, 16)


def test_affine_is_a_rotation_with_zoom_of_the_stated_range():
    img = ramps(200, 200)  # interpolated to about 0.1
    zooms, angles, signs = [], [], []
    for s in range(200):
        i, j = _geometry(img, 32, rng_of(s), affine=1)[:, 8:24, 8:24].numpy()
        jac = np.array([[np.diff(v, axis=a).mean() for a in (0, 1)] for v in (i, j)])
        assert np.abs(np.diff(i, n=2, axis=0)).max() < 0.3
        det = np.linalg.det(jac)
        stretch = np.linalg.svd(jac, compute_uv=False)
        assert stretch[0] / stretch[1] < np.exp(0.24) * 1.01
        zooms.append(np.sqrt(abs(det)))
        signs.append(np.sign(det))
        angles.append(np.arctan2(jac[1, 0], jac[0, 0]))
    assert 0.74 < min(zooms) < 0.80 and 1.28 < max(zooms) < 1.36
    assert abs(np.mean(signs)) < 0.25
    assert abs(np.mean(np.exp(1j * np.array(angles)))) < 0.2


def test_affine_is_drawn_with_its_probability():
    img = ramps(40, 40)
    exact = [
        bool((_geometry(img, 16, rng_of(s), 0.4) % 1 == 0).all()) for s in range(400)
    ]
    assert 0.52 < np.mean(exact) < 0.68


def test_the_global_phase_is_uniform():
    flat = np.ones((16, 16), np.float32)
    for img in (flat, flat.astype(np.complex64)):
        z = [as_complex(complex_crop(img, 16, rng_of(s)))[8, 8] for s in range(400)]
        unit = np.array(z) / np.abs(z)
        assert abs(unit.mean()) < 0.12 and abs((unit**2).mean()) < 0.12


def test_the_phase_of_magnitude_images_is_smooth_and_not_constant():
    flat = np.ones((96, 96), np.float32)
    spread, step = [], []
    for s in range(100):
        z = as_complex(complex_crop(flat, 96, rng_of(s), affine=0, add_phase=False))
        unit = z / np.abs(z)
        step.append(np.abs(np.angle(unit[1:] * unit[:-1].conj())).max())
        spread.append(np.abs(np.angle(unit * unit.mean().conj())).max())
    assert np.mean(np.array(spread) > 0.5) > 0.5  # wide in most images
    assert max(step) < 0.6 and np.median(step) < 0.1  # radian per pixel


def test_the_phase_sometimes_follows_the_tissue():
    """Fat and water: a step in the magnitude may come with one in the phase."""
    img = np.full((32, 32), 0.1, np.float32)
    img[:, 16:] = 1.0
    jump = []
    for s in range(300):
        z = as_complex(complex_crop(img, 32, rng_of(s), affine=0))
        z = z if np.ptp(np.abs(z[16])) > 0.3 else z.T  # rotated by 90 degrees
        jump.append(abs(np.angle(z[16, 17] * z[16, 14].conj())))
    assert 0.1 < np.mean(np.array(jump) > 0.4) < 0.35


def test_the_scale_is_random_around_one():
    flat = np.ones((48, 48), np.float32)
    log = [
        np.log(np.abs(as_complex(complex_crop(flat, 48, rng_of(s), affine=0))))
        for s in range(400)
    ]
    gain = np.array([v.mean() for v in log])
    assert abs(gain.mean()) < 0.05
    assert 0.17 < gain.std() < 0.32
    # Shading varies within the image too, slowly.
    assert 0.05 < np.mean([v.std() for v in log]) < 0.4
    assert max(np.abs(np.diff(v, axis=0)).max() for v in log) < 0.2


def test_magnitudes_stay_up_to_gain_and_shading():
    """The phase must not leak into the magnitude: zeros stay zeros."""
    img = np.zeros((24, 24), np.float32)
    img[6:18, 6:18] = 1
    for s in range(20):
        x = np.abs(as_complex(complex_crop(img, 24, rng_of(s), affine=0)))
        np.testing.assert_array_equal(x == 0, img == 0)
        assert np.abs(np.diff(np.log(x[6:18, 6:18]), axis=0)).max() < 0.3
    x = complex_crop(img, 24, rng_of(1), affine=1)
    assert torch.isfinite(x).all()


@pytest.fixture
def phase_image():
    """Complex, unit magnitude, rough phase: no two orientations agree."""
    phase = np.random.default_rng(3).uniform(-np.pi, np.pi, (32, 32))
    return np.exp(1j * phase).astype(np.complex64)


def orientations(img):
    for k in range(4):
        yield np.rot90(img, k)
        yield np.rot90(img, k)[:, ::-1]


def test_complex_data_keep_their_phase(phase_image):
    for s in range(20):
        x = complex_crop(phase_image, 32, rng_of(s), affine=0, add_phase=False)
        z = as_complex(x)
        rest = [z / np.abs(z) * o.conj() for o in orientations(phase_image)]
        constant = [np.abs(r - r[0, 0]).max() < 1e-4 for r in rest]
        assert sum(constant) == 1


def test_complex_data_get_a_smooth_phase_on_top(phase_image):
    spread = []
    for s in range(30):
        z = as_complex(complex_crop(phase_image, 32, rng_of(s), affine=0))
        rest = [z / np.abs(z) * o.conj() for o in orientations(phase_image)]
        rough = [np.abs(r[1:] * r[:-1].conj() - 1).mean() for r in rest]
        best = rest[int(np.argmin(rough))]
        assert min(rough) < 0.5 < sorted(rough)[1]
        spread.append(np.abs(best - best.mean()).max())
    assert np.mean(np.array(spread) > 0.2) > 0.5
