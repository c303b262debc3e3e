"""Densities as priors: value, gradient, prox and reconstruction."""

import numpy as np
import pytest
import sigpy as sp
import torch

import sigpy_priors as spp
from sigpy_priors.load import load_prior
from sigpy_priors.priors.base import DensityPrior
from sigpy_priors.priors.card import PriorCard
from sigpy_priors.priors.density import NetworkDensity
from sigpy_priors.priors.gaussian import GaussianPrior
from sigpy_priors.priors.saving import save_prior
from sigpy_priors.prox import LogPriorReg
from sigpy_priors.testing import check_prior, check_prox


class OnlyDensity(DensityPrior):
    """A Gaussian that hides its denoiser."""

    def __init__(self, prior):
        self._prior = prior

    def log_prob(self, x):
        return self._prior.log_prob(x)

    def grad_log_prob(self, x):
        return self._prior.grad_log_prob(x)


@pytest.fixture
def image(rng):
    return 0.3 * (rng.standard_normal((9, 14)) + 1j * rng.standard_normal((9, 14)))


@pytest.fixture
def gaussian(rng):
    spectrum = 10.0 ** rng.uniform(-3, 0, (12, 10))
    return GaussianPrior(np.zeros((12, 10)), spectrum=spectrum)


def test_contract(density):
    check_prior(density, (9, 14), scale=0.3)


def test_gradient_by_finite_differences(density, image):
    grad = density.grad_log_prob(image)
    assert grad.dtype == np.complex128
    for i, j in [(0, 0), (3, 7), (8, 13), (4, 0)]:
        for unit in (1, 1j):
            step = np.zeros_like(image)
            step[i, j] = 1e-5 * unit
            slope = (
                density.log_prob(image + step) - density.log_prob(image - step)
            ) / 2e-5
            expected = (grad[i, j] * np.conj(unit)).real
            assert slope == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_batches_and_kinds_of_arrays(density, image):
    batch = np.stack([image, 2 * image, 0 * image])[:, None].astype(np.complex64)
    value, grad = density.log_prob_and_grad(batch)
    assert value.shape == (3, 1) and grad.shape == batch.shape
    assert grad.dtype == np.complex64
    for k in range(3):
        assert density.log_prob(batch[k, 0]) == pytest.approx(value[k, 0], rel=1e-6)
    tensor = torch.from_numpy(batch).requires_grad_(True)
    density.log_prob(tensor).sum().backward()
    # torch's gradient of a real function is the same number.
    np.testing.assert_allclose(tensor.grad.numpy(), grad, rtol=1e-4, atol=1e-3)


def test_bits_per_dim(density, image):
    numbers = image.size * density.model.channels
    expected = -density.log_prob(image) / np.log(2) / numbers
    assert density.bits_per_dim(image) == pytest.approx(expected)


@pytest.mark.parametrize("factor", [0, 10])
def test_extreme_images_are_finite(density, image, factor):
    value, grad = density.log_prob_and_grad(factor * image)
    assert np.isfinite(value) and np.isfinite(grad).all()
    if factor == 0 and density.model.channels == 1:
        assert not grad.any()  # no direction is better than another


@pytest.mark.parametrize("name", ["brain-pixelcnn", "brain-pixelcnn-magnitude"])
def test_images_of_another_scale(name):
    """Those of the bundled networks, which are sure of themselves far away."""
    prior = load_prior(name)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 16, 2)).astype(np.float32).view(np.complex64)[..., 0]
    for factor in (100, 1e4):
        value, grad = prior.log_prob_and_grad(factor * x)
        assert np.isfinite(value) and np.isfinite(grad).all()
    with pytest.raises(ValueError, match="divide by their scale"):
        prior.log_prob(np.float32(1e37) * x)


def test_chunks_change_nothing(density, image, monkeypatch):
    batch = np.stack([image, 2 * image, 0 * image, 1j * image, image[::-1]])
    value, grad = density.log_prob_and_grad(batch)
    calls, whole = [], density._nats_and_grad
    monkeypatch.setattr("sigpy_priors.priors.density._PIXELS", 2 * image.size)
    density._chunk.clear()

    def counted(channels):
        calls.append(len(channels))
        return whole(channels)

    counted.__name__ = "counted"
    monkeypatch.setattr(density, "_nats_and_grad", counted)
    again, grad_again = density.log_prob_and_grad(batch)
    assert calls == [2, 2, 1]
    assert np.allclose(value, again, rtol=1e-10) and np.allclose(grad, grad_again)


