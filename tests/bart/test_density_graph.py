"""Densities as BART graphs: loss and gradient in real BARTs and TensorFlow."""

import re
import subprocess

import numpy as np
import pytest
from tfrun import TFGraph

import bart_plugin
from bart_plugin import calls, toolbox
from bart_plugin.algorithms import Admm, map_lamda
from bart_plugin.exporters import export
from bart_plugin.graph import contract
from bart_plugin.twin.pics import BartPics
from sigpy_priors.io.cfl import write_cfl


@pytest.mark.parametrize("shape", [(18, 26), (20, 27)])
def test_loss_and_gradient(libtensorflow, density, shape, tmp_path, rng):
    made = export(density, tmp_path / "g", shape, peak=1.5)
    u = 0.3 * rng.standard_normal((1, *shape, 2)).astype(np.float32)
    u[0, :3] = 0
    graph = TFGraph(libtensorflow, made.graph.read_bytes())
    feeds = {contract.IMAGE: u, contract.WEIGHT: np.array([1, 0], np.float32)}
    loss = graph.run(feeds, contract.OUTPUT)
    grad = graph.run(feeds, contract.GRADIENTS[0])[0]

    x = 1.5 * (u[0, ..., 0] + 1j * u[0, ..., 1])
    bits = density.bits_per_dim(x)
    ascent = density.grad_log_prob(x)
    slope = -1.5 * ascent / (x.size * density.channels * np.log(2))
    assert loss[0] == pytest.approx(bits, rel=1e-5) and loss[1] == 0
    difference = grad[..., 0] + 1j * grad[..., 1] - slope
    assert np.abs(difference).max() <= 1e-5 * np.abs(slope).max()


def test_published_lamda(density, tmp_path):
    lamda = {1: "0.1", 2: "0.6"}[density.channels]
    for kind in ("pics", "nlinv"):
        made = export(density, tmp_path / kind, (18, 26), kind=kind)
        assert f"}}:{lamda} kspace" in made.command


@pytest.mark.parametrize("n", [1, 4])
def test_twin(bart, density, scan, n):
    y, mps = scan((22, 18))
    x = bart_plugin.pics(y, mps, density, lamda=0.6, max_iter=n, bart=bart)
    version = toolbox.version_of(bart).lstrip("v")
    settings = dict(lamda=0.6, max_iter=n, version=version, show_pbar=False)
    twin = BartPics(y, mps, density, **settings).run()
    assert np.linalg.norm(x - twin) <= 1e-5 * np.linalg.norm(twin)


def test_bart_prints_our_loss(bart, density, scan, tmp_path):
    y, mps = scan((22, 18))
    export(density, tmp_path / "g", (22, 18))
    start = np.random.default_rng(0).standard_normal((22, 18)) + 0j
    for name, v in (("y", y[:, None]), ("mps", mps[:, None]), ("start", start)):
        write_cfl(tmp_path / name, v)
    said = subprocess.run(
        [bart, "pics", "-d5", "-S", "-i1", "-s1", "-W", "start", "-R",
         f"TF:{{{tmp_path / 'g'}}}:0.6", "y", "mps", "out"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    losses = re.findall(r"(?<!TensorFlow )Loss: ([\d.]+)", said.stdout + said.stderr)
    expected = density.bits_per_dim(start / np.abs(start).max())
    assert float(losses[0]) == pytest.approx(expected, rel=1e-5)


def test_nlinv(bart100, density, scan):
    y, _ = scan((24, 20))
    image, coils = bart_plugin.nlinv(y, density, max_iter=4, bart=bart100)
    other, _ = bart_plugin.nlinv(y, density, max_iter=4, lamda=0.0, bart=bart100)
    assert image.shape == (24, 20) and coils.shape == y.shape
    assert np.linalg.norm(image - other) > 1e-4 * np.linalg.norm(other)


def test_default_lamda_is_the_maximum_of_the_posterior(density):
    n = 20 * 10 * density.channels
    # lamda bits / n == sigma^2 / 2 nats
    lamda = map_lamda(density, 0.1, (20, 10))
    assert lamda / (n * np.log(2)) == pytest.approx(0.1**2 / 2)


@pytest.mark.parametrize("algorithm", ["fista", Admm(rho=0.3), Admm(rho=3.0)])
def test_lamda_does_not_depend_on_the_coupling(density, scan, monkeypatch, algorithm):
    y, mps = scan((22, 18))
    commands = []

    def run(command, *data, **kwargs):
        commands.append(command)
        return np.ones((22, 18), np.complex64)

    monkeypatch.setattr(calls, "run", run)
    monkeypatch.setattr(calls, "capable_program", lambda *_: "bart")
    monkeypatch.setattr(calls, "version_of", lambda _: "v1.0.00")
    bart_plugin.pics(y, mps, density, lamda=0.6, algorithm=algorithm)
    assert commands[0].endswith(":0.6")
    twin = BartPics(y, mps, density, 0.6, algorithm=algorithm, show_pbar=False)
    assert twin.proxg.lamda == 0.6


@pytest.fixture(scope="module")
def energy():
    """An input-convex network with random weights."""
    import torch

    from sigpy_priors.models.icnn import ICNN
    from sigpy_priors.priors.energy import EnergyPrior

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return EnergyPrior(ICNN(width=6, kernel=3, gain=5.0))


@pytest.mark.parametrize("algorithm", ["fista", "admm"])
def test_an_energy_is_a_loss_too(bart, energy, scan, algorithm):
    """It has no bits, but a gradient, which is all that BART uses."""
    y, mps = scan((22, 18))
    settings = dict(lamda=0.6, max_iter=5, algorithm=algorithm)
    x = bart_plugin.pics(y, mps, energy, bart=bart, **settings)
    version = toolbox.version_of(bart).lstrip("v")
    twin = BartPics(y, mps, energy, version=version, show_pbar=False, **settings).run()
    assert np.linalg.norm(x - twin) <= 1e-5 * np.linalg.norm(twin)
    plain = bart_plugin.pics(y, mps, energy, bart=bart, **settings | {"lamda": 0.0})
    assert np.linalg.norm(x - plain) > 1e-3 * np.linalg.norm(plain)


def test_the_value_of_an_energy(libtensorflow, energy, tmp_path, rng):
    made = export(energy, tmp_path / "g", (18, 26))
    u = rng.standard_normal((1, 18, 26, 2)).astype(np.float32)
    feeds = {contract.IMAGE: u, contract.WEIGHT: np.array([1, 0], np.float32)}
    graph = TFGraph(libtensorflow, made.graph.read_bytes())
    loss = graph.run(feeds, contract.OUTPUT)
    x = u[0, ..., 0] + 1j * u[0, ..., 1]
    nats = -energy.log_prob(x) / (2 * x.size * np.log(2))
    assert loss[0] == pytest.approx(nats, rel=1e-5)


def test_what_a_density_has_not(density, tmp_path):
    with pytest.raises(ValueError, match="neither sigma nor relaxation"):
        export(density, tmp_path / "g", (20, 20), sigma=0.1)
    with pytest.raises(ValueError, match="takes denoisers"):
        export(density, tmp_path / "g", (20, 20), kind="sample")
