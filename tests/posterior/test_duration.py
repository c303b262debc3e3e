"""Long sampling is announced, and as long as it was announced."""

import time

import pytest

from sigpy_priors.app import duration
from sigpy_priors.app.duration import announce, evaluation_seconds
from sigpy_priors.posterior.samplers import METHODS


@pytest.fixture
def slow(oracle, monkeypatch):
    """The oracle's prior, whose denoiser takes 20 ms."""
    denoise = oracle.prior._denoise

    def slowly(x, sigma):
        time.sleep(0.02)
        return denoise(x, sigma)

    monkeypatch.setattr(oracle.prior, "_denoise", slowly)
    return oracle


@pytest.mark.parametrize("method", ["diffpir", "mmps"])
def test_the_time_of_an_evaluation(slow, method):
    one = evaluation_seconds(slow.prior, method, slow.y[0], 0.1)
    # A Jacobian product, which here costs nothing, counts as an evaluation.
    low = 0.01 if METHODS[method].jacobian else 0.02
    assert low <= one < 5 * low


def test_only_what_is_long_is_announced(slow, capsys, monkeypatch):
    announce(slow.prior, "diffpir", slow.y[0], 0.1, 2, 60)  # about 2 s
    assert capsys.readouterr().err == ""
    announce(slow.prior, "diffpir", slow.y[0], 0.1, 100, 60)
    said = capsys.readouterr().err
    assert "100 samples of 60 network evaluations" in said and " min; fewer" in said
    monkeypatch.setattr(
        duration, "evaluation_seconds", lambda *args: pytest.fail("was measured")
    )
    announce(slow.prior, "diffpir", slow.y[0], 0.1, 1, 60)


def test_an_app_says_it_before_it_begins(slow, capsys, monkeypatch):
    monkeypatch.setattr(duration, "LONG", 0.01)
    slow.app(num_samples=2, steps=60, method="diffpir", show_pbar=True).run()
    said = capsys.readouterr().err
    assert said.index("2 samples of 60") < said.index("120/120")
    slow.app(num_samples=2, steps=60, method="diffpir", show_pbar=False).run()
    assert not capsys.readouterr().err
