"""What a sampler is asked for: checked, and completed by its defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from sigpy_priors.app.chained import OPTIONS
from sigpy_priors.backend.validate import check_choice, check_count, check_number
from sigpy_priors.posterior.samplers import METHODS
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, Prior, check_kind

__all__ = ["CHAINS", "SIGMA_FLOOR", "check_sampling", "method_of", "noise_levels"]

# Highest noise level with data, which tell what is coarse, and without.
_SIGMA_MAX = 20.0
_SIGMA_MAX_PRIOR = 50.0
# Lowest level, relative to that of the data. There samples differ from
# posterior ones by less than a hundredth of their standard deviation.
_SIGMA_MIN = 0.2
_SIGMA_MOST = 1e6  # the squares of far larger ones are lost in single precision
SIGMA_FLOOR = 1e-4
# The sampler of densities, and what it has not.
CHAINS = "hmc"
_LEVELS = "steps", "sigma_max", "sigma_min", "chunk_size"


def noise_levels(
    prior: DenoiserPrior,
    method: str,
    noise_std: float,
    informative: bool,
    steps: int | None,
    sigma_max: float | None,
    sigma_min: float | None,
) -> list[float]:
    """The levels of a method, falling geometrically.

    Args:
        prior (DenoiserPrior): whose range they must keep.
        method (str): of :data:`sigpy_priors.posterior.samplers.METHODS`.
        noise_std (float): of the data, relative to the image's scale.
        informative (bool): whether there are data.
        steps (int or None): how many; None is the method's number.
        sigma_max (float or None): the first.
        sigma_min (float or None): the last.

    Returns:
        list of float: the levels.

    Raises:
        ValueError: if they are out of order or range.
    """
    low, high = prior.sigma_range
    if sigma_max is None:
        top = _SIGMA_MAX if informative else _SIGMA_MAX_PRIOR
        sigma_max = min(top, high)
    if sigma_min is None:
        sigma_min = _SIGMA_MIN * noise_std
        sigma_min = max(sigma_min, low, SIGMA_FLOOR)
    if not 0 < sigma_min < sigma_max <= high:
        raise ValueError(
            f"noise levels must be 0 < sigma_min < sigma_max <= {high:g}, "
            f"got {sigma_min:g} and {sigma_max:g}."
        )
    if steps is None:
        found = METHODS[method]
        steps = found.steps
        if not informative:
            steps = found.steps_without_data or steps
    return np.geomspace(sigma_max, sigma_min, steps).tolist()


def check_sampling(
    prior: Any, num_samples: int, kwargs: dict, assemble: Callable, linear: bool = True
) -> None:
    """Every argument that is not data, before anything is computed.

    Args:
        prior (Prior): the prior.
        num_samples (int): how many are drawn.
        kwargs (dict): the other arguments.
        assemble (function): of the app, whose parameters they are, beside options of
            the method.
        linear (bool): whether the data are those of a linear operator.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    check_kind(prior)
    counts = {"num_samples": num_samples}
    counts |= {k: kwargs.get(k) for k in ("steps", "chunk_size")}
    for name, v in counts.items():
        if v is not None or name == "num_samples":
            check_count(name, v)
    for name in ("sigma_max", "sigma_min", "scale"):
        if kwargs.get(name) is not None:
            check_number(name, kwargs[name], strict=True)
    if (kwargs.get("sigma_max") or 0) > _SIGMA_MOST:
        raise ValueError(
            f"sigma_max must be at most {_SIGMA_MOST:g} times the image's scale, got "
            f"{kwargs['sigma_max']:g}."
        )
    check_count("seed", kwargs.get("seed", 0), low=0, high=2**63)
    method = method_of(kwargs.get("method"), prior, linear)
    of_app = set(inspect.signature(assemble).parameters)
    of_method = OPTIONS if method == CHAINS else METHODS[method].options
    if method == CHAINS:
        of_app -= {n for n in _LEVELS if kwargs.get(n) is not None}
    if unknown := sorted(set(kwargs) - of_app - set(of_method)):
        raise ValueError(
            f"{method} has no option {', '.join(unknown)}; it has "
            f"{', '.join(of_method)}."
        )


def method_of(method: str | None, prior: Prior, linear: bool = True) -> str:
    """The sampler by its name, or the prior's own; it must fit the prior.

    Args:
        method (str or None): what was asked for.
        prior (Prior): what it is to sample.
        linear (bool): whether the data are those of a linear operator.

    Returns:
        str: of :data:`sigpy_priors.posterior.samplers.METHODS`, or "hmc".

    Raises:
        ValueError: if it is unknown, or samples other priors.
    """
    denoises = isinstance(prior, DenoiserPrior)
    if method is None:
        method = CHAINS if not denoises else "mmps" if linear else "sgs"
    check_choice("method", method, (*METHODS, CHAINS))
    fit = [name for name, m in METHODS.items() if m.any_term]
    if not linear and method not in fit:
        raise ValueError(
            f"method {method!r} needs a linear operator, got magnitudes; choose "
            f"{' or '.join(fit)}, with a DenoiserPrior."
        )
    if method == CHAINS:
        check_kind(prior, DensityPrior)
    elif not denoises:
        raise ValueError(
            f"method {method!r} samples a DenoiserPrior, got {prior!r}; choose "
            f"{CHAINS!r}, which samples a density."
        )
    return method
