"""What a reconstruction is asked for: checked, and completed by its defaults."""

from __future__ import annotations

import warnings
from typing import Any

from sigpy_priors.app import solvers
from sigpy_priors.app.annealing import check_together
from sigpy_priors.app.regularizers import factors
from sigpy_priors.backend.validate import check_count, check_number
from sigpy_priors.priors.base import check_kind

__all__ = ["check_recon"]

# Relative to the statistically right strength, these are hardly meant.
_LAMDA_RANGE = 0.02, 50
# What SigPy's app takes and its solvers use here; others would be ignored.
_SIGPY = (
    "accelerate", "alpha", "leave_pbar", "max_cg_iter", "max_power_iter", "rho",
    "save_objective_values", "sigma", "tau", "tol",
)  # fmt: skip


def check_recon(
    prior: Any,
    lamda: Any,
    solver: Any,
    max_iter: Any,
    kwargs: dict,
    slices: bool,
    three_d: bool = False,
) -> tuple[float, solvers.Solver, int | None]:
    """Every argument that is not data, before anything is computed.

    Args:
        prior (Prior or list): of :class:`sigpy_priors.app.PriorRecon`.
        lamda (float or None): likewise.
        solver (str, Solver or None): likewise.
        max_iter (int or None): likewise.
        kwargs (dict): the other arguments.
        slices (bool): whether several slices are reconstructed together.
        three_d (bool): whether k-space is three-dimensional.

    Returns:
        tuple: lamda, solver and max_iter.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    if isinstance(prior, list):
        factors(prior)
    else:
        check_kind(prior)
    lamda = 1.0 if lamda is None else check_number("lamda", lamda, strict=True)
    if not _LAMDA_RANGE[0] <= lamda <= _LAMDA_RANGE[1]:
        warnings.warn(
            f"lamda={lamda:g}: 1 is the statistically right strength of the prior, and "
            f"this is {lamda:g} times that; a wavelet's lamda is another quantity.",
            stacklevel=3,
        )
    if max_iter is not None:
        max_iter = check_count("max_iter", max_iter)
    if unknown := sorted(set(kwargs) - set(_SIGPY)):
        raise ValueError(
            f"{', '.join(unknown)}: not an argument that takes effect here; known "
            f"beside the named ones are {', '.join(_SIGPY)}. A prox of your own goes "
            f"beside the prior: prior=[prior, prox] or [prior, (prox, G)]."
        )
    solver = solvers.get_solver(solver, prior)
    if slices:
        check_together(prior, solver, three_d, kwargs)
    return float(lamda), solver, max_iter