def test_no_images(density):
    assert density.log_prob(np.zeros((2, 0, 9, 14), complex)).shape == (2, 0)


def test_what_is_no_image_is_refused(density, image):
    for x in (image[0], np.zeros((0, 7), complex)):
        with pytest.raises(ValueError, match=r"expected an image \(..., H, W\)"):
            density.bits_per_dim(x)
    with pytest.raises(ValueError, match="torch array .* got list"):
        density.log_prob([[1j]])


def test_nan_is_refused(density, image):
    image[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        density.log_prob(image)
    with pytest.raises(ValueError, match="expected a complex image"):
        density.log_prob(image.real)


def test_magnitude_prior_knows_no_phase(density, image):
    turned = image * np.exp(0.7j)
    same = density.log_prob(turned) == pytest.approx(density.log_prob(image), rel=1e-9)
    assert same is (density.model.channels == 1)


def test_sample(density):
    x = density.sample((6, 9), n=2, seed=3, show_pbar=False)
    assert x.shape == (2, 6, 9) and x.dtype == np.complex64
    assert np.array_equal(x, density.sample((6, 9), n=2, seed=3, show_pbar=False))
    assert not np.array_equal(x, density.sample((6, 9), n=2, seed=4, show_pbar=False))
    for bad in (
        {"n": 0},
        {"n": 1.5},
        {"shape": 8},
        {"shape": (4.5, 4)},
        {"seed": None},
    ):
        with pytest.raises(ValueError, match="all whole numbers"):
            density.sample(**{"shape": (6, 9)} | bad)


def test_file(density, image, tmp_path):
    options = {
        "channels": density.model.channels, "nr_filters": [8, 12, 16],
        "nr_resnet": [1, 1, 2], "nr_logistic_mix": 3,
    }  # fmt: skip
    card = PriorCard(
        name="d", kind="density", architecture="pixelcnn", options=options,
        precond=None, sigma=0.02,
    )  # fmt: skip
    save_prior(tmp_path / "d.safetensors", density.model, card)
    again = load_prior(tmp_path / "d.safetensors")
    assert isinstance(again, NetworkDensity)
    assert again.log_prob(image) == density.log_prob(image)


def test_card_of_a_density_has_no_sigma_range():
    with pytest.raises(ValueError, match="no sigma_range"):
        PriorCard(
            name="d", kind="density", architecture="pixelcnn", precond=None,
            sigma_range=(0.1, 1),
        )  # fmt: skip
    with pytest.raises(ValueError, match="needs sigma_range"):
        PriorCard(name="d", architecture="unet")


# Prox


def test_one_step_is_barts(density, image):
    prox = LogPriorReg(image.shape, density, lamda=1e-4)
    expected = image + 0.3e-4 * density.grad_log_prob(image)
    np.testing.assert_allclose(prox(0.3, image), expected, rtol=1e-12)


def test_many_steps_reach_the_prox(gaussian):
    prior = OnlyDensity(gaussian)
    # The curvature of alpha g is at most 2 alpha lamda / 1e-3 = 0.06.
    prox = LogPriorReg((12, 10), prior, 1e-4, steps=60, step_size=0.9)
    check_prox(prox, lambda x: -1e-4 * gaussian.log_prob(x))
    exact = spp.prox.DenoiserReg((12, 10), gaussian, 1e-4)
    z = np.random.default_rng(0).standard_normal((12, 10)) + 0j
    np.testing.assert_allclose(prox(0.3, z), exact(0.3, z), atol=1e-10)


def test_scale_of_the_prox(gaussian, rng):
    z = rng.standard_normal((12, 10)) + 0j
    prior = OnlyDensity(gaussian)
    one = LogPriorReg((12, 10), prior, 1e-4)(0.3, z)
    scaled = LogPriorReg((12, 10), prior, 1e-4 * 49, scale=7)(0.3, 7 * z)
    np.testing.assert_allclose(scaled, 7 * one, rtol=1e-10)


@pytest.mark.parametrize(
    "bad", [{"steps": 0}, {"steps": 1.5}, {"step_size": 0}, {"lamda": -1}, {"scale": 0}]
)
def test_bad_parameters_of_the_prox(gaussian, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        LogPriorReg((12, 10), gaussian, **{"lamda": 1.0} | bad)


def test_prox_in_linear_least_squares(gaussian, rng):
    A = sp.linop.Identity((12, 10))
    y = rng.standard_normal((12, 10)) + 0j
    prox = LogPriorReg((12, 10), OnlyDensity(gaussian), 1e-4)
    x = sp.app.LinearLeastSquares(A, y, proxg=prox, max_iter=50, show_pbar=False).run()
    assert np.linalg.norm(x - spp.prox.DenoiserReg((12, 10), gaussian, 1e-4)(1, y)) < (
        1e-2 * np.linalg.norm(y)
    )


# Reconstruction


@pytest.fixture
def scan(rng, gaussian):
    """Four coils, a third of the samples, an image from the Gaussian."""
    import sigpy.mri as mr

    shape = (12, 10)
    mps = mr.birdcage_maps((4, *shape)).astype(np.complex128)
    mask = rng.random(shape) < 0.5
    x = gaussian.sample(1, seed=0)[0]
    noise = 0.02 * (
        rng.standard_normal((4, *shape)) + 1j * rng.standard_normal((4, *shape))
    )
    y = mask * (sp.fft(mps * x, axes=(-2, -1)) + noise / 2**0.5)
    return y, mps, mask, shape


def test_maximum_of_the_posterior(gaussian, scan):
    y, mps, mask, shape = scan
    app = spp.app.PriorRecon(
        y, mps, OnlyDensity(gaussian), noise_std=0.02, max_iter=300, show_pbar=False
    )
    assert app.solver == "LBFGS"
    x = app.run()
    A = sp.mri.linop.Sense(mps, weights=mask.astype(float))
    prior = OnlyDensity(gaussian)
    size = app.scale

    def slope(v):
        ascent = 0.02**2 / 2 / size * prior.grad_log_prob(v / size)
        return A.H(A(v) - y) - ascent

    assert np.linalg.norm(slope(x)) < 1e-3 * np.linalg.norm(slope(0 * x))


def test_objective_falls_and_has_two_terms(density):
    import sigpy.mri as mr

    rng = np.random.default_rng(0)
    shape = (20, 18)
    mps = mr.birdcage_maps((4, *shape)).astype(np.complex64)
    mask = rng.random(shape) < 0.5
    y = sp.fft(mps * sp.shepp_logan(shape), axes=(-2, -1))
    y += 0.05 * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))
    y = (mask * y).astype(np.complex64)
    app = spp.app.PriorRecon(
        y, mps, density, noise_std=0.07, max_iter=12, save_objective_values=True,
        show_pbar=False,
    )  # fmt: skip
    x = app.run()
    values = np.array(app.objective_values)
    assert len(values) == len(app.prior_values) > 3
    assert (np.diff(values) <= 1e-6 * abs(values[0])).all() and values[-1] < values[0]
    data = 0.5 * np.linalg.norm(app.A(x) - app.y) ** 2
    assert values[-1] - app.prior_values[-1] == pytest.approx(data, rel=1e-4)
    prior = -app.proxg.lamda * density.log_prob(x / app.scale)
    assert app.prior_values[-1] == pytest.approx(prior, rel=1e-5)


