"""Image and coil maps together."""

import warnings

import numpy as np
import pytest
import sigpy as sp
import sigpy.mri as mr

import sigpy_priors as spp
from sigpy_priors import volume
from sigpy_priors.app import JointRecon, PriorRecon
from sigpy_priors.scan.joint_maps import change_of_maps, coarse_maps, smooth_maps

N = 64


def phantom(seed=0, coils=6):
    """A smooth head with details, maps, and its k-space with noise."""
    rng = np.random.default_rng(seed)
    x = sp.shepp_logan((N, N)).astype(np.complex64)
    mps = mr.birdcage_maps((coils, N, N), r=1.5)
    mps = (mps / sp.rss(mps, axes=(0,))).astype(np.complex64)
    z = rng.standard_normal((2, coils, N, N))
    y = sp.fft(mps * x, axes=(-2, -1)) + 0.01 * (z[0] + 1j * z[1]) / 2**0.5
    return x, mps, y.astype(np.complex64)


def mask_of(centre, accel=3, seed=0):
    mask = np.random.default_rng(seed).random((N, N)) < 1 / accel
    middle = slice(N // 2 - centre // 2, N // 2 + centre // 2)
    mask[N // 2 - 6 : N // 2 + 6, N // 2 - 6 : N // 2 + 6] |= (
        np.random.default_rng(seed + 1).random((12, 12)) < 0.5
    )
    mask[N // 2 - centre // 2 - 1, N // 2] = False
    mask[middle, middle] = True
    return mask


def error(a, b):
    """Of magnitudes, relative."""
    return np.linalg.norm(abs(a) - abs(b)) / np.linalg.norm(b)


@pytest.fixture(scope="module")
def prior():
    return spp.load_prior("brain")


def test_as_good_as_true_maps(prior):
    """From a centre of 6 x 6, where ESPIRiT alone refuses."""
    x, mps, full = phantom()
    y = full * mask_of(6)
    with pytest.raises(ValueError, match="JointRecon"):
        spp.maps.estimate_maps(y)
    known = PriorRecon(y, mps, prior, show_pbar=False).run()
    app = JointRecon(y, prior, show_pbar=False)
    image, found = app.run()
    assert app.converged and found is app.mps
    assert change_of_maps(found, mps, x) < 0.6 * change_of_maps(coarse_maps(y), mps, x)
    assert error(image, x) < 1.1 * error(known, x)


@pytest.mark.parametrize("kind", ["equispaced", "none", "one line"])
def test_no_centre_is_an_error_not_an_image(prior, kind):
    _, _, full = phantom()
    mask = np.zeros((N, N), bool)
    if kind == "equispaced":
        mask[::2, ::2] = True
    elif kind == "one line":
        mask[::3] = mask[N // 2] = True
    else:
        mask = mask_of(0)
        mask[N // 2, N // 2] = False
    with pytest.raises(ValueError, match="centre of k-space is fully sampled over"):
        JointRecon(full * mask, prior, show_pbar=False)


def test_rounds_that_diverge_are_an_error(prior):
    """A refinement that makes the maps ever weaker."""
    _, mps, full = phantom()
    y = full * mask_of(8)
    factors = iter(0.4 ** np.arange(1, 20))
    app = JointRecon(
        y, prior, mps=mps, refine=lambda x, y: next(factors) * mps, show_pbar=False
    )
    with pytest.raises(ValueError, match="diverge.*measure more of it, or give maps"):
        app.run()


def test_a_trajectory_needs_no_maps(prior):
    x, mps, _ = phantom()
    angle = np.pi * 0.618 * np.arange(28)[:, None]
    r = np.arange(-N / 2, N / 2)
    coord = np.stack([r * np.sin(angle), r * np.cos(angle)], -1).astype(np.float32)
    y = np.stack([sp.nufft(m * x, coord) for m in mps]).astype(np.complex64)
    known = PriorRecon(y, mps, prior, coord=coord, show_pbar=False).run()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image, found = JointRecon(
            y, prior, coord=coord, shape=(N, N), max_rounds=2, show_pbar=False
        ).run()
    assert change_of_maps(found, mps, x) < 0.1
    assert error(image, x) < 1.3 * error(known, x)


def test_smooth_maps_of_the_true_image_are_the_true_ones():
    """Of data without noise, up to what W gives up for smoothness."""
    x, mps, _ = phantom()
    mask = mask_of(6)
    y = (mask * sp.fft(mps * x, axes=(-2, -1))).astype(np.complex64)
    found = smooth_maps(x, y, weights=mask.astype(np.float32))
    assert change_of_maps(found, mps, x) < 0.04


def test_refine_may_give_operators(prior):
    """That of the true maps: then it is PriorRecon with them."""
    x, mps, full = phantom()
    mask = mask_of(10).astype(np.float32)
    y = full * mask
    seen = []

    def refine(image, data):
        seen.append((image.shape, data.shape))
        return mr.linop.Sense(mps, weights=mask)

    app = JointRecon(
        y, prior, refine=refine, max_rounds=2, noise_std=0.01, show_pbar=False
    )
    image, none = app.run()
    assert none is None and seen == [(x.shape, y.shape)] * 2
    known = PriorRecon(y, mps, prior, noise_std=0.01, show_pbar=False).run()
    assert np.linalg.norm(image - known) < 0.02 * np.linalg.norm(known)


def test_no_unit_and_no_dead_coil_matters(prior):
    _, _, full = phantom(coils=4)
    y = full * mask_of(8)
    options = dict(max_rounds=4, show_pbar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image, mps = JointRecon(y, prior, **options).run()
        dead = np.zeros((1, N, N), np.complex64)
        more = np.concatenate([dead, 1e3 * y])
        other, maps = JointRecon(more, prior, **options).run()
    assert not maps[0].any()
    assert change_of_maps(maps[1:], mps, image) < 0.01
    assert np.linalg.norm(other / 1e3 - image) < 0.02 * np.linalg.norm(image)


def test_one_coil_has_nothing_to_find(prior):
    x, _, _ = phantom()
    y = (sp.fft(x)[None] * mask_of(8)).astype(np.complex64)
    image, mps = JointRecon(y, prior, show_pbar=False).run()
    ones = np.ones_like(y)
    np.testing.assert_array_equal(mps, ones)
    expected = PriorRecon(y, ones, prior, show_pbar=False).run()
    np.testing.assert_allclose(image, expected, atol=1e-5 * abs(expected).max())


def test_bad_arguments(prior):
    _, _, full = phantom(coils=2)
    y = full * mask_of(8)
    with pytest.raises(ValueError, match="refine: expected a function"):
        JointRecon(y, prior, refine=3, show_pbar=False)
    with pytest.raises(ValueError, match="refine: expected maps"):
        JointRecon(y, prior, refine=lambda x, y: x, show_pbar=False).run()
    with pytest.raises(ValueError, match="max_rounds"):
        JointRecon(y, prior, max_rounds=0, show_pbar=False)
    with pytest.raises(ValueError, match="y: all values are zero"):
        JointRecon(0 * y, prior, show_pbar=False)
    with pytest.warns(UserWarning, match="more max_rounds may help"):
        JointRecon(y, prior, max_rounds=1, show_pbar=False).run()


def test_volumes_find_their_maps_and_say_so(prior, tmp_path, capsys):
    from sigpy_priors.cli import main

    _, mps, full = phantom(coils=4)
    y = full * mask_of(8)
    np.save(tmp_path / "k.npy", y)
    main(["recon", str(tmp_path / "k.npy"), "--prior", "brain", "-o",
          str(tmp_path / "x.npy")])  # fmt: skip
    assert "coil maps were found together" in capsys.readouterr().out
    image = np.load(tmp_path / "x.npy")
    known = next(volume.recon(y, prior, mps).run(show_pbar=False))[1]
    assert error(image, known) < 0.1
