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

from typing import NamedTuple

from sigpy_priors.posterior.samplers.core import DataTerm, Denoiser, Noise
from sigpy_priors.posterior.samplers.guidance import dps, pigdm
from sigpy_priors.posterior.samplers.langevin import ald, pula
from sigpy_priors.posterior.samplers.moment import mmps
from sigpy_priors.posterior.samplers.nila import nila
from sigpy_priors.posterior.samplers.predictor_corrector import predictor_corrector
from sigpy_priors.posterior.samplers.splitting import daps, dds, diffpir

__all__ = ["METHODS", "Method", "DataTerm", "Denoiser", "Noise"]


class Method(NamedTuple):
    """A sampler, its default number of noise levels, and what it costs.

    ``cost`` takes that number and the sampler's options, and tells the network
    evaluations for each sample, for the progress bar.
    """

    function: object
    steps: int
    cost: object


METHODS = {
    "mmps": Method(mmps, 15, lambda n, products=45, **_: n + products),
    "ald": Method(ald, 20, lambda n, steps=3, **_: n * steps + 1),
    "pula": Method(pula, 30, lambda n, steps=2, **_: n * steps + 1),
    "pc": Method(predictor_corrector, 30, lambda n, **_: 2 * n - 1),
    "dps": Method(dps, 30, lambda n, **_: 2 * n - 1),
    "pigdm": Method(pigdm, 30, lambda n, **_: 2 * n),
    "diffpir": Method(diffpir, 60, lambda n, **_: n),
    "dds": Method(dds, 60, lambda n, **_: n),
    "daps": Method(daps, 12, lambda n, ode_steps=5, **_: n * ode_steps),
    "nila": Method(nila, 60, lambda n, **_: n),
}
