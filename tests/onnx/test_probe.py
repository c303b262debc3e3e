"""The probe finds conventions that are known, and says when it is told wrong."""

import numpy as np
import pytest
import torch
from onnx_networks import LINEAR, As, Smooth, write

import sigpy_priors as spp
from sigpy_priors.importers.foreign import import_onnx
from sigpy_priors.importers.probe import probe
from sigpy_priors.onnx.engine.runtime import OnnxModule
from sigpy_priors.onnx.load import read_onnx

CASES = {
    "ours": ({}, {}),
    "per channel": ({"sigma": "channel"}, {"sigma": "channel"}),
    "log sigma": ({"noise": "log_sigma"}, {"schedule": "log_sigma"}),
    "eps": ({"out": "eps"}, {"parametrization": "eps"}),
    "score": ({"out": "score"}, {"parametrization": "score"}),
    "residual": ({"out": "residual"}, {"parametrization": "residual"}),
    "channels last": ({"layout": "NHWC"}, {"layout": "NHWC"}),
    "imaginary first": ({"order": (1, 0)}, {"channels": "im,re"}),
    "ddpm eps": (
        {"out": "eps", "noise": "time", "betas": LINEAR, "sigma": "channel"},
        {"parametrization": "eps", "schedule": "linear", "sigma": "channel"},
    ),
    "ddpm v": (
        {"out": "v", "noise": "time", "betas": LINEAR},
        {"parametrization": "v", "schedule": "linear"},
    ),
    "ddpm score": (
        {"out": "score", "noise": "time", "betas": LINEAR},
        {"parametrization": "score", "schedule": "linear"},
    ),
}
OURS = {
    "channels": "re,im", "layout": "NCHW", "parametrization": "denoiser",
    "schedule": "sigma", "sigma": "complex", "scale": (1.0, 0.0),
}  # fmt: skip


def written(path, options):
    noise = torch.tensor([10, 500]) if options.get("noise") == "time" else None
    shape = (2, 36, 44, 2) if options.get("layout") == "NHWC" else (2, 2, 36, 44)
    return write(path, As(Smooth(), **options), shape, noise=noise)


@pytest.mark.parametrize("name", CASES)
def test_conventions_are_found_and_the_prior_is_right(name, tmp_path, smooth, image):
    options, expected = CASES[name]
    path = written(tmp_path / "net.onnx", options)
    out, lines = tmp_path / "prior.onnx", []
    told = {"parametrization": "residual"} if name == "residual" else {}
    card = import_onnx(path, out, show=lines.append, **told)
    output = {**OURS, **expected}
    found = {
        **card.options,
        **card.precond_options,
        "scale": tuple(card.options["scale"]),
    }
    found["parametrization"] = found["output"]
    assert {k: found[k] for k in output} == output
    assert "denoises the bundled slice" in lines[0] and output["schedule"] in lines[0]
    prior = spp.load_prior(out)
    for sigma in (0.08, 0.5):
        wanted = smooth(image, sigma)
        # Whole time steps: the level is right to about 1 %.
        tol = 0.04 if name.startswith("ddpm") else 2e-5
        np.testing.assert_allclose(prior.denoise(image, sigma), wanted, atol=tol)


def found_when_told(path, **told):
    return probe(OnnxModule(read_onnx(path)), ["x", "sigma"], told)


def test_what_is_told_wrong_is_doubted_and_obeyed(tmp_path):
    """Wrong channel order and wrong noise convention, each by its dB."""
    path = written(tmp_path / "net.onnx", {})
    lines = []
    card = import_onnx(
        path, tmp_path / "p.onnx", channels="im,re", sigma="channel", show=lines.append
    )
    assert card.options["channels"] == "im,re" and card.options["sigma"] == "channel"
    doubts = [line for line in lines if "doubtful" in line]
    assert len(doubts) == 2
    assert "--channels im,re was told, but re,im" in doubts[0]
    assert "--sigma channel was told, but complex" in doubts[1]
    assert card.validation["probe"]["told"] == ["channels", "sigma"]


