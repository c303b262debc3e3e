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

from bart_plugin.algorithms import (
    Admm,
    Algorithm,
    Numbers,
    get_algorithm,
    map_lamda,
)
from sigpy_priors.app.solvers import HQS
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, Prior, check_kind
from sigpy_priors.scan.joint_maps import coarse_maps
from sigpy_priors.scan.maps import ESPIRIT_WIDTH, calibration_width, estimate_maps
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.scan.problem import Problem
from sigpy_priors.scan.sense import sense_problem

__all__ = ["Fit", "density_lamda", "fit_admm", "fit_nlinv", "fitted"]

# Noiseless data still need a finite weight; as in PriorRecon.
_FLOOR = 1e-4
# Above it the image's greatest magnitude is an outlier of the first image.
_PEAK = 3.0
# From: tests/benchmarks/bart_levels.py --nlinv, whose low-noise scans lose below it.
_NLINV_LEAST = 0.02


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


def fit_nlinv(y: np.ndarray, prior: DenoiserPrior) -> tuple[float, float]:
    """Noise level and peak of ``nlinv``, which has no maps yet.

    The level is that at which ADMM ends, 3 times the nominal one, but not below what
    its few Newton steps with the prior can follow.

    Args:
        y (array): k-space (coils, H, W), zero where not sampled.
        prior (DenoiserPrior): the prior.

    Returns:
        tuple of float: level and peak. Where the centre of k-space is too small for
        ESPIRiT, by maps of its densest part.

    Raises:
        ValueError: if the data are zero.
    """
    small = calibration_width(y, ESPIRIT_WIDTH) < ESPIRIT_WIDTH
    mps = coarse_maps(y) if small and len(y) > 1 else estimate_maps(y)
    fit = fit_admm(sense_problem(y, mps), prior, Admm())
    return max(fit.algorithm.last, _NLINV_LEAST), fit.peak


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def fitted(
    y: np.ndarray,
    mps: np.ndarray,
    prior: Prior,
    algorithm: str | Algorithm | None = None,
    max_iter: int | None = None,
    sigma: Numbers = None,
    peak: float | None = None,
    coord: np.ndarray | None = None,
) -> Fit:
    """The algorithm by its name, and where that is ADMM's what a scan asks for.

    Args:
        y (array): k-space (coils, H, W) or (slices, coils, H, W); with ``coord``
            (coils, ...).
        mps (array): maps (coils, H, W), with slices and sets of maps before.
        prior (Prior): the prior; of a density nothing is fitted.
        algorithm (str, Admm, Fista or None): an object is taken as it is.
        max_iter (int or None): iterations.
        sigma (float, sequence of float or None): levels that are given; then
            nothing is fitted.
        peak (float or None): likewise, of the peak alone.
        coord (array or None): coordinates in 1 / field of view.

    Returns:
        Fit: of the slice with most signal, by its first set of maps.

    Raises:
        ValueError: as :func:`sigpy_priors.scan.sense.sense_problem`.
    """
    density = not isinstance(prior, DenoiserPrior)
    fit = Fit(get_algorithm(algorithm, density, max_iter), 1.0)
    named = algorithm is None or isinstance(algorithm, str)
    if not density and sigma is None and named and isinstance(fit.algorithm, Admm):
        problem = sense_problem(*_one_slice(y, mps, coord), coord=coord)
        fit = fit_admm(problem, prior, fit.algorithm)
    return fit if peak is None else fit._replace(peak=peak)


def density_lamda(
    y: np.ndarray,
    mps: np.ndarray,
    prior: Prior | None,
    coord: np.ndarray | None = None,
) -> float:
    """BART's lambda of the maximum of the posterior, noise and scale from the data.

    Args:
        y (array): k-space of one slice, as for :func:`fitted`.
        mps (array): one set of maps.
        prior (DensityPrior): the density.
        coord (array or None): coordinates in 1 / field of view.

    Returns:
        float: of :func:`bart_plugin.algorithms.map_lamda`.

    Raises:
        ValueError: for several slices or sets of maps, or data that are zero.
    """
    check_kind(prior, DensityPrior)
    assert isinstance(prior, DensityPrior)
    slices = 1 if coord is not None else math.prod(y.shape[:-3])
    sets = math.prod(mps.shape[:-3]) // slices
    if (slices, sets) != (1, 1):
        raise ValueError(
            f"lamda: give it for slices or several sets of maps; it is estimated "
            f"for one slice and one set, got {slices} and {sets}."
        )
    problem = sense_problem(*_one_slice(y, mps, coord), coord=coord)
    greatest = float(np.abs(problem.first_image()).max())
    if not greatest:
        raise ValueError("y: all values are zero, nothing to reconstruct.")
    return map_lamda(prior, problem.noise_std / greatest, mps.shape[-2:])


def _one_slice(y: np.ndarray, mps: np.ndarray, coord: np.ndarray | None) -> tuple:
    """The slice with most signal, and its first set of maps."""
    shape = mps.shape[-3:]
    if coord is not None:
        return y, mps.reshape(-1, *shape)[0]
    slices = y.reshape(-1, *shape)
    k = int(np.argmax([np.linalg.norm(s) for s in slices]))
    return slices[k], mps.reshape(len(slices), -1, *shape)[k, 0]