def test_first_step_of_any_length(gaussian, scan):
    """The length of a first step is not known: maps of any norm do."""
    y, mps, *_ = scan
    images = []
    for norm in (1, 30):
        app = spp.app.PriorRecon(
            y, norm * mps, OnlyDensity(gaussian), noise_std=0.02, max_iter=300,
            show_pbar=False,
        )  # fmt: skip
        images.append(norm * app.run())
    assert np.linalg.norm(images[1] - images[0]) < 0.02 * np.linalg.norm(images[0])


def test_solvers_say_what_they_need(density, gaussian, scan):
    y, mps, *_ = scan
    for solver in ("ADMM", "PrimalDualHybridGradient"):
        with pytest.raises(ValueError, match="choose LBFGS or GradientMethod"):
            spp.app.PriorRecon(y, mps, density, solver=solver, show_pbar=False)
    with pytest.raises(ValueError, match="'hqs' needs a DenoiserPrior"):
        spp.app.PriorRecon(y, mps, density, solver="hqs", show_pbar=False)
    with pytest.raises(ValueError, match="'mmps' samples a DenoiserPrior"):
        spp.app.PosteriorSampling(y, mps, density, method="mmps", show_pbar=False)
    with pytest.raises(ValueError, match="expected a DenoiserPrior or DensityPrior"):
        spp.app.PriorRecon(y, mps, "brain", show_pbar=False)
