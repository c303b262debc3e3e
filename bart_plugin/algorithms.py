r"""Algorithms of ``bart pics`` with a prior: options, noise levels, every constant.

ADMM solves for the data between two denoisers as ``PriorRecon`` does, while the
noise level :math:`\sigma_k` falls geometrically. FISTA does one gradient step where
ADMM solves, so a coarse denoiser at full strength undoes more than the data term
restores: its schedule starts weak, :math:`\eta_k = \min(1, c / \sigma_k)`.

Where the data have noise of deviation :math:`\sigma_y`, relative to the image's
greatest magnitude s, the maximum of the posterior of a density over n real numbers
has :math:`\lambda = n \ln 2\, \sigma_y^2 / (2 s^2)`.

References:
    Luo, G., Zhao, N., Jiang, W., Hui, E. S., & Cao, P. (2020). MRI
    reconstruction using deep Bayesian estimation. MRM, 84(4), 2246-2261.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from sigpy_priors.backend.validate import check_count
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, Prior

__all__ = [
    "Admm",
    "Algorithm",
    "DENSITY_MAX_ITER",
    "Fista",
    "NAMES",
    "Numbers",
    "PUBLISHED_LAMDA",
    "annealed",
    "as_numbers",
    "default_levels",
    "get_algorithm",
    "map_lamda",
]

Numbers: TypeAlias = float | Sequence[float] | np.ndarray | None
"""One number, one for each iteration, or the default."""

# Of densities, by the real numbers of a pixel: magnitude, complex (Luo et al. 2020).
PUBLISHED_LAMDA = {1: 0.1, 2: 0.6}
# Gradient steps of a density: PriorRecon's L-BFGS takes 40 longer ones.
DENSITY_MAX_ITER = 100


def annealed(start: float, end: float, steps: int) -> tuple[float, ...]:
    """Noise levels that fall geometrically.

    Args:
        start (float): first level.
        end (float): last level, start >= end > 0.
        steps (int): number of levels.

    Returns:
        tuple of float: the schedule, for :func:`bart_plugin.export`.

    Raises:
        ValueError: if these do not fit.
    """
    if not (np.isfinite(start) and start >= end > 0) or steps < 1:
        raise ValueError(
            f"expected start >= end > 0 and steps >= 1, got {start}, {end}, {steps}."
        )
    return tuple(float(s) for s in np.geomspace(start, end, steps))


def _check(algorithm: Algorithm, *rules: tuple[str, bool]) -> None:
    """Raise a ValueError that names the rules that do not hold."""
    annealed(algorithm.first, algorithm.last, 1)
    if broken := [rule for rule, holds in rules if not holds]:
        raise ValueError(f"{', '.join(broken)}; got {algorithm}.")


@dataclass(frozen=True)
class Admm:
    """ADMM (``pics -m``): conjugate gradients for the data, the prior as a prox.

    Args:
        rho (float): coupling.
        cg_iter (int): greatest number of conjugate gradient steps each time.
        max_iter (int): iterations. BART counts conjugate gradient steps, so it does
            more where these need less than ``cg_iter``.
        first (float): noise level of the first iteration, image scale 1.
        last (float): noise level of the last.

    Raises:
        ValueError: if one is out of range.
    """

    # 1 / 3^2: the last coupling of PriorRecon, whose levels end at 3 times the nominal.
    rho: float = 0.11
    # Chosen on simulated scans of validation slices.
    cg_iter: int = 4
    max_iter: int = 16
    # That of PriorRecon.
    first: float = 0.3
    # Nearly 3 times a noise of 1 % of the image, where PriorRecon ends for a prior of
    # strength 1. With this coupling the last level does the work, and how one gets
    # there hardly matters (tests/benchmarks/bart_pics.py --ways).
    last: float = 0.028

    def __post_init__(self) -> None:
        _check(
            self,
            ("rho must be > 0", 0 < self.rho < math.inf),
            ("cg_iter must be at least 1", self.cg_iter >= 1),
            ("max_iter must be at least 1", self.max_iter >= 1),
        )

    @property
    def setting(self) -> str:
        """What to look at if it diverges."""
        return f"rho (now {self.rho})"

    @property
    def cg_steps(self) -> int:
        """BART's ``-i``: it goes on until it has done more steps than that."""
        return max(self.max_iter * self.cg_iter - 1, 1)

    def options(self) -> str:
        """Options of ``pics``."""
        return f"-m -u {self.rho:g} -C {self.cg_iter} -i {self.cg_steps}"

    def bart_lamda(self, lamda: float) -> float:
        """BART's lambda; where ``lamda`` is 1, a proximal step is the denoiser."""
        return lamda * self.rho

    def schedule(self, prior: DenoiserPrior) -> tuple[np.ndarray, np.ndarray]:
        """Noise levels and relaxation.

        Args:
            prior (DenoiserPrior): its range bounds the levels.

        Returns:
            tuple of array: each of shape (max_iter,).
        """
        levels = annealed(self.first, self.last, self.max_iter)
        return np.clip(levels, *prior.sigma_range), np.ones(self.max_iter)


