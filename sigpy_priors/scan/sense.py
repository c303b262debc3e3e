r"""From multi-coil k-space to a :class:`Problem`, for every app, in one place.

Nothing depends on the units that something came in. Coils that are zero or repeated
say nothing; those of other noise than the rest are weighed by it. Weights are
relative precisions of the data, :math:`n_i \sim CN(0, \sigma_y^2 / w_i)` with mean
one, so that their common factor is none. The noise level follows from what the data
leave unexplained.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.linop import HalvingSense, SenseNormal, Sms
from sigpy_priors.scan import coils
from sigpy_priors.scan.checks import check_data, check_sets, check_weights
from sigpy_priors.scan.noise import (
    estimate_noise,
    is_low,
    noisy_coils,
    residual,
    residual_noise,
    sampling_mask,
)
from sigpy_priors.scan.problem import Problem, check_noise_std

__all__ = ["problem_with", "sense_problem"]

# A given noise level this many times the estimate, or a fraction, is suspect.
_MISFIT = 10
# The residual tells the noise where it keeps at least this share of it.
_SHARE = 0.15
# Where the maps' power is below this share of the greatest, nothing is seen.
_UNSEEN = 1e-6
# The first image of a closer fit: the regularisation and steps of the usual fit that
# tells the noise, and four times as many steps, as of the closer one.
_CLOSE = 1e-3, 48
# Noise of one coil hides that of another one, so it is looked for again.
_PASSES = 12


def sense_problem(
    y: Array,
    mps: Array,
    weights: Array | float | None = None,
    coord: Array | None = None,
    noise_std: float | None = None,
    noise: Array | None = None,
    device: Any = sp.cpu_device,
    coil_batch_size: int | None = None,
    comm: Any = None,
    transp_nufft: bool = False,
    three_d: bool = False,
) -> Problem:
    r"""The problem of multi-coil k-space, moved to a device.

    Args:
        y (array): k-space (coils, ...), zero where not sampled.
        mps (array): sensitivity maps (coils, H, W), in any units; or sets of them
            (sets, coils, H, W), of which each has an image of its own and the data
            are the sum, as of ESPIRiT with a field of view that is too small.
        weights (float, array or None): relative precisions of the data, such as
            a density compensation; None is the mask of what was sampled, unless
            there are coordinates.
        coord (array or None): coordinates (..., 2), in 1 / field of view.
        noise_std (float or None): standard deviation of the complex noise of
            data of weight one, the mean; None estimates it.
        noise (array or None): how the coils' noise differs: a covariance (coils,
            coils), deviations (coils,) or the samples of a noise scan (coils,
            ...); None looks for coils that stand out.
        device (Device): device to compute on; all arrays are moved there here,
            once.
        coil_batch_size (int or None): coils at a time.
        comm (Communicator or None): for coils distributed over processes, which
            are then taken as they are.
        transp_nufft (bool): as in SigPy.
        three_d (bool): k-space is three-dimensional, (coils, D, H, W).

    Returns:
        Problem: of an image in the units of ``y`` over those of ``mps``, or of one
        for each set, (sets, H, W).

    Raises:
        ValueError: naming the argument that is wrong, and what to do.

    References:
        Uecker, M., Lai, P., Murphy, M. J., Virtue, P., Elad, M., Pauly, J. M.,
        Vasanawala, S. S., & Lustig, M. (2014). ESPIRiT: an eigenvalue approach to
        autocalibrating parallel MRI. MRM, 71(3), 990-1001.
    """
    ndims = [getattr(v, "ndim", 0) for v in (y, mps)]
    several = ndims == [3, 4] and coord is None and not three_d
    if several:
        check_sets(y, mps)
        mps = mps.swapaxes(0, 1)
    else:
        check_data(y, mps, coord, three_d)

    def operator(mps: Array, weights: Any, coord: Any) -> tuple:
        if several:  # slices at the same place
            return Sms(mps.swapaxes(0, 1), [0.0] * mps.shape[1], weights**0.5), None
        A = HalvingSense(
            mps, weights, coil_batch_size, comm, coord=coord, transp_nufft=transp_nufft
        )
        if coord is not None:
            return A, None
        return A, SenseNormal(mps, weights, coil_batch_size, comm)

    return problem_with(
        operator, y, mps, weights, coord, noise_std, noise, device, comm
    )


def problem_with(
    operator: Callable[[Array, Any, Any], tuple],
    y: Array,
    mps: Array,
    weights: Array | float | None = None,
    coord: Array | None = None,
    noise_std: float | None = None,
    noise: Array | None = None,
    device: Any = sp.cpu_device,
    comm: Any = None,
    finer: bool = False,
) -> Problem:
    """The problem of any operator that maps make, with all that data and maps tell.

    Args:
        operator (function): of maps, weights and coordinates on the device: the
            operator and a faster normal one, or None.
        y (array): k-space (coils, ...), checked.
        mps (array): maps (coils, ...), checked.
        weights (float, array or None): as of :func:`sense_problem`.
        coord (array or None): likewise.
        noise_std (float or None): likewise.
        noise (array or None): likewise.
        device (Device): likewise.
        comm (Communicator or None): likewise.
        finer (bool): fit closer to tell the noise, and for the first image: images
            that alias onto each other as a whole take longer to come apart.

    Returns:
        Problem: of an image in the units of ``y`` over those of ``mps``.

    Raises:
        ValueError: if weights or noise are wrong.
    """
    if weights is not None:
        check_weights(weights, y.shape)
    if noise_std is not None:
        check_noise_std(noise_std)
    real = y.real.dtype
    dev = sp.Device(device)
    xp = dev.xp
    with dev:
        y, mps = (_native(sp.to_device(v, dev)) for v in (y, mps))
        coord = None if coord is None else _floats(sp.to_device(coord, dev), real)
        weights = _weights(xp, weights, y, coord, dev, real)
        y, mps, weights, given = _counting(y, mps, weights, noise, comm)
        noise_std = given if noise_std is None else noise_std

        def build(y: Array, mps: Array) -> Problem:
            A, normal = operator(mps, weights, coord)
            return _problem(A, normal, y, mps, weights, comm)

        problem, level = build(y, mps), _band_noise(y, weights, coord, comm)
        if comm is None and level:
            unmix = noise is None
            problem, level = _settled(
                build, problem, y, mps, weights, coord, level, unmix, finer
            )
        if noise_std is not None:
            _warn_if_far(noise_std, level)
        problem.noise_std = float(level if noise_std is None else noise_std)
        if finer:
            problem.first_fit = _CLOSE
    return problem


def _problem(
    A: Any, normal: Any, y: Array, mps: Array, weights: Any, comm: Any
) -> Problem:
    """Operator and data with what the maps tell: the gain, and where they see."""
    xp = sp.get_array_module(mps)
    power = (xp.abs(mps) ** 2).sum(axis=0)
    if comm is not None:
        comm.allreduce(power)
    # What maps multiply an image by, typically: their root sum of squares.
    gain = math.sqrt(float((power**2).sum() / power.sum()))
    seen = power > _UNSEEN * power.max()
    data = y if weights is None else y * weights**0.5
    return Problem(A, data, 0.0, normal, gain, seen, comm)


def _settled(
    build: Callable[[Array, Array], Problem],
    problem: Problem,
    y: Array,
    mps: Array,
    weights: Array | None,
    coord: Array | None,
    band: float,
    weigh: bool,
    finer: bool,
) -> tuple[Problem, float]:
    """The noise level by what a fit leaves, and coils of other noise weighed by it."""
    factors = np.ones(len(y))
    for _ in range(_PASSES):
        parts = residual(problem, weights, coord is None, finer)
        level, share = residual_noise(problem, parts)
        if share >= _SHARE and not finer and is_low(problem, level):
            closer = residual_noise(
                problem, residual(problem, weights, coord is None, True)
            )
            level = min(level, closer[0]) if closer[1] >= _SHARE else level
        better = noisy_coils(parts, factors) if weigh else None
        if better is None:
            break
        T = sp.get_array_module(y).asarray(better).astype(y.real.dtype)
        problem = build(_times(T, y), _times(T, mps))
        factors = better
    return problem, level if share >= _SHARE else band


def _times(T: Array, x: Array) -> Array:
    """Coils (coils, ...) times a factor each."""
    return T.reshape((-1,) + (1,) * (x.ndim - 1)) * x


def _native(v: Array) -> Array:
    return v if v.dtype.isnative else v.astype(v.dtype.newbyteorder("="))


def _floats(coord: Array, real: Any) -> Array:
    return coord if coord.dtype.kind == "f" else coord.astype(real)


def _weights(xp: Any, weights: Any, y: Array, coord: Array | None, dev: Any, real: Any):
    """Weights in the precision of the data, with mean one where they are not zero."""
    if weights is None:
        return sampling_mask(y) if coord is None else None
    weights = xp.asarray(sp.to_device(xp.asarray(weights), dev)).astype(np.float64)
    used = weights[weights > 0]
    if not used.size:
        if xp.any(y):
            raise ValueError("weights: all are zero, so that nothing is left of y.")
        return weights.astype(real)
    return (weights / used.mean()).astype(real)


def _counting(y: Array, mps: Array, weights: Any, noise: Any, comm: Any) -> tuple:
    """The coils that count, white where their noise is given, and then its level."""
    if comm is not None:
        if noise is not None:
            raise ValueError("noise: whiten the coils before they are distributed.")
        return y, mps, weights, None
    own = getattr(weights, "ndim", 0) == y.ndim and len(weights) > 1
    if noise is None:
        kept = coils.distinct(y, mps)
        if len(kept) < len(y):
            y, mps = y[kept], mps[kept]
            weights = weights[kept] if own else weights
        return y, mps, weights, None
    T, sigma = coils.whitening(coils.noise_covariance(noise, len(y)))
    if own:
        raise ValueError(
            "weights: expected the same for all coils, (samples...), together with "
            "noise=; whiten y and mps yourself."
        )
    return coils.mix(T, y), coils.mix(T, mps), weights, sigma


def _band_noise(
    y: Array, weights: Array | None, coord: Array | None, comm: Any
) -> float:
    """The noise level by k-space alone; 0 if there are no data."""
    if not sp.get_array_module(y).any(y):
        return 0.0
    if weights is not None and coord is None:
        y = y * weights**0.5
    estimate = estimate_noise(y, weights, coord)
    if comm is None:
        return estimate
    total = np.array([estimate, 1.0])
    comm.allreduce(total)
    return float(total[0] / total[1])


def _warn_if_far(noise_std: float, estimate: float) -> None:
    if estimate and not 1 / _MISFIT < noise_std / estimate < _MISFIT:
        warnings.warn(
            f"noise_std={noise_std:g} is {noise_std / estimate:.2g} times the "
            f"estimate from the data, {estimate:g}: if the estimate is right, the "
            f"prior's weight and the intervals of samples will be wrong.",
            stacklevel=2,
        )
