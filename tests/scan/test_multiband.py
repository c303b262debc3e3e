"""K-space of slices that were excited together, as a problem of a stack of images."""

import numpy as np
import pytest
import sigpy as sp
from sigpy.mri import birdcage_maps

from sigpy_priors.app.recon import PriorRecon
from sigpy_priors.app.sampling import PosteriorSampling
from sigpy_priors.data.example import example
from sigpy_priors.linop import Sms
from sigpy_priors.scan.multiband import calibration_maps, sms_problem
from sigpy_priors.scan.sense import sense_problem

SIGMA = 0.01


def stack(bands, size=64):
    """The example slice and its turned selves, and coils around all of them."""
    image, _ = example()
    x = sp.ifft(sp.resize(sp.fft(image), (size, size)))
    x = np.stack([x, x[::-1, ::-1], x[:, ::-1], x[::-1]][:bands])
    mps = birdcage_maps((8, bands, size, size), r=1.5, nzz=8).swapaxes(0, 1)
    mps = mps / sp.rss(mps, axes=(1,))[:, None]
    x /= np.percentile(np.abs(x), 99.8)
    return x.astype(np.complex64), mps.astype(np.complex64)


def scan(bands, accel=1, size=64, sigma=SIGMA):
    """K-space, maps, shifts and images."""
    x, mps = stack(bands, size)
    shifts = np.arange(bands) / (bands * accel)
    mask = np.zeros((size, 1), np.float32)
    mask[size // 2 % accel :: accel] = 1
    A = Sms(mps, shifts, mask)
    z = np.random.default_rng(bands).standard_normal((2, *A.oshape)) / 2**0.5
    y = A(x) + mask * sigma * (z[0] + 1j * z[1])
    return y.astype(np.complex64), mps, shifts, x


@pytest.mark.parametrize("bands, accel", [(2, 1), (2, 2), (3, 1), (4, 1)])
@pytest.mark.parametrize("sigma", [0.003, 0.03])
def test_the_noise_level_is_found(bands, accel, sigma):
    y, mps, shifts, _ = scan(bands, accel, sigma=sigma)
    assert sms_problem(y, mps, shifts).noise_std == pytest.approx(sigma, rel=0.15)


def test_one_slice_is_the_usual_problem(smooth_prior):
    y, mps, _, _ = scan(1, 2)
    one, usual = sms_problem(y, mps, [0.0]), sense_problem(y, mps[0])
    assert one.gain == pytest.approx(usual.gain, rel=1e-5)
    assert one.noise_std == pytest.approx(usual.noise_std, rel=0.1)
    np.testing.assert_allclose(one.AHy[0], usual.AHy, atol=1e-5)


@pytest.mark.parametrize("change", ["data", "maps", "zero coil", "order", "weights"])
def test_units_and_empty_coils_do_not_matter(brain, change):
    y, mps, shifts, _ = scan(2)
    weights = None
    expected = PriorRecon.of(sms_problem(y, mps, shifts), brain, show_pbar=False).run()
    if change == "data":
        y, expected = 1e3 * y, 1e3 * expected
    elif change == "maps":
        mps, expected = 1e-2 * mps, 1e2 * expected
    elif change == "zero coil":
        y = np.concatenate([y, 0 * y[:1]])
        mps = np.concatenate([mps, 0 * mps[:, :1]], axis=1)
    elif change == "order":
        y, mps = y[::-1], mps[:, ::-1]
    else:
        weights = 7.0 * (y != 0)
    problem = sms_problem(y, mps, shifts, weights)
    found = PriorRecon.of(problem, brain, show_pbar=False).run()
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < (0.02 if change in ("zero coil", "order") else 1e-3)


def test_slices_come_apart(brain):
    """Where conjugate gradients alone leave one slice in the other."""
    y, mps, shifts, x = scan(3, 2, 128)
    problem = sms_problem(y, mps, shifts)

    def error(found):
        return np.linalg.norm(np.abs(found) - np.abs(x)) / np.linalg.norm(x)

    sense = min(
        error(problem.solve(rho, problem.AHy, None, 400))
        for rho in problem.gain**2 * np.geomspace(1e-5, 1e-1, 5)
    )
    app = PriorRecon.of(problem, brain, show_pbar=False)
    assert error(app.run()) < sense / 2.5
    assert app.converged and app.sigmas[1] > app.sigmas[0]


def test_samples_are_of_every_slice(brain):
    y, mps, shifts, x = scan(2)
    app = PosteriorSampling.of(
        sms_problem(y, mps, shifts), brain, num_samples=2, show_pbar=False,
        method="diffpir", steps=20, zeta=1.0, lamda=1.0,
    )  # fmt: skip
    samples = app.run()
    assert samples.shape == (2, *x.shape)
    first = app.data.first_image() * app.scale
    error = np.linalg.norm(np.abs(samples.mean(axis=0)) - np.abs(x))
    assert error < 0.8 * np.linalg.norm(np.abs(first) - np.abs(x))


def test_maps_of_single_band_scans():
    x, mps = stack(2)
    calibration = sp.fft(mps * x[:, None], axes=(-2, -1))
    calibration = sp.resize(sp.resize(calibration, (2, 8, 24, 24)), calibration.shape)
    found = calibration_maps(calibration.astype(np.complex64))
    inside = np.abs(x) > 0.2
    agree = np.abs((found.conj() * mps).sum(axis=1))[inside]
    assert agree.mean() > 0.99
    with pytest.raises(ValueError, match=r"single-band.*got shape \(8, 64, 64\)"):
        calibration_maps(calibration[0])


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda y, m, s: (y, m[0], s),
            r"maps \(MB, coils, H, W\).*one multiband group",
        ),
        (lambda y, m, s: (y[:4], m, s), "one multiband group"),
        (lambda y, m, s: (y, 0 * m, s), "mps: all values are zero"),
        (lambda y, m, s: (y, m, [0.0]), "shifts: expected one for each of the 2"),
        (
            lambda y, m, s: (np.fft.fftshift(y), m, s),
            "centre of k-space is at the edge",
        ),
        (lambda y, m, s: (y * np.nan, m, s), "y: .* NaN"),
    ],
)
def test_misfits_are_told(change, message):
    y, mps, shifts, _ = scan(2)
    with pytest.raises(ValueError, match=message):
        sms_problem(*change(y, mps, shifts))
