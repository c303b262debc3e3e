"""The table of BART's rules, and that exports keep it."""

import ast
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tfrun import TFGraph

import bart_plugin
from bart_plugin.algorithms import Admm
from bart_plugin.exporters import export
from bart_plugin.graph import contract
from bart_plugin.graph.protobuf import GraphError, read_graph
from sigpy_priors.priors.gaussian import GaussianMixturePrior, GaussianPrior


def test_image_shapes():
    assert contract.image_shape((256, 232)) == (1, 256, 232, 2)
    assert contract.image_shape((4, 3), maps=2) == (2, 1, 1, 4, 3, 2)
    many = contract.image_shape((4, 3), slices=5, maps=2)
    assert contract.bart_dims(many) == (3, 4, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 5)
    with pytest.raises(ValueError, match=">= 1"):
        contract.image_shape((0, 3))


def test_versions_compare():
    assert contract.version("v0.8.00") < contract.version("v1.0.00-12-gabc")
    with pytest.raises(ValueError, match="no BART version"):
        contract.version("unknown")


def test_every_node_of_the_table_is_there(net_prior, tmp_path):
    for kind in contract.KINDS:
        made = export(net_prior, tmp_path / kind, (18, 15), kind=kind)
        nodes = read_graph(made.graph)
        for row in contract.TENSORS:
            if kind in row.kinds:
                assert nodes[row.name][0] in row.ops
        contract.check_graph(made.graph, kind)


def test_kinds_are_told_apart(net_prior, tmp_path):
    made = export(net_prior, tmp_path / "s", (16, 12), kind="sample")
    with pytest.raises(GraphError, match="no graph for bart pics: it lacks.*grad_0"):
        contract.check_graph(made.graph, "pics")
    with pytest.raises(GraphError, match="No such file"):
        contract.check_graph(tmp_path / "none.pb", "pics")


def _gradient(library, made):
    graph = TFGraph(library, made.graph.read_bytes())
    graph.run({}, target=contract.RESTORE)

    def call(u):
        real = np.ascontiguousarray(u.astype(np.complex64)).view(np.float32)
        shape = contract.stated_shape(made.graph)
        feeds = {
            contract.IMAGE: real.reshape(shape),
            contract.WEIGHT: np.float32([1, 0]),
        }
        one = graph.run(feeds, contract.GRADIENTS[0])
        assert one.shape == shape
        return one.view(np.complex64).reshape(u.shape)

    call.restart = lambda: graph.run({}, target=contract.RESTORE)
    return call


@pytest.mark.parametrize("shape", [(16, 12), (18, 15), (7, 40)])
def test_parity_with_torch(libtensorflow, net_prior, tmp_path, shape):
    """Also where the network's stride does not divide the image."""
    rng = np.random.default_rng(0)
    u = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    u /= np.abs(u).max()
    made = export(net_prior, tmp_path / "g", shape, sigma=0.2, peak=1.3)
    G = _gradient(libtensorflow, made)(u)
    expected = u - net_prior.denoise((1.3 * u).astype(np.complex64), 0.2) / 1.3
    assert np.abs(G - expected).max() <= 1e-5


def test_counter(libtensorflow, net_prior, tmp_path):
    """One level per call, empty images not counted, the last level stays."""
    rng = np.random.default_rng(0)
    u = rng.standard_normal((8, 12)) + 1j * rng.standard_normal((8, 12))
    levels, relaxation = (1.0, 0.3, 0.1), (0.2, 0.5, 1.0)
    made = export(
        net_prior, tmp_path / "g", (8, 12), sigma=levels, relaxation=relaxation
    )
    call = _gradient(libtensorflow, made)
    for k in (None, 0, None, 1, 2, 2):
        if k is None:
            call(0 * u)
            continue
        expected = relaxation[k] * (u - net_prior.denoise(u, levels[k]))
        assert np.abs(call(u) - expected).max() <= 1e-5 * np.abs(u).max()


def test_schedule_restarts_when_loaded(libtensorflow, net_prior, tmp_path):
    """What BART runs once after loading is what sets the counter to zero."""
    u = np.random.default_rng(0).standard_normal((8, 12)) + 0j
    made = export(net_prior, tmp_path / "g", (8, 12), sigma=(1.0, 0.1))
    call = _gradient(libtensorflow, made)
    first, second, third = call(u), call(u), call(u)
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()
    np.testing.assert_array_equal(second, third)
    call.restart()
    np.testing.assert_array_equal(call(u), first)
    np.testing.assert_array_equal(call(u), second)


