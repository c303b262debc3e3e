"""Lifted priors, products and energies in graphs: real BARTs against the SigPy twin."""

import numpy as np
import pytest
import torch
from tfrun import TFGraph

import bart_plugin
import sigpy_priors as spp
from bart_plugin import toolbox
from bart_plugin.exporters import export
from bart_plugin.graph import contract
from bart_plugin.twin.pics import BartPics
from sigpy_priors import linop
from sigpy_priors.models.icnn import ICNN

SHAPE = (22, 18)


def energy():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return spp.EnergyPrior(ICNN(width=6, kernel=3, gain=5.0))


def coil_maps():
    rng = np.random.default_rng(1)
    return rng.standard_normal((2, *SHAPE)) + 1j * rng.standard_normal((2, *SHAPE))


# Of a network, and which of them are densities.
PRIORS = {
    "copies": lambda net: spp.Lifted(net, linop.Copies(SHAPE, 3)),
    "haar": lambda net: spp.Lifted(net, linop.UndecimatedWavelet(SHAPE)),
    "db2": lambda net: spp.Lifted(net, linop.UndecimatedWavelet(SHAPE, "db2", 2)),
    "band": lambda net: spp.Lifted(net, linop.Band(SHAPE, 0, 5)),
    "coils": lambda net: spp.Lifted(net, linop.Coils(coil_maps())),
    "product": lambda net: spp.Product(
        [net, spp.Lifted(net, linop.UndecimatedWavelet(SHAPE))], [0.5, 0.5]
    ),
    "energy on a ramp": lambda net: spp.Lifted(energy(), linop.KspaceRamp(SHAPE)),
    "energies": lambda net: spp.Product(
        [energy(), spp.Lifted(energy(), linop.Copies(SHAPE, 2))], [1.0, 0.3]
    ),
}


def settings(prior, **more):
    own = {} if isinstance(prior, spp.DenoiserPrior) else {"lamda": 0.6}
    return own | more


@pytest.mark.parametrize("algorithm", ["admm", "fista"])
@pytest.mark.parametrize("name", PRIORS)
def test_twin(bart, net_prior, scan, name, algorithm):
    prior = PRIORS[name](net_prior)
    y, mps = scan(SHAPE)
    options = settings(prior, max_iter=6, algorithm=algorithm)
    x = bart_plugin.pics(y, mps, prior, bart=bart, **options)
    version = toolbox.version_of(bart).lstrip("v")
    twin = BartPics(y, mps, prior, version=version, show_pbar=False, **options).run()
    assert np.linalg.norm(x - twin) <= 1e-5 * np.linalg.norm(twin)


@pytest.mark.parametrize("name", ["copies", "haar", "product"])
def test_a_lift_is_in_the_image(bart100, net_prior, scan, name):
    """It is not the network alone that agrees."""
    y, mps = scan(SHAPE)
    options = {"sigma": 0.3, "max_iter": 6, "bart": bart100}
    plain = bart_plugin.pics(y, mps, net_prior, **options)
    lifted = bart_plugin.pics(y, mps, PRIORS[name](net_prior), **options)
    assert np.linalg.norm(lifted - plain) > 1e-3 * np.linalg.norm(plain)


@pytest.mark.parametrize("name", ["copies", "haar", "product"])
def test_sampler_of_any_number_of_images(libtensorflow, net_prior, rng, tmp_path, name):
    prior = PRIORS[name](net_prior)
    made = export(prior, tmp_path / "s", SHAPE, kind="sample")
    graph = TFGraph(libtensorflow, made.graph.read_bytes())
    x = rng.standard_normal((3, *SHAPE, 2)).astype(np.float32)
    sigma = np.float32([0.001, 0.05, 1.0])
    for n in (1, 3):
        feeds = {
            contract.IMAGE: x[:n],
            contract.SIGMA: np.stack([sigma, 0 * sigma], 1)[:n],
        }
        found = graph.run(feeds, contract.OUTPUT).view(np.complex64)[..., 0]
        expected = prior.denoise(x[:n].view(np.complex64)[..., 0], sigma[:n])
        for a, b in zip(found, expected):
            assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max()


def test_another_size_is_refused(net_prior, tmp_path):
    prior = PRIORS["haar"](net_prior)
    with pytest.raises(ValueError, match=r"made for images \(22, 18\), got \(18, 22\)"):
        export(prior, tmp_path / "g", SHAPE[::-1], sigma=0.1)
