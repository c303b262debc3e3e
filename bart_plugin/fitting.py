r"""Noise levels and coupling of ``pics`` that follow from a scan: nothing to tune.

``PriorRecon`` ends at 3 times the level :math:`\sigma = \sqrt c\, \sigma_y / (g s)` at
which a prior of strength c and data of noise :math:`\sigma_y` have their nominal
weights, with g the gain of the maps and s the scale of the image, and couples the two
with :math:`\rho = g^2 / 3^2` there. ADMM in BART has the same fixed point with this
coupling and that last level. BART brings the image to a maximum of one before each
denoiser, and the graph multiplies it by ``peak``: with the maximum over s the prior sees
images at the scale that it was trained on, and levels are relative to s as everywhere.

All three are rounded, so that scans of one protocol share a graph.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import sigpy as sp

from bart_plugin.algorithms import Admm, Algorithm, get_algorithm
from sigpy_priors.app.solvers import HQS
from sigpy_priors.priors.base import DenoiserPrior, Prior
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.scan.problem import Problem
from sigpy_priors.scan.sense import sense_problem

__all__ = ["Fit", "fit_admm", "fitted"]

# Noiseless data still need a finite weight; as in PriorRecon.
_FLOOR = 1e-4
# Above it the image's greatest magnitude is an outlier of the first image.
_PEAK = 3.0


class Fit(NamedTuple):
    """What a scan asks for.

    Attributes:
        algorithm (Admm or Fista): with its levels and coupling.
        peak (float): greatest magnitude of the image over its scale.
    """

    algorithm: Algorithm
    peak: float


def fit_admm(problem: Problem, prior: DenoiserPrior, admm: Admm) -> Fit:
    """ADMM with levels and coupling of a problem.

    Args:
        problem (Problem): operator, data and noise.
        prior (DenoiserPrior): the prior.
        admm (Admm): whose other numbers are kept.

    Returns:
        Fit: the settings.

    Raises:
        ValueError: if the data are zero.
    """
    xp = sp.get_array_module(problem.y)
    if not xp.any(problem.y):
        raise ValueError("y: all values are zero, nothing to reconstruct.")
    x = problem.first_image()
    scale = estimate_scale(x)
    noise = max(problem.noise_std / (problem.gain * scale), _FLOOR)
    nominal = math.sqrt(prior.strength) * max(noise, prior.sigma_range[0])
    last = _rounded(min(HQS.last * nominal, prior.sigma_range[1]))
    first = max(admm.first, last)
    rho = _rounded(problem.gain**2 / HQS.last**2)
    peak = min(float(xp.abs(x).max()) / scale, _PEAK)
    return Fit(replace(admm, rho=rho, first=first, last=last), _rounded(peak))


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def fitted(
    y: np.ndarray,
    mps: np.ndarray,
    prior: Prior | None,
    algorithm: str | Algorithm | None = None,
    max_iter: int | None = None,
    coord: np.ndarray | None = None,
) -> Fit:
    """The algorithm by its name, and where that is ADMM's what a scan asks for.

    Args:
        y (array): k-space (coils, ...), or with slices before the coils.
        mps (array): maps (coils, H, W), with slices and sets of maps before.
        prior (Prior or None): the prior.
        algorithm (str, Admm, Fista or None): an object is taken as it is.
        max_iter (int or None): iterations.
        coord (array or None): coordinates in 1 / field of view.

    Returns:
        Fit: of the slice with most signal, by its first set of maps.

    Raises:
        ValueError: as :func:`sigpy_priors.scan.sense.sense_problem`.
    """
    denoises = isinstance(prior, DenoiserPrior)
    method = get_algorithm(algorithm, prior is not None and not denoises, max_iter)
    if not denoises or not isinstance(method, Admm) or isinstance(algorithm, Admm):
        return Fit(method, 1.0)
    if coord is None:
        slices = y.reshape(-1, *y.shape[-3:])
        k = int(np.argmax([np.linalg.norm(s) for s in slices]))
        y, mps = slices[k], mps.reshape(len(slices), -1, *y.shape[-3:])[k, 0]
    return fit_admm(sense_problem(y, mps, coord=coord), prior, method)
