"""What is done with volumes: reconstruction and posterior sampling."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sigpy_priors.app.annealing import goes_together
from sigpy_priors.app.recon import PriorRecon
from sigpy_priors.app.sampling import PosteriorSampling
from sigpy_priors.app.solvers import get_solver
from sigpy_priors.backend.arrays import Array
from sigpy_priors.data import DEFAULT_PRIOR
from sigpy_priors.io.slices import Source
from sigpy_priors.priors.base import Prior
from sigpy_priors.scan.sense import sense_problem
from sigpy_priors.scan.stack import ProblemStack
from sigpy_priors.volume.run import Job

__all__ = ["recon", "sample"]


def recon(
    kspace: Source,
    prior: str | Path | Prior = DEFAULT_PRIOR,
    maps: Source | None = None,
    *,
    lamda: float | None = None,
    solver: Any = None,
    max_iter: int | None = None,
    transp_nufft: bool = False,
    **inputs: Any,
) -> Job:
    """Reconstruct a volume, slice by slice or several together, with a learned prior.

    >>> job = spp.volume.recon("scan.h5", maps="maps.npy")
    >>> for i, image in job.run(): ...
    >>> job.write("out.npy", scheduler="local")

    Args:
        kspace (str, Path, array or list): (coils, H, W) or (slices, coils, H, W).
        prior (str, Path or Prior): bundled name, file, or the prior itself.
        maps (str, Path, array or None): coil maps; None estimates them.
        lamda (float or None): as of :class:`sigpy_priors.app.PriorRecon`.
        solver (str or None): as there.
        max_iter (int or None): as there.
        transp_nufft (bool): as there.
        **inputs: other arguments of :class:`Job`: weights, coord, slices,
            noise_std, noise, calib_width, coils, shape, precision, device,
            coil_batch_size, together.

    Returns:
        Job: gives images (H, W) when it is run.
    """
    options = dict(
        lamda=lamda, solver=solver, max_iter=max_iter, transp_nufft=transp_nufft
    )
    return Job(
        kspace, _recon, prior, maps, options=options, compute_many=_recon_together,
        **inputs,
    )  # fmt: skip


def sample(
    kspace: Source,
    prior: str | Path | Prior = DEFAULT_PRIOR,
    maps: Source | None = None,
    *,
    num_samples: int = 16,
    method: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    chunk_size: int | None = None,
    method_options: dict[str, Any] | None = None,
    **inputs: Any,
) -> Job:
    """Sample the posterior of a volume, slice by slice.

    A slice that is interrupted goes on with the samples that it has, where its
    output is written on this machine.

    Args:
        kspace (str, Path, array or list): (coils, H, W) or (slices, coils, H, W).
        prior (str, Path or Prior): bundled name, file, or the prior itself.
        maps (str, Path, array or None): coil maps; None estimates them.
        num_samples (int): as of :class:`sigpy_priors.app.PosteriorSampling`.
        method (str or None): as there.
        steps (int or None): as there.
        seed (int): of the first slice of the file; slice i uses ``seed`` + i.
        chunk_size (int or None): as there.
        method_options (dict or None): other arguments of that class, such as
            sigma_max or an option of the method.
        **inputs: other arguments of :class:`Job`, as of :func:`recon`.

    Returns:
        Job: gives samples (num_samples, H, W) when it is run.
    """
    options = dict(num_samples=num_samples, method=method, steps=steps, seed=seed)
    return Job(
        kspace,
        functools.partial(_sample, chunk_size=chunk_size),
        prior,
        maps,
        options=options | (method_options or {}),
        samples=True,
        **inputs,
    )


def _recon(
    prior: Prior,
    i: int,
    y: Array,
    mps: Array,
    checkpoint: Path | None,
    show_pbar: bool,
    **options: Any,
) -> Array:
    """One slice; a reconstruction is too short to be kept half-way."""
    return PriorRecon(y, mps, prior, show_pbar=False, **options).run()


def _recon_together(
    prior: Prior,
    slices: Sequence[tuple[Array, Array, float | None]],
    lamda: float | None,
    solver: Any,
    max_iter: int | None,
    **options: Any,
) -> Sequence[Array]:
    """Several slices; one by one where their prior or solver needs it."""
    if not goes_together(prior, get_solver(solver, prior)):
        return [
            PriorRecon(
                y, mps, prior, lamda, noise_std=noise_std, solver=solver,
                max_iter=max_iter, show_pbar=False, **options,
            ).run()
            for y, mps, noise_std in slices
        ]  # fmt: skip
    stack = ProblemStack(
        [
            sense_problem(y, mps, noise_std=noise_std, **options)
            for y, mps, noise_std in slices
        ]
    )
    return PriorRecon.of(stack, prior, lamda, solver, max_iter, False).run()


def _sample(
    prior: Prior,
    i: int,
    y: Array,
    mps: Array,
    seed: int,
    checkpoint: Path | None,
    **options: Any,
) -> Array:
    app = PosteriorSampling(
        y, mps, prior, seed=seed + i, checkpoint=checkpoint, **options
    )
    samples = app.run()
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return samples
