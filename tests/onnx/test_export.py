"""Out and in again: the same prior, its derivatives, and the CPU backend."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import sigpy_priors as spp
from sigpy_priors.cli import main
from sigpy_priors.onnx import accelerate as backend
from sigpy_priors.onnx import export_onnx
from sigpy_priors.onnx.engine.runtime import describe, providers
from sigpy_priors.onnx.quantize import loss, to_half, to_int8
from sigpy_priors.testing import check_prior


@pytest.fixture(scope="module")
def tiny(tiny_prior_file):
    """A small network whose weights are all at work."""
    prior = spp.load_prior(tiny_prior_file)
    generator = torch.Generator().manual_seed(0)
    for p in prior.model.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=generator)
    return prior


@pytest.fixture(scope="module")
def exported(tiny, tmp_path_factory):
    """Its ONNX file."""
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    export_onnx(tiny, path)
    return path


def close(a, b, tol=1e-5):
    assert np.abs(a - b).max() <= tol * np.abs(b).max()


@pytest.mark.parametrize("shape", [(53, 42), (2, 24, 32), (3, 1, 17, 9)])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_parity(tiny, exported, rng, shape, dtype):
    x = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    prior = spp.load_prior(exported)
    for sigma in (0.003, 0.1, 1.5):  # below the range, too
        y = prior.denoise(x, sigma)
        assert y.dtype == dtype
        close(y, tiny.denoise(x, sigma))


def test_it_keeps_the_contract_of_a_prior(exported):
    check_prior(spp.load_prior(exported), (20, 27))


def test_the_file_in_any_runtime(tiny, exported, rng):
    """What another program sees: documented names, free axes, the card."""
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    assert [o.version for o in model.opset_import if o.domain == ""] == [20]
    session = onnxruntime.InferenceSession(exported)
    free = {i.name: i.shape for i in session.get_inputs()}
    assert free == {"x": ["batch", 2, "height", "width"], "sigma": ["batch"]}
    card = spp.read_card(exported)
    assert card.name == "tiny" and card.architecture == "onnx"
    assert {p.key for p in model.metadata_props} == {
        "format",
        "sigpy_priors.card",
        "sigpy_priors.card_sha256",
        "sigpy_priors.graph_sha256",
    }
    x = rng.standard_normal((1, 2, 21, 30)).astype(np.float32)
    feeds = {"x": x, "sigma": np.array([0.2], np.float32)}
    (y,) = session.run(None, feeds)
    close(y[0, 0] + 1j * y[0, 1], tiny.denoise(x[0, 0] + 1j * x[0, 1], 0.2))


def test_where_torch_cannot_export_by_running(tiny, tmp_path, monkeypatch, rng):
    """The slower way gives the same prior, with the same names."""

    def gone(*args):
        raise TypeError("export() got an unexpected keyword argument 'dynamo'")

    monkeypatch.setattr("sigpy_priors.onnx.export._by_running", gone)
    export_onnx(tiny, tmp_path / "x.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    free = {i.name: i.shape for i in session.get_inputs()}
    assert free == {"x": ["batch", 2, "height", "width"], "sigma": ["batch"]}
    x = (rng.standard_normal((21, 30)) + 0j).astype(np.complex64)
    close(spp.load_prior(tmp_path / "x.onnx").denoise(x, 0.1), tiny.denoise(x, 0.1))


def test_a_file_that_computes_something_else_is_refused(tiny, tmp_path, monkeypatch):
    from sigpy_priors.onnx import export

    other = torch.nn.Module()
    other.forward = lambda x, sigma: 1.0001 * x + 0 * sigma[0]
    for way in ("_by_running", "_by_symbols"):
        right = getattr(export, way)
        wrong = lambda module, *args, right=right: right(other, *args)
        monkeypatch.setattr(export, way, wrong)
    with pytest.raises(ValueError, match="differ by .* cannot be exported"):
        export_onnx(tiny, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_nothing_of_this_machine_is_in_the_file(exported):
    data = exported.read_bytes()
    assert b".py" not in data and b"/home" not in data and b"/root" not in data


def test_gradient_of_the_interpreter(tiny, exported, rng):
    x = torch.from_numpy(rng.standard_normal((2, 20, 27)) + 0j).to(torch.complex64)
    v = torch.from_numpy(rng.standard_normal((2, 20, 27)) + 0j).to(torch.complex64)
    slopes = []
    for prior in (spp.load_prior(exported), tiny):
        z = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(prior.denoise(z, 0.2), z, v)
        slopes.append(g.numpy())
    close(*slopes)


def test_sampling_by_derivatives(exported):
    """A sampler that asks for Jacobian products."""
    prior = spp.load_prior(exported)
    y = np.ones((1, 16, 16), np.complex64)
    app = spp.app.PosteriorSampling(
        y, np.ones_like(y), prior, noise_std=0.1, num_samples=1, method="dps", steps=2,
        show_pbar=False,
    )  # fmt: skip
    assert np.isfinite(app.run()).all()


def test_a_closed_form_gaussian(tmp_path, rng):
    spectrum = 1 / (1 + np.abs(np.arange(-6, 6)[:, None]) + np.abs(np.arange(-5, 5)))
    prior = spp.GaussianPrior(np.zeros((12, 10), np.complex64), spectrum=spectrum)
    export_onnx(prior, tmp_path / "g.onnx")
    x = (rng.standard_normal((3, 12, 10)) + 0j).astype(np.complex64)
    close(spp.load_prior(tmp_path / "g.onnx").denoise(x, 0.5), prior.denoise(x, 0.5))


@pytest.mark.parametrize("smaller", [to_half, to_int8])
def test_smaller_files(exported, smaller):
    """Valid, smaller, and nearly the same; the exact figures are in the README."""
    model = onnx.load(exported)
    made = smaller(model)
    onnx.checker.check_model(made, full_check=True)
    assert made.ByteSize() < model.ByteSize()
    assert max(map(abs, loss(model, made, (0.01, 2)).values())) < 0.1


def test_what_loses_too_much_is_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("sigpy_priors.onnx.quantize.loss", lambda *a: {0.1: 0.2})
    with pytest.raises(ValueError, match="loses too much.*0.20 at 0.1"):
        export_onnx(tiny, tmp_path / "x.onnx", int8=True)
    assert not (tmp_path / "x.onnx").exists()


def test_mistakes(exported, brain, tmp_path):
    with pytest.raises(ValueError, match="ONNX file already"):
        export_onnx(spp.load_prior(exported), tmp_path / "again.onnx")
    with pytest.raises(ValueError, match="alternatives"):
        export_onnx(brain, tmp_path / "x.onnx", half=True, int8=True)


def test_cpu_backend(tiny_prior_file, tmp_path, monkeypatch, rng, capsys):
    """Through onnxruntime where it is worth it; the same image as torch."""
    monkeypatch.setenv("SIGPY_PRIORS_CACHE", str(tmp_path))
    monkeypatch.setattr(backend, "MIN_WEIGHTS", 0)
    x = (rng.standard_normal((2, 21, 30)) + 0j).astype(np.complex64)
    slow = spp.load_prior(tiny_prior_file, runtime="torch")
    expected = slow.denoise(x, 0.1)
    fast = spp.load_prior(tiny_prior_file)
    close(fast.denoise(x, 0.1), expected)
    assert "preparing tiny for onnxruntime, once" in capsys.readouterr().err
    assert isinstance(fast.to("cpu", torch.float32), backend.RuntimeDenoiser)
    assert not isinstance(slow.to("cpu", torch.float32), backend.RuntimeDenoiser)
    assert len(fast.to("cpu", torch.float32)._sessions) == 1
    (file,) = (tmp_path / "onnx").glob("*.onnx")
    again = spp.load_prior(tiny_prior_file)
    close(again.denoise(x, 0.1), expected)
    assert capsys.readouterr().err == ""  # from the cache
    z = torch.from_numpy(x).requires_grad_()
    again.denoise(z, 0.1).abs().sum().backward()
    assert z.grad.abs().max() > 0
    file.unlink()  # as where a process runs on another machine
    close(again.denoise(x, 0.1), expected)


def test_cpu_backend_falls_back(tiny_prior_file, tmp_path, monkeypatch, rng, capsys):
    monkeypatch.setenv("SIGPY_PRIORS_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(backend, "MIN_WEIGHTS", 0)
    x = (rng.standard_normal((21, 30)) + 0j).astype(np.complex64)
    expected = spp.load_prior(tiny_prior_file, runtime="torch").denoise(x, 0.1)
    close(spp.load_prior(tiny_prior_file).denoise(x, 0.1), expected)
    assert "runs in torch, onnxruntime cannot" in capsys.readouterr().err


def test_providers():
    assert providers("cpu") == ["CPUExecutionProvider"]
    assert describe().startswith(f"onnxruntime {onnxruntime.__version__} (CPU on cpu")
    gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    assert bool(providers("cuda")) == gpu


def test_command_line(exported, tmp_path, capsys):
    assert main(["info", str(exported)]) == 0
    assert "runtime: onnxruntime" in capsys.readouterr().out
    out = tmp_path / "prior.onnx"
    told = "--sigma complex --schedule sigma --channels re,im --parametrization x0"
    # An untrained network does not denoise, and is not made a prior of.
    assert main(["import", str(exported), "-o", str(out), *told.split()]) == 2
    assert "no hypothesis denoises" in capsys.readouterr().err
    assert not out.exists()
