"""Architectures of other packages, found by their entry points."""

import sys
import textwrap

import numpy as np
import pytest
import torch

from sigpy_priors.load import load_prior
from sigpy_priors.models import build_model
from sigpy_priors.models.registry import GROUP, architectures, build_network
from sigpy_priors.models.unet import UNet
from sigpy_priors.priors.card import PriorCard
from sigpy_priors.priors.saving import save_prior

MODULE = """
    import torch

    class Shrink(torch.nn.Module):
        def __init__(self, start=0.5):
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor(start))

        def forward(self, x, noise):
            return self.factor * x
"""


@pytest.fixture
def mylab(tmp_path, monkeypatch):
    """An installed package with one network, as pip would leave it."""
    (tmp_path / "mylab_nets.py").write_text(textwrap.dedent(MODULE))
    info = tmp_path / "mylab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\nshrink = mylab_nets:Shrink\nunet = mylab_nets:Shrink\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("mylab_nets", None)


def card(**changes):
    fields = {"name": "s", "architecture": "shrink", "precond": "direct"}
    fields |= {"sigma_range": (0.1, 1), "package": "mylab"}
    return PriorCard(**{**fields, **changes})


def test_builtin_network_is_built():
    net = build_network("unet", {"channels": (4, 8), "blocks": (1, 1)})
    assert isinstance(net, UNet) and net.stride == 4


def test_a_network_of_another_package(mylab, tmp_path):
    assert architectures()["shrink"] == "mylab_nets:Shrink"
    assert "mylab_nets" not in sys.modules  # listed without being imported
    model = build_model(card(options={"start": 0.25}).model_dump())
    path = tmp_path / "s.safetensors"
    save_prior(path, model, card())
    x = np.ones((6, 5), np.complex64) * (1 + 2j)
    np.testing.assert_allclose(load_prior(path).denoise(x, 0.3), 0.25 * x)


def test_nobody_replaces_a_builtin_network(mylab):
    assert architectures()["unet"] == "sigpy_priors.models.unet:UNet"


def test_a_file_whose_network_is_not_installed(tmp_path):
    model = build_model({**card().model_dump(), "architecture": "unet"})
    save_prior(tmp_path / "s.safetensors", model, card())
    with pytest.raises(ValueError, match="unknown architecture 'shrink'") as e:
        load_prior(tmp_path / "s.safetensors")
    assert "install 'mylab'" in str(e.value) and GROUP in str(e.value)
    assert "known are icnn, pixelcnn, unet" in str(e.value)


def test_without_a_package_name_the_message_says_what_is_missing():
    with pytest.raises(ValueError, match="install the package with it"):
        build_network("shrink", {})


def test_options_that_do_not_fit(mylab):
    with pytest.raises(ValueError, match="'shrink' rejects its options: .*end"):
        build_network("shrink", {"end": 1})


def test_the_network_is_not_trained_by_loading(mylab, tmp_path):
    save_prior(tmp_path / "s", build_model(card().model_dump()), card())
    prior = load_prior(tmp_path / "s")
    assert not any(p.requires_grad for p in prior.model.parameters())
    assert not prior.model.training
    assert isinstance(prior.model, torch.nn.Module)


@pytest.mark.parametrize("target", ["no_such_module:Net", "json:Net"])
def test_a_broken_registration_is_named(target, monkeypatch):
    monkeypatch.setattr("sigpy_priors.models.registry._BUILTIN", {"lost": target})
    with pytest.raises(ValueError, match=f"registered as '{target}'.*reinstall"):
        build_network("lost", {})
