"""A density out and in again: value, gradient, and reconstructions with it."""

import pickle

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import sigpy_priors as spp
from sigpy_priors.onnx import export_onnx
from sigpy_priors.onnx.load import GRAPH_DIGEST
from sigpy_priors.testing import check_prior


@pytest.fixture(scope="module")
def exported(density, tmp_path_factory):
    """The ONNX file of a small density."""
    path = tmp_path_factory.mktemp("onnx") / "density.onnx"
    export_onnx(density, path)
    return path


@pytest.fixture
def image(rng):
    """Complex images of odd sizes."""
    x = 0.3 * rng.standard_normal((2, 3, 18, 23))
    return (x[0] + 1j * x[1]).astype(np.complex64)


def close(a, b, tol=1e-5):
    assert np.abs(a - b).max() <= tol * np.abs(b).max()


def test_in_any_runtime(density, exported, image):
    session = onnxruntime.InferenceSession(exported)
    channels = np.stack([image.real, image.imag], 1)
    value, slope = session.run(["log_prob", "grad_log_prob"], {"x": channels})
    close(value, density.log_prob(image))
    close(slope[:, 0] + 1j * slope[:, 1], density.grad_log_prob(image))
    shapes = {o.name: o.shape for o in session.get_outputs()}
    assert shapes["grad_log_prob"] == ["batch", 2, "height", "width"]


def test_as_a_prior(density, exported, image):
    """Through onnxruntime, and in double precision node by node in torch."""
    prior = spp.load_prior(exported)
    assert isinstance(prior, spp.DensityPrior)
    check_prior(prior, (9, 14), scale=0.3)
    for dtype, tol in ((np.complex64, 1e-5), (np.complex128, 1e-10)):
        x = image[None].astype(dtype)
        value, grad = prior.log_prob_and_grad(x)
        assert value.shape == (1, 3) and grad.dtype == dtype
        close(value, density.log_prob(x), tol)
        close(grad, density.grad_log_prob(x), tol)
        close(prior.bits_per_dim(x), density.bits_per_dim(x), tol)
        close(pickle.loads(pickle.dumps(prior)).grad_log_prob(x), grad, tol)
    (used,) = prior.to("cpu", torch.float32)._sessions.values()
    assert isinstance(used, onnxruntime.InferenceSession)
    z = torch.from_numpy(image).requires_grad_()
    prior.log_prob(z).sum().backward()
    close(z.grad.numpy(), density.grad_log_prob(image))


def test_reconstruction(density, exported, image):
    mps = np.ones((1, 18, 23), np.complex64)
    app = spp.app.PriorRecon
    options = {"noise_std": 0.05, "max_iter": 3, "show_pbar": False}
    images = [
        app(image[:1], mps, prior, **options).run()
        for prior in (spp.load_prior(exported), density)
    ]
    close(*images, tol=1e-4)


def test_no_half_precision(density, tmp_path):
    with pytest.raises(ValueError, match="single precision only"):
        export_onnx(density, tmp_path / "d.onnx", half=True)


def test_not_for_bart(exported, tmp_path, capsys):
    from sigpy_priors.cli import main

    command = ["export", "bart", str(exported), str(tmp_path / "g"), "--shape", "24,32"]
    assert main(command) == 2
    assert "export the .safetensors file of that prior" in capsys.readouterr().err
    assert not (tmp_path / "g.pb").exists()


def test_a_file_without_gradient(exported, tmp_path):
    model = onnx.load(exported)
    del model.graph.output[1]
    kept = [p for p in model.metadata_props if p.key != GRAPH_DIGEST]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, tmp_path / "d.onnx")
    with pytest.raises(ValueError, match="outputs log_prob and grad_log_prob, got"):
        spp.load_prior(tmp_path / "d.onnx")
