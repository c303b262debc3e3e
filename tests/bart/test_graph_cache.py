"""The cache of graphs: found again, and not growing without end."""

import os

import pytest

from bart_plugin.graph import cached as graph_cache


@pytest.fixture
def few(tmp_path, monkeypatch):
    monkeypatch.setattr(graph_cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(graph_cache, "KEPT", 2)
    return tmp_path


def test_found_again_and_the_least_used_goes(few, net_prior):
    def graph(sigma):
        return graph_cache.cached_graph(net_prior, shape=(8, 8), sigma=sigma)

    paths = [graph(s) for s in (0.1, 0.2)]
    for age, path in enumerate(paths):
        os.utime(path, (age, age))
    written = paths[0].stat().st_ino
    assert graph(0.1) == paths[0] and paths[0].stat().st_ino == written
    graph(0.3)  # one too many: 0.2 was used longest ago
    assert paths[0].exists() and not paths[1].exists()
    assert len(list(few.glob("*.json"))) == len(list(few.glob("*.pb"))) == 2
