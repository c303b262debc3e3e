"""Algorithms of pics: options and noise levels, without a BART."""

import numpy as np
import pytest

from bart_plugin.algorithms import Admm, Fista, annealed, get_algorithm
from bart_plugin.twin import BartPics


def test_options_of_pics():
    assert Admm().options() == "-m -u 0.11 -C 4 -i 63"
    assert Admm(rho=0.5, cg_iter=10, max_iter=3).options() == "-m -u 0.5 -C 10 -i 29"
    assert Fista().options() == "-i 30 -s 1"
    assert get_algorithm("ist", density=False).options() == "-I -i 30 -s 1"


def test_a_proximal_step_is_the_denoiser():
    """tau lambda = 1, with tau = 1 / rho in ADMM and the step in FISTA."""
    assert Admm(rho=0.3).bart_lamda(1) / 0.3 == 1
    assert Fista(step=0.5).bart_lamda(1 / 0.5) * 0.5 == 1


def test_defaults_by_the_kind_of_prior():
    assert get_algorithm(None, density=False) == Admm()
    assert get_algorithm(None, density=True) == Fista(max_iter=100)
    assert get_algorithm(None, density=True, max_iter=5) == Fista(max_iter=5)
    assert get_algorithm(Admm(0.2), density=True) == Admm(0.2)
    with pytest.raises(ValueError, match="algorithm must be Admm.*'admm', 'fista'"):
        get_algorithm("cg", density=False)


def test_schedules_stay_in_the_range_of_the_prior(net_prior):
    levels, relaxation = Admm(max_iter=5).schedule(net_prior)
    assert levels[0] == pytest.approx(0.3) and levels[-1] == pytest.approx(0.028)
    assert (np.diff(levels) < 0).all() and (relaxation == 1).all()
    _, relaxation = Fista(max_iter=5).schedule(net_prior)
    assert (np.diff(relaxation) > 0).all()
    low, high = net_prior.sigma_range
    levels, _ = Admm(first=2 * high, last=low / 2).schedule(net_prior)
    assert levels.max() == high and levels.min() == low


def test_annealed():
    np.testing.assert_allclose(annealed(1, 0.01, 3), [1, 0.1, 0.01])
    with pytest.raises(ValueError, match="start >= end"):
        annealed(0.1, 1, 3)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Fista(step=3), "step must be between 0 and 2"),
        (lambda: Fista(relaxation=0), "relaxation must be > 0"),
        (lambda: Admm(rho=0), "rho must be > 0"),
        (lambda: Admm(cg_iter=0), "cg_iter must be at least 1"),
        (lambda: Admm(max_iter=0), "max_iter must be at least 1"),
        (lambda: Admm(first=0.1, last=0.2), "start >= end"),
    ],
)
def test_wrong_algorithms(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_wrong_settings_of_the_twin(net_prior, scan):
    y, mps = scan((16, 12))
    for change, words in (
        (dict(version="0.5.00"), "version must be one of"),
        (dict(warm_start=y[0]), "ADMM takes none"),
        (dict(relaxation=(1, 1)), "relaxation: expected one value"),
        (dict(sigma=-1), "noise levels > 0"),
    ):
        with pytest.raises(ValueError, match=words):
            BartPics(y, mps, net_prior, show_pbar=False, **change)