def test_gaussian_graph(libtensorflow, tmp_path):
    rng = np.random.default_rng(0)
    b = rng.standard_normal((12, 12)) + 1j * rng.standard_normal((12, 12))
    mean = rng.standard_normal((4, 3)) + 1j * rng.standard_normal((4, 3))
    prior = GaussianPrior(mean, cov=b @ b.conj().T / 12)
    made = export(prior, tmp_path / "g", (4, 3), sigma=0.7)
    G = _gradient(libtensorflow, made)(mean + 1j)
    expected = mean + 1j - prior.denoise(mean + 1j, 0.7)
    assert np.abs(G - expected).max() <= 1e-5


def test_card_beside_the_graph(net_prior, tmp_path):
    made = export(net_prior, tmp_path / "a" / "g", (16, 12), slices=3)
    card = json.loads(made.card.read_text())
    assert card["bart"]["bart_dims"] == [12, 16] + [1] * 11 + [3]
    assert card["bart"]["command"] == made.command
    levels, relaxation = Admm().schedule(net_prior)
    np.testing.assert_allclose(card["bart"]["sigma"], levels, rtol=1e-6)
    np.testing.assert_allclose(card["bart"]["relaxation"], relaxation, rtol=1e-6)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(sigma=0.0), "sigma"),
        (dict(sigma=[]), "sigma"),
        (dict(sigma=1e-5), "noise levels from"),
        (dict(sigma=0.1, relaxation=2), "relaxation"),
        (dict(sigma=[0.1, 0.2], relaxation=[1, 1, 1]), "relaxation"),
        (dict(peak=0), "peak"),
        (dict(kind="ecalib"), "kind"),
        (dict(kind="sample", sigma=0.1), "sample"),
        (dict(shape=(4, 4, 4)), "shape"),
        (dict(algorithm="cg"), "algorithm must be Admm"),
    ],
)
def test_wrong_settings(net_prior, tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        export(net_prior, tmp_path / "g", **{"shape": (16, 12), **change})
    assert not list(tmp_path.iterdir())


def test_prior_without_a_graph(tmp_path):
    two = np.ones((2, 4, 4))
    mixture = GaussianMixturePrior([1, 1], 0 * two, spectra=two)
    with pytest.raises(TypeError, match="could be exported"):
        export(mixture, tmp_path / "g", (4, 4), sigma=0.1)


def test_only_priors_are_exported(tmp_path):
    with pytest.raises(ValueError, match="load one with sigpy_priors.load_prior"):
        export("brain", tmp_path / "g", (4, 4))
    square = GaussianPrior(np.zeros((4, 4)), spectrum=np.ones((4, 4)))
    with pytest.raises(ValueError, match=r"made for images \(4, 4\)"):
        export(square, tmp_path / "g", (8, 4), sigma=0.1)


def test_public_functions_stay_functions(net_prior, tmp_path):
    """Importing a module puts it in the place of a function of its name."""
    for name in bart_plugin.__all__:
        assert find_spec(f"bart_plugin.{name}") is None
    for k in range(2):
        bart_plugin.export(net_prior, tmp_path / str(k), (8, 8), sigma=0.1)


def test_only_the_contract_knows_tensors_by_name():
    names = {t.name for t in contract.TENSORS}
    folder = Path(bart_plugin.__file__).parent
    assert names <= _strings(folder / "graph" / "contract.py")
    for file in folder.rglob("*.py"):
        if file.name != "contract.py":
            assert not names & _strings(file), file


def _strings(file):
    tree = ast.parse(file.read_text())
    constants = (n for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return {n.value for n in constants if isinstance(n.value, str)}


@pytest.mark.parametrize("data", [b"\x0a" + b"\xff" * 1_000_000, b"\x08\xff", b""])
def test_damaged_graphs_are_refused_at_once(tmp_path, data):
    (tmp_path / "g.pb").write_bytes(data)
    with pytest.raises(GraphError, match="not a complete TensorFlow graph"):
        contract.check_graph(tmp_path / "g.pb", "pics")
