"""The cache of graphs: found again, and not growing without end."""

import os

import pytest

from bart_plugin import cached as graph_cache
from bart_plugin.exporters import GraphSpec


@pytest.fixture
def few(tmp_path, monkeypatch):
    monkeypatch.setattr(graph_cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(graph_cache, "KEPT", 2)
    return tmp_path


def test_found_again_and_the_least_used_goes(few, net_prior):
    def graph(sigma):
        return graph_cache.cached_graph(net_prior, GraphSpec((8, 8), sigma=(sigma,)))

    paths = [graph(s) for s in (0.1, 0.2)]
    for age, path in enumerate(paths):
        os.utime(path, (age, age))
    written = paths[0].stat().st_ino
    assert graph(0.1) == paths[0] and paths[0].stat().st_ino == written
    graph(0.3)  # one too many: 0.2 was used longest ago
    assert paths[0].exists() and not paths[1].exists()
    assert len(list(few.glob("*.json"))) == len(list(few.glob("*.pb"))) == 2


def test_other_weights_or_range_is_another_graph(few, net_prior):
    import copy

    from sigpy_priors.priors.network import NetworkPrior

    spec = GraphSpec((8, 8), sigma=(0.1,))
    path = graph_cache.cached_graph(net_prior, spec)
    same = NetworkPrior(copy.deepcopy(net_prior.model), sigma_range=(0.002, 10.0))
    assert graph_cache.cached_graph(same, spec) == path
    shorter = NetworkPrior(net_prior.model, sigma_range=(0.01, 10.0))
    assert graph_cache.cached_graph(shorter, spec) != path
    next(same.model.parameters()).data.add_(1e-3)
    other = NetworkPrior(same.model, sigma_range=(0.002, 10.0))
    assert graph_cache.cached_graph(other, spec) != path
