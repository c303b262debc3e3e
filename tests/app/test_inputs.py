"""The same scan as other people write it, and scans with something wrong."""

import numpy as np
import pytest
import sigpy as sp
from sigpy.mri import birdcage_maps, radial

from sigpy_priors.app import PosteriorSampling, PriorRecon
from sigpy_priors.priors.gaussian import GaussianPrior

N, COILS, SIGMA = 32, 6, 0.02


@pytest.fixture(scope="module")
def prior():
    k = np.hypot(*np.mgrid[-16:16, -16:16])
    return GaussianPrior(np.zeros((N, N)), spectrum=2 / (1 + k**3))


@pytest.fixture
def scan(prior, rng):
    """K-space in single precision, maps, mask and image."""
    mps = birdcage_maps((COILS, N, N)).astype(np.complex64)
    mask = rng.random(N) < 0.4
    mask[12:20] = True
    x = prior.sample(1, seed=3)[0]
    y = sp.fft(mps * x, axes=(-2, -1)) + SIGMA * noise(rng, mps.shape)
    return (mask[:, None] * y).astype(np.complex64), mps, mask[:, None], x


def noise(rng, shape):
    return rng.normal(size=shape + (2,)).view(complex)[..., 0] / 2**0.5


def recon(y, mps, prior, **options):
    return PriorRecon(y, mps, prior, show_pbar=False, **options).run()


def error(image, x):
    return np.linalg.norm(image - x) / np.linalg.norm(x)


def test_the_noise_level(scan, prior):
    app = PriorRecon(*scan[:2], prior, show_pbar=False)
    assert app.noise_std == pytest.approx(SIGMA, rel=0.15)


@pytest.mark.parametrize("loud", [3, 10, 100])
@pytest.mark.parametrize("coil", [0, 4])
def test_one_noisy_coil(scan, prior, rng, loud, coil):
    """As good as with the others alone, nearly."""
    y, mps, mask, x = scan
    more = y.copy()
    more[coil] += mask * loud * SIGMA * noise(rng, (N, N))
    others = np.arange(COILS) != coil
    alone = error(recon(y[others], mps[others], prior), x)
    assert error(recon(more, mps, prior), x) < 1.15 * alone


@pytest.mark.parametrize("axes", [(-2, -1), (-2,), (-1,)])
def test_centre_in_the_corner(scan, prior, axes):
    y, mps = (np.fft.ifftshift(scan[0], axes), scan[1])
    words = str(tuple(axes)).replace("(", "[(]").replace(")", "[)]")
    for app in (PriorRecon, PosteriorSampling):
        with pytest.raises(ValueError, match=f"centre.*fftshift.*{words}"):
            app(y, mps, prior, show_pbar=False)


def test_not_quite_zero(scan, prior):
    """Through image space and back in single precision."""
    y, mps, mask, x = scan
    again = np.fft.fft2(np.fft.ifft2(y).astype(np.complex64)).astype(np.complex64)
    assert (again[:, ~mask[:, 0]] != 0).any()
    assert error(recon(again, mps, prior), x) < 1.02 * error(recon(y, mps, prior), x)


@pytest.mark.parametrize("kind", ["f4", "f8", "i4", "?", ">f4"])
def test_weights_of_any_type(scan, prior, kind):
    y, mps, mask, _ = scan
    weights = np.broadcast_to(mask, (N, N)).astype(kind)
    image = recon(y, mps, prior, weights=weights)
    assert image.dtype == np.complex64
    np.testing.assert_allclose(image, recon(y, mps, prior), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("app", [PriorRecon, PosteriorSampling])
@pytest.mark.parametrize(
    "change, words",
    [
        (lambda a: a[None], "three_d=True"),
        (lambda a: np.stack([a] * 3), "three_d=True"),
        (lambda a: np.moveaxis(a, 0, -1), "coils in the last axis"),
        (lambda a: a[0], "expected shape"),
    ],
)
def test_other_layouts(scan, prior, app, change, words):
    with pytest.raises(ValueError, match=words):
        app(change(scan[0]), change(scan[1]), prior, show_pbar=False)


def test_density_compensation_as_weights(prior, rng):
    """In any units, and no worse than without."""
    coord = radial((24, 2 * N, 2), (N, N))
    mps, x = birdcage_maps((COILS, N, N)), prior.sample(1, seed=3)[0]
    y = sp.nufft(mps * x, coord)
    y = y + SIGMA * noise(rng, y.shape)
    density = np.linalg.norm(coord, axis=-1)
    images = [
        recon(y, mps, prior, coord=coord, weights=c * density) for c in (1e-4, 1, 99)
    ]
    for image in images[1:]:
        assert error(image, images[0]) < 1e-3
    assert error(images[0], x) < 1.1 * error(recon(y, mps, prior, coord=coord), x)


@pytest.mark.parametrize("app", [PriorRecon, PosteriorSampling])
@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: c / N, "1 / field of view.*Multiply them by 32"),
        (lambda c: 2 * c, "reaches .* along axis 0.*trajectory.s own size"),
        (lambda c: np.where(c > 9, np.nan, c), "coord: .* NaN or infinite"),
        (lambda c: c.tolist(), "coord: expected a numpy or cupy array"),
        (lambda c: c[..., :1], "expected 2 coordinates"),
        (lambda c: c[:3], "y must have shape"),
    ],
)
def test_coordinates(prior, rng, app, change, words):
    coord = radial((24, N, 2), (N, N))
    mps = birdcage_maps((COILS, N, N))
    y = noise(rng, (COILS, 24, N))
    with pytest.raises(ValueError, match=words):
        app(y, mps, prior, coord=change(coord), show_pbar=False)


def test_whole_numbers_as_coordinates(prior, scan):
    y, mps, _, x = scan
    coord = np.stack(np.mgrid[-16:16, -16:16], -1)
    image = recon(sp.fft(mps * x, axes=(-2, -1)).astype("c8"), mps, prior, coord=coord)
    assert error(image, x) < 0.05


@pytest.mark.parametrize("kind", [">c8", ">c16"])
def test_byte_order(scan, prior, kind):
    y, mps, _, _ = scan
    image = recon(y.astype(kind), mps.astype(kind), prior)
    native = recon(y.astype(kind[1:]), mps.astype(kind[1:]), prior)
    np.testing.assert_array_equal(image, native)
    np.testing.assert_array_equal(
        prior.denoise(y[0].astype(kind), 0.1), prior.denoise(y[0].astype(kind[1:]), 0.1)
    )


@pytest.mark.parametrize("name", ["G", "proxg"])
def test_what_would_be_ignored_is_refused(scan, prior, name):
    """SigPy's class takes both; here the prior is the prox."""
    y, mps, *_ = scan
    extra = {"G": sp.linop.Identity((N, N)), "proxg": sp.prox.NoOp((N, N))}[name]
    with pytest.raises(ValueError, match=rf"^{name}: .*\[prior, \(prox, G\)\]"):
        recon(y, mps, prior, **{name: extra})
    recon(y, mps, [prior, (sp.prox.L1Reg((N, N), 1e-3), sp.linop.Identity((N, N)))])