@dataclass(frozen=True)
class Fista:
    """FISTA, or without momentum ISTA (``pics -I``).

    Args:
        step (float): step size, below 2 / L; L <= 1 for normalised maps.
        max_iter (int): iterations.
        momentum (bool): FISTA; without it ISTA.
        first (float): noise level of the first iteration, image scale 1.
        last (float): noise level of the last.
        relaxation (float): c of the relaxation min(1, c / sigma).

    Raises:
        ValueError: if one is out of range.
    """

    # With this, lambda 1 makes a proximal step exactly the denoiser.
    step: float = 1.0
    # These four were measured on undersampled brain scans, no better than Admm:
    # tests/benchmarks/bart_pics.py --ways.
    max_iter: int = 30
    momentum: bool = True
    first: float = 0.3
    last: float = 0.008
    relaxation: float = 0.0035

    def __post_init__(self) -> None:
        _check(
            self,
            ("step must be between 0 and 2", 0 < self.step < 2),
            ("max_iter must be at least 1", self.max_iter >= 1),
            ("relaxation must be > 0", 0 < self.relaxation < math.inf),
        )

    @property
    def setting(self) -> str:
        """What to look at if it diverges."""
        return f"step (now {self.step})"

    def options(self) -> str:
        """Options of ``pics``."""
        ista = "" if self.momentum else "-I "
        return f"{ista}-i {self.max_iter} -s {self.step:g}"

    def bart_lamda(self, lamda: float) -> float:
        """BART's lambda; at 1 / ``step`` a proximal step is the denoiser."""
        return lamda

    def schedule(self, prior: DenoiserPrior) -> tuple[np.ndarray, np.ndarray]:
        """Noise levels and relaxation.

        Args:
            prior (DenoiserPrior): its range bounds the levels.

        Returns:
            tuple of array: each of shape (max_iter,).
        """
        levels = annealed(self.first, self.last, self.max_iter)
        levels = np.clip(levels, *prior.sigma_range)
        return levels, np.minimum(1, self.relaxation / levels)


Algorithm: TypeAlias = Admm | Fista

# Short names for those with their defaults.
NAMES: dict[str, Algorithm] = {
    "admm": Admm(),
    "fista": Fista(),
    "ist": Fista(momentum=False),
}


def get_algorithm(
    algorithm: str | Algorithm | None, density: bool, max_iter: int | None = None
) -> Algorithm:
    """An algorithm by its short name.

    Args:
        algorithm (str, Admm, Fista or None): default "admm", for a density "fista".
        density (bool): the prior is known through its density only.
        max_iter (int or None): iterations, if not those of the algorithm.

    Returns:
        Admm or Fista: the algorithm.

    Raises:
        ValueError: if there is none of this name, or ``max_iter`` is none.
    """
    if algorithm is None:
        algorithm = "fista" if density else "admm"
    if isinstance(algorithm, str):
        if algorithm not in NAMES:
            raise ValueError(
                f"algorithm must be Admm(...), Fista(...) or one of {list(NAMES)}, "
                f"got {algorithm!r}."
            )
        algorithm = NAMES[algorithm]
        if density and max_iter is None:
            max_iter = DENSITY_MAX_ITER
    if not isinstance(algorithm, Algorithm):
        raise ValueError(
            f"algorithm must be Admm(...), Fista(...) or one of {list(NAMES)}, got "
            f"{algorithm!r}."
        )
    if max_iter is not None:
        max_iter = check_count("max_iter", max_iter)
    return algorithm if max_iter is None else replace(algorithm, max_iter=max_iter)


def as_numbers(name: str, values: Numbers) -> tuple[float, ...] | None:
    """One number or several, as a tuple.

    Args:
        name (str): what they are, for errors.
        values (float, sequence of float or None): the numbers; None stays.

    Returns:
        tuple of float or None: at least one.

    Raises:
        ValueError: if they are neither one number nor a sequence.
    """
    if values is None:
        return None
    try:
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"{name}: expected one number or a sequence of them, got {values}."
        )
    return tuple(array.tolist())


def default_levels(
    prior: Prior, algorithm: Algorithm, sigma: Numbers, relaxation: Numbers
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Noise levels and relaxation, where none are given those of an algorithm.

    Args:
        prior (Prior): a density has neither.
        algorithm (Admm or Fista): whose schedule is the default.
        sigma (float, sequence of float or None): noise levels.
        relaxation (float, sequence of float or None): factors of the gradient.

    Returns:
        tuple: both as tuples of numbers; a relaxation of None is 1.

    Raises:
        ValueError: as :func:`as_numbers`.
    """
    if sigma is None and isinstance(prior, DenoiserPrior):
        sigma, usual = algorithm.schedule(prior)
        relaxation = usual if relaxation is None else relaxation
    return as_numbers("sigma", sigma), as_numbers("relaxation", relaxation)


def map_lamda(prior: DensityPrior, sigma: float, shape: Sequence[int]) -> float:
    r"""BART's :math:`\lambda` at which the image is the maximum of the posterior.

    Args:
        prior (DensityPrior): the density.
        sigma (float): standard deviation of the complex noise of the data
            over the image's greatest magnitude.
        shape (sequence of int): image shape (..., H, W).

    Returns:
        float: :math:`c\,n \ln 2\,\sigma^2 / 2`, with c the prior's strength.
    """
    n = math.prod(shape) * prior.channels
    return prior.strength * n * math.log(2) * sigma**2 / 2