def test_a_network_that_does_not_denoise_is_refused(tmp_path):
    class Nothing(torch.nn.Module):
        def forward(self, x, sigma):
            return x.flip(-1) + sigma.view(-1, 1, 1, 1)

    path = write(tmp_path / "net.onnx", Nothing())
    with pytest.raises(ValueError, match="no hypothesis denoises.*--channels"):
        import_onnx(path, tmp_path / "p.onnx", show=None)
    assert not (tmp_path / "p.onnx").exists()


@pytest.mark.parametrize(
    "told, match",
    [
        ({"inputs": "y"}, "expected the image"),
        ({"schedule": "quadratic"}, "unknown schedule 'quadratic'"),
        ({"scale": "0"}, "a > 0"),
        ({"scale": "1,2,3"}, "expected a or a,b"),
        ({"scale": "two"}, "expected a or a,b"),
        ({"channels": "rgb"}, "channels must be one of re,im"),
        ({"inputs": ["x"]}, "inputs sigma would be left"),
    ],
)
def test_mistakes_are_named(tmp_path, told, match):
    path = written(tmp_path / "net.onnx", {})
    with pytest.raises(ValueError, match=match):
        import_onnx(path, tmp_path / "p.onnx", show=None, **told)


def test_magnitude_network_with_a_range_of_minus_one_to_one(tmp_path, rng):
    """The phase is kept, and the scale undone."""
    module = As(Smooth(1), sigma="channel", scale=(2.0, -1.0), order=(0,))
    path = write(tmp_path / "net.onnx", module, (2, 1, 36, 44))
    card = import_onnx(
        path, tmp_path / "p.onnx", show=None, channels="mag", scale="2,-1"
    )
    assert card.options["channels"] == "mag" and card.options["scale"] == [2.0, -1.0]
    x = (rng.random((40, 40)) + 1) * np.exp(2j * np.pi * rng.random((40, 40)))
    x = x.astype(np.complex64)
    with torch.no_grad():
        magnitude = torch.from_numpy(np.abs(x))[None, None]
        factor = 1 if card.options["sigma"] == "complex" else 2**-0.5
        wanted = Smooth(1).eval()(magnitude, torch.tensor([0.1 * factor]))[0, 0].numpy()
    y = spp.load_prior(tmp_path / "p.onnx").denoise(x, 0.1)
    np.testing.assert_allclose(y, wanted * x / np.abs(x), atol=1e-5)


def test_stride_and_levels_are_found(tmp_path):
    class Strided(Smooth):
        stride = 4

        def forward(self, x, sigma):
            down = torch.nn.functional.pixel_unshuffle(x, 4)
            return super().forward(torch.nn.functional.pixel_shuffle(down, 4), sigma)

    path = write(tmp_path / "net.onnx", As(Strided()))
    found = found_when_told(path, sigma="complex", schedule="sigma")
    assert found.stride == 4
    assert found.sigma_range[0] <= 0.05 and found.sigma_range[1] >= 1


def test_schedules_state_the_levels_of_the_literature():
    from sigpy_priors.models.schedules import make_schedule

    levels = np.exp(make_schedule("linear").log_sigma)
    assert levels[0] == pytest.approx(0.01, rel=1e-3)  # beta_1 = 1e-4
    ncsn = make_schedule({"sigmas": [1.0, 0.1, 0.01]})
    assert list(ncsn.times) == [2, 1, 0] and not ncsn.preserving
    ve = make_schedule("geometric:0.01,50")
    assert list(ve.times) == [0, 1] and np.exp(ve.log_sigma[1]) == pytest.approx(50)
    vp = make_schedule("vp:0.1,20")
    a = np.exp(-(0.1 + 0.5 * 19.9))  # alpha_bar at t = 1
    assert np.exp(vp.log_sigma[-1]) == pytest.approx(np.sqrt((1 - a) / a), rel=1e-6)
    for bad in (
        "cosine:x",
        "geometric:-1",
        "vp:1,2,3",
        {"sigmas": [1, 2, 1]},
        {"a": []},
    ):
        with pytest.raises(ValueError):
            make_schedule(bad)
