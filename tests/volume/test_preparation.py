"""What is done with coils, maps and images around the computation of a slice."""

import numpy as np
import pytest
import sigpy as sp

from sigpy_priors import volume
from sigpy_priors.app.recon import PriorRecon
from sigpy_priors.io.slices import open_kspace
from sigpy_priors.scan.coils import mix
from sigpy_priors.volume.inputs import Inputs, fingerprint
from sigpy_priors.volume.worker import Preparation

QUIET = dict(show_pbar=False)


def one(job):
    return next(job.run(**QUIET))[1]


def test_noise_and_maps_go_together(small_volume, smooth_prior, rng):
    """Both are whitened: the image is that of white data."""
    y, mps = small_volume
    root = np.eye(4) + 0.5 * rng.normal(size=(4, 4))
    y2, mps2 = mix(root, y[0]), mix(root, mps[0])
    white = PriorRecon(
        y[0], mps[0], smooth_prior, noise_std=0.01 * 2**0.5, show_pbar=False
    )
    expected = white.run()
    samples = 0.01 * mix(root, rng.normal(size=(4, 9000, 2)).view(complex)[..., 0])
    for noise in (root @ root.T * 2e-4, samples):
        image = one(volume.recon(y2, smooth_prior, mps2, noise=noise))
        assert np.linalg.norm(image - expected) < 0.01 * np.linalg.norm(expected)


def test_the_noise_scan_of_a_file_tells_no_level(small_volume, smooth_prior):
    """Its bandwidth is another one, and averages are not in it."""
    y, mps = small_volume
    images = []
    for factor in (1, 1e4):
        preparation = Preparation(noise=factor * np.eye(4), level=False)
        options = dict(coord=None, weights=None)
        scan = preparation.scan(
            y[0], mps[0], None, sp.cpu_device, options, smooth_prior
        )
        assert scan.noise_std is None
        images.append(PriorRecon(scan.y, scan.mps, smooth_prior, show_pbar=False).run())
    assert np.linalg.norm(images[0] - images[1]) < 1e-3 * np.linalg.norm(images[0])


def test_virtual_coils(small_volume, smooth_prior):
    """With given maps the image stays what it is; fewer coils are asked for."""
    y, mps = small_volume
    more = (
        np.concatenate([y, 0.5 * y[:, 1:3]], 1),
        np.concatenate([mps, 0.5 * mps[:, 1:3]], 1),
    )
    alone = one(volume.recon(y, smooth_prior, mps, noise_std=0.01))
    few = one(volume.recon(more[0], smooth_prior, more[1], noise_std=0.01, coils=4))
    assert np.linalg.norm(few - alone) < 0.02 * np.linalg.norm(alone)
    with pytest.raises(ValueError, match="at least 1 virtual coil"):
        one(volume.recon(y, smooth_prior, mps, coils=0))
    with pytest.raises(ValueError, match="weights: expected those of one coil"):
        one(volume.recon(y, smooth_prior, mps, coils=2, weights=np.ones((4, 16, 16))))


def test_maps_from_calibration_lines(brain_slice, smooth_prior, rng):
    """Of another measurement of the same slice, in the same virtual coils."""
    image, truth = brain_slice
    full = sp.fft(truth * image, axes=(-2, -1))
    y = full * (np.arange(64)[:, None] % 2 == 0)
    calibration = full * (abs(np.arange(64)[:, None] - 32) < 12)
    options = dict(coord=None, weights=None)
    scan = Preparation(coils=3).scan(
        y, None, calibration, sp.cpu_device, options, smooth_prior
    )
    assert scan.y.shape == scan.mps.shape == (3, 64, 64) and scan.maps_seconds > 0
    coils = sp.ifft(scan.y, axes=(-2, -1)) * 2  # aliased; with the maps' phase per coil
    assert np.isfinite(coils).all()
    with pytest.raises(ValueError, match="give maps"):
        Preparation().scan(y, None, None, sp.cpu_device, options, smooth_prior)


def test_the_image_of_fastmri_has_the_size_of_theirs(
    small_volume, smooth_prior, tmp_path
):
    h5py = pytest.importorskip("h5py")
    y, mps = small_volume
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["kspace"], f["reconstruction_rss"] = y, np.ones((3, 8, 12))
    whole = one(volume.recon(y, smooth_prior, mps))
    cropped = one(volume.recon(tmp_path / "a.h5", smooth_prior, mps))
    np.testing.assert_array_equal(cropped, whole[4:12, 2:14])
    assert Preparation(image_shape=(99, 12)).crop(whole).shape == (16, 12)


def test_shapes_of_trajectories(rng, tmp_path):
    coord = rng.uniform(-16, 16, (200, 2)).astype(np.float32)
    y = rng.normal(size=(1, 200, 2)).view(complex)[..., 0]

    def of(shape, maps=None, coord=coord, y=y):
        return Inputs.open(y, maps, None, coord, slice(None), None, shape)

    of((40, 36)), of(None)
    with pytest.raises(ValueError, match="only for data with coordinates"):
        of((40, 36), coord=None, y=np.ones((1, 40, 40), complex))
    with pytest.raises(ValueError, match="expected that of the maps"):
        of((40, 36), np.ones((1, 36, 36), complex))
    with pytest.raises(ValueError, match="expected H and W"):
        of((40, 0))


def test_boolean_weights(small_volume, smooth_prior):
    y, mps = small_volume
    mask = y[0].any(axis=0)
    images = [
        one(volume.recon(y, smooth_prior, mps, weights=w)) for w in (mask, mask * 1.0)
    ]
    np.testing.assert_array_equal(*images)
    assert images[0].dtype == np.complex64


def test_a_measurement_of_a_file_is_told_from_others(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"x")
    found = {str(fingerprint(tmp_path / name)) for name in ("a.h5", "a.h5/b", "a.h5/c")}
    assert len(found) == 3


def test_arrays_know_no_noise(small_volume):
    slices = open_kspace(small_volume[0])
    assert slices.noise is slices.calibration is slices.image_shape is None
