"""Posterior samplers: plain functions of (denoiser, data, noise, sigmas).

``METHODS`` names them for :class:`sigpy_priors.app.sampling.PosteriorSampling`,
each with the number of noise levels that it gets by default: about 60 network
evaluations, Jacobian products counted, for every method.

The default is ``mmps``: at that cost it alone has mean, standard deviation and
coverage of the exact posterior of a Gaussian prior
(``tests/benchmarks/posterior.py``), and on real data its intervals cover as
they say. ``diffpir`` with ``lamda=1, zeta=1`` has the lower error of the mean
there, but intervals that are much too narrow.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sigpy_priors.posterior.samplers.core import Denoiser, Noise
from sigpy_priors.posterior.samplers.gibbs import sgs
from sigpy_priors.posterior.samplers.guidance import dps, pigdm
from sigpy_priors.posterior.samplers.langevin import ald, pula
from sigpy_priors.posterior.samplers.moment import mmps
from sigpy_priors.posterior.samplers.nila import nila
from sigpy_priors.posterior.samplers.predictor_corrector import predictor_corrector
from sigpy_priors.posterior.samplers.splitting import daps, dds, diffpir

__all__ = ["METHODS", "Denoiser", "Method", "Noise"]

# What every sampler takes first: denoiser, data, noise, sigmas.
_COMMON = 4


@dataclass(frozen=True)
class Method:
    """A sampler, its options, and what it costs.

    Attributes:
        function (function): the sampler.
        steps (int): noise levels by default.
        options (dict): its further options with their defaults.
        cost (function): of the number of levels and all options: network evaluations
            for each sample.
        steps_without_data (int or None): noise levels where there are no data.
        any_term (bool): whether it asks for no more than ``prox`` or ``draw``, so that
            magnitudes do as well (:class:`sigpy_priors.scan.magnitude.MagnitudeTerm`).
        jacobian (bool): whether its evaluations are largely Jacobian products.
    """

    function: Callable
    steps: int
    options: dict[str, Any]
    cost: Callable[[int, dict], int]
    steps_without_data: int | None = None
    any_term: bool = False
    jacobian: bool = False

    def evaluations(self, levels: int, **options: Any) -> int:
        """Network evaluations for each sample, for the progress bar."""
        return self.cost(levels, self.options | options)


def _method(
    function: Callable,
    steps: int,
    cost: Callable,
    alone: int | None = None,
    any_term: bool = False,
    jacobian: bool = False,
):
    named = list(inspect.signature(function).parameters.values())[_COMMON:]
    options = {p.name: p.default for p in named}
    return Method(function, steps, options, cost, alone, any_term, jacobian)


METHODS: dict[str, Method] = {
    "mmps": _method(mmps, 15, lambda n, o: n + o["products"], alone=60, jacobian=True),
    "ald": _method(ald, 20, lambda n, o: n * o["steps_per_level"] + 1),
    "pula": _method(pula, 30, lambda n, o: n * o["steps_per_level"] + 1),
    "pc": _method(predictor_corrector, 30, lambda n, o: 2 * n - 1),
    "dps": _method(dps, 30, lambda n, o: 2 * n - 1, jacobian=True),
    "pigdm": _method(pigdm, 30, lambda n, o: 2 * n, jacobian=True),
    "diffpir": _method(diffpir, 60, lambda n, o: n, any_term=True),
    "dds": _method(dds, 60, lambda n, o: n),
    "daps": _method(daps, 12, lambda n, o: n * o["ode_steps"], any_term=True),
    "sgs": _method(sgs, 13, lambda n, o: 1 + (n - 1) * o["prior_steps"], any_term=True),
    "nila": _method(nila, 60, lambda n, o: n),
}
