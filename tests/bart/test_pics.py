"""``bart pics -R TF:`` against the SigPy twin, in real BARTs."""

import numpy as np
import pytest
import sigpy.mri as mr

import bart_plugin
from bart_plugin import toolbox
from bart_plugin.algorithms import Admm, Fista
from bart_plugin.exporters import export
from bart_plugin.toolbox.runner import run
from bart_plugin.twin.pics import BartPics
from sigpy_priors.priors.gaussian import GaussianPrior


def nrmse(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def order(bart):
    return toolbox.version_of(bart).lstrip("v")


def sigpy_twin(y, mps, prior, bart, **settings):
    """What SigPy computes where this BART gets the same settings."""
    return BartPics(
        y, mps, prior, version=order(bart), show_pbar=False, **settings
    ).run()


@pytest.mark.parametrize("algorithm", ["fista", "admm"])
@pytest.mark.parametrize("mask", ["poisson", "1d"])
@pytest.mark.parametrize("n", [1, 5, 30])
def test_twin(bart, net_prior, scan, n, mask, algorithm):
    y, mps = scan((40, 36), mask)
    settings = dict(max_iter=n, algorithm=algorithm)
    x = bart_plugin.pics(y, mps, net_prior, bart=bart, **settings)
    assert nrmse(x, sigpy_twin(y, mps, net_prior, bart, **settings)) <= 1e-5


@pytest.fixture(scope="module", params=["Poisson", "1-D"])
def brain8(request, shared_data):
    """Real 8-coil k-space, 180 x 230, undersampled, with maps from it."""
    full = np.load(shared_data / "kspace/brain8_espirit_full_8x180x230.npy")
    shape = full.shape[1:]
    if request.param == "Poisson":
        mask = np.abs(mr.poisson(shape, 4, calib=(24, 24), seed=0))
    else:
        mask = np.random.default_rng(0).random((shape[0], 1)) < 0.25
        mask[80:100] = True
    y = (full * mask).astype(np.complex64)
    return y, mr.app.EspiritCalib(y, show_pbar=False).run()


@pytest.mark.parametrize("n", [1, 5, 30])
def test_twin_on_real_data(bart, brain, brain8, n):
    y, mps = brain8
    settings = dict(max_iter=n, algorithm="fista")
    x = bart_plugin.pics(y, mps, brain, bart=bart, **settings)
    assert nrmse(x, sigpy_twin(y, mps, brain, bart, **settings)) <= 1e-5


def test_default_twin_on_real_data(bart, brain, brain8):
    y, mps = brain8
    x = bart_plugin.pics(y, mps, brain, max_iter=3, bart=bart)
    assert nrmse(x, sigpy_twin(y, mps, brain, bart, max_iter=3)) <= 1e-5


@pytest.mark.parametrize("shape", [(38, 33), (27, 44)])
def test_odd_sizes_and_padding(bart, net_prior, scan, shape):
    y, mps = scan(shape)
    settings = dict(sigma=0.1, algorithm=Fista(step=0.9, max_iter=8), lamda=0.7)
    x = bart_plugin.pics(y, mps, net_prior, bart=bart, **settings)
    assert nrmse(x, sigpy_twin(y, mps, net_prior, bart, **settings)) <= 1e-5


def test_fista_last_and_warm_start(bart100, net_prior, scan):
    y, mps = scan((24, 20))
    start = np.full((24, 20), 0.3 + 0.1j, np.complex64)
    settings = dict(sigma=(0.3, 0.1, 0.05), max_iter=3, algorithm="fista")
    here = dict(warm_start=start, **settings)
    x = bart_plugin.pics(
        y, mps, net_prior, options="--fista_last", bart=bart100, **here
    )
    twin = sigpy_twin(y, mps, net_prior, bart100, fista_last=True, **here)
    assert nrmse(x, twin) <= 1e-5
    assert nrmse(x, sigpy_twin(y, mps, net_prior, bart100, **settings)) > 1e-3


def test_prior_sees_the_image_as_sigpy_has_it(bart, scan):
    """One proximal step of a Gaussian whose mean is not symmetric."""
    y, mps = scan((12, 8))
    mean = np.zeros((12, 8))
    mean[2, 5] = 1
    prior = GaussianPrior(mean, spectrum=np.full((12, 8), 1e-12))
    # The denoiser returns its mean, whatever it is given.
    x = bart_plugin.pics(
        y,
        mps,
        prior,
        sigma=0.5,
        warm_start=np.ones((12, 8)),
        lamda=1e6,
        algorithm=Fista(step=1e-6, max_iter=1),
        bart=bart,
    )
    assert np.unravel_index(np.abs(x).argmax(), x.shape) == (2, 5)


def test_slices_and_two_maps(bart, net_prior, scan):
    """A stack is one image to BART: it is normalised by its common maximum."""
    y, mps = scan((16, 12))
    settings = dict(sigma=0.1, max_iter=4, algorithm="fista", bart=bart)
    alone = bart_plugin.pics(y, mps, net_prior, **settings)
    stack = np.stack([y, 0.5 * y])
    x = bart_plugin.pics(stack, np.stack([mps, mps]), net_prior, **settings)
    assert x.shape == (2, 16, 12)
    assert nrmse(x[0], alone) <= 1e-5
    assert nrmse(x[1], 0.5 * alone) > 1e-5
    two = np.stack([mps, 0 * mps])
    x = bart_plugin.pics(y, two, net_prior, **settings)
    assert x.shape == (2, 16, 12)
    assert nrmse(x[0], alone) <= 1e-4


def test_units_of_the_data(bart, net_prior, scan):
    y, mps = scan((16, 12))
    x = bart_plugin.pics(y, mps, net_prior, max_iter=4, bart=bart)
    big = bart_plugin.pics(1000 * y, mps, net_prior, max_iter=4, bart=bart)
    assert nrmse(big / 1000, x) <= 1e-5


def test_command_line_of_the_card(bart, net_prior, scan, tmp_path):
    """The command that ``export`` prints, run by hand."""
    y, mps = scan((40, 36))
    six = Admm(max_iter=6)
    made = export(net_prior, tmp_path / "brain", (40, 36), algorithm=six)
    command = made.command.split()
    assert command[:2] == ["bart", "pics"]
    assert command[-3:] == ["kspace", "maps", "image"]
    x = run(" ".join(command[1:-3]), y[:, None], mps[:, None], bart=bart)
    ours = bart_plugin.pics(y, mps, net_prior, algorithm=six, bart=bart)
    assert nrmse(x, ours) <= 1e-5


def test_wrong_size_is_refused(bart, net_prior, scan, tmp_path):
    y, mps = scan((16, 12))
    made = export(net_prior, tmp_path / "g", (12, 16), sigma=0.1)
    with pytest.raises(bart_plugin.GraphError, match=r"exported for images.*16, 12"):
        bart_plugin.pics(y, mps, net_prior, graph=made.graph, bart=bart)
    # BART 1.0.00 itself refuses too, and its words come through.
    if order(bart) == "1.0.00":
        with pytest.raises(bart_plugin.BartError, match="not compatible"):
            run(f"pics -R TF:{{{tmp_path}/g}}:1", y[:, None], mps[:, None], bart=bart)


def test_truncated_graph(bart, net_prior, scan, tmp_path):
    y, mps = scan((16, 12))
    made = export(net_prior, tmp_path / "g", (16, 12), sigma=0.1)
    data = made.graph.read_bytes()
    for size in (0, 10, len(data) // 2, len(data) - 1):
        made.graph.write_bytes(data[:size])
        with pytest.raises(bart_plugin.GraphError, match="cut short"):
            bart_plugin.pics(y, mps, net_prior, graph=made.graph, bart=bart)


def test_divergence_names_the_setting(bart, scan, net_prior):
    y, mps = scan((16, 12))
    with pytest.raises((bart_plugin.BartError, ValueError), match="step"):
        bart_plugin.pics(
            y, 40 * mps, net_prior, sigma=0.1, algorithm=Fista(1.9, 60), bart=bart
        )


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(lamda=-1), "lamda"),
        (dict(max_iter=0), "max_iter"),
        (dict(algorithm="cg"), "algorithm"),
        (dict(sigma=50.0), "noise levels from"),
        (dict(sigma=(0.1, -1.0)), "sigma"),
    ],
)
def test_wrong_settings(net_prior, scan, change, words):
    y, mps = scan((16, 12))
    with pytest.raises(ValueError, match=words):
        bart_plugin.pics(y, mps, net_prior, bart="/nowhere/bart", **change)


def test_wrong_data(net_prior, scan):
    y, mps = scan((16, 12))
    with pytest.raises(ValueError, match="do not fit"):
        bart_plugin.pics(y, mps[:2], net_prior)
    with pytest.raises(ValueError, match="NaN"):
        bart_plugin.pics(y * np.nan, mps, net_prior)
    with pytest.raises(ValueError, match="complex"):
        bart_plugin.pics(np.abs(y), mps, net_prior)
