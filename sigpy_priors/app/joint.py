"""Image and coil maps together, from scans without a calibration."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import sigpy as sp

from sigpy_priors.app.recon import PriorRecon
from sigpy_priors.app.solvers import HQS, get_solver
from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_count
from sigpy_priors.priors.base import Prior, check_kind
from sigpy_priors.scan import joint_maps
from sigpy_priors.scan.checks import check_array, check_cartesian, check_coord
from sigpy_priors.scan.maps import calibration_width
from sigpy_priors.scan.noise import sampling_mask
from sigpy_priors.scan.problem import Problem
from sigpy_priors.scan.sense import sense_problem
from sigpy_priors.scan.trajectory import image_shape

__all__ = ["JointRecon"]

# Rounds and tolerances are from tests/benchmarks/joint.py --simulated.
_SMOOTH_ROUNDS = 3  # before ESPIRiT, whose gaps need an image that is nearly right
_ITERATIONS = 4  # of the image, until the maps have settled
_SETTLED = 0.005  # change of the maps
# A fully sampled centre below this width tells nothing of the coils: aliased images
# with aliased maps explain the data as well.
_CENTRE = 4
# What is filled in, and what the image leaves of the data, do not grow beyond the
# smallest by more than this where the maps converge.
_GROWTH = 2.0


class _Rounds(sp.alg.AltMin):
    """Alternate until there is nothing left to do."""

    def __init__(self, *steps: Callable, max_iter: int, settled: Callable) -> None:
        super().__init__(*steps, max_iter=max_iter)
        self._settled = settled

    def _done(self) -> bool:
        return self.iter >= self.max_iter or self._settled()


class JointRecon(sp.app.App):
    r"""Reconstruct the image and the coil maps, without a calibration.

    Alternates the image given the maps,
    :class:`sigpy_priors.app.PriorRecon`, with the maps given the image. Begins with
    the coils' coarse images. On a grid smooth maps come first, then ESPIRiT on
    k-space that the image has filled; along a trajectory maps stay smooth
    (:mod:`sigpy_priors.scan.joint_maps`).

    Needs a small fully sampled centre, 4 x 4 at least, and says so where there is
    none: an aliased image with aliased maps explains the data as well.

    Args:
        y (array): k-space (coils, H, W), zero where not sampled, or (coils, ...)
            with ``coord``.
        prior (Prior): learned prior.
        weights (array or None): relative precisions of the data, such as a density
            compensation.
        coord (array or None): coordinates (..., 2), in 1 / field of view.
        mps (array or None): maps to begin with.
        refine (function or None): of the image and ``y``, the next maps (coils, H,
            W), or the next operator, any SigPy Linop from images to ``y``. None is
            as above.
        max_rounds (int): most rounds.
        shape (tuple of int or None): H and W, with ``coord``; None is the nominal
            size of the trajectory.
        noise_std (float or None): standard deviation of the complex noise of ``y``;
            None estimates it. Needed with a ``refine`` that gives operators.
        device (Device): where to compute.
        show_pbar (bool): toggle progress bar.
        **kwargs: of :meth:`sigpy_priors.app.PriorRecon.of`: lamda, solver, max_iter.

    Attributes:
        image (array): the last one, (H, W).
        mps (array or None): the last maps, with unit root sum of squares.
        converged (bool): whether the maps had ceased to change.
        changes (list of float): of the maps in each round.

    Raises:
        ValueError: if the centre is too small, arguments do not fit, or the rounds
            diverge.

    References:
        Ying, L., & Sheng, J. (2007). Joint image reconstruction and sensitivity
        estimation in SENSE (JSENSE). MRM, 57(6), 1196-1202.
    """

    def __init__(
        self,
        y: Array,
        prior: Prior,
        weights: Array | None = None,
        coord: Array | None = None,
        mps: Array | None = None,
        refine: Callable[[Array, Array], Any] | None = None,
        max_rounds: int = 12,
        shape: tuple[int, ...] | None = None,
        noise_std: float | None = None,
        device: Any = sp.cpu_device,
        show_pbar: bool = True,
        **kwargs: Any,
    ) -> None:
        check_array("y", y)
        check_kind(prior)
        if refine is not None and not callable(refine):
            raise ValueError(
                f"refine: expected a function of image and y, got {refine!r}."
            )
        shape = _checked_shape(y, coord, shape)
        self.prior, self.noise_std, self.kwargs = prior, noise_std, kwargs
        self.device = sp.Device(device)
        xp = self.device.xp
        with self.device:
            moved: list[Any] = [
                v if v is None else xp.asarray(sp.to_device(v, self.device))
                for v in (y, weights, coord, mps)
            ]
            self.y, self.weights, self.coord, mps = moved
            # What says nothing has no maps.
            self._alive = self.y.reshape(len(y), -1).any(axis=1)
            if not self._alive.any():
                raise ValueError("y: all values are zero, nothing to reconstruct.")
            if mps is None:
                mps = self._first_maps(shape)
        self.mps: Any = mps
        self.image: Any = None
        self._refine, self._A = refine, None
        self.changes: list[float] = []
        self._sizes: list[tuple[float, float]] = []
        self.converged = len(y) == 1
        alg = _Rounds(
            self._update_image, self._update_maps, max_iter=check_count(
                "max_rounds", max_rounds
            ), settled=lambda: self.converged,
        )  # fmt: skip
        super().__init__(alg, show_pbar=show_pbar)

    def _first_maps(self, shape: tuple[int, ...]) -> Array:
        y = self.y
        if len(y) == 1:
            return self.device.xp.ones((1, *shape), y.dtype)
        width = _CENTRE if self.coord is not None else calibration_width(y, _CENTRE)
        if width < _CENTRE:
            raise ValueError(
                f"y: the centre of k-space is fully sampled over {width} x {width} "
                f"only, expected at least {_CENTRE} x {_CENTRE} to tell coil maps from "
                f"aliasing; measure a few more samples there, or give maps."
            )
        return joint_maps.coarse_maps(y, self.coord, self.weights, shape)

    def _problem(self) -> Problem:
        if self._A is not None:
            return Problem(self._A, self.y, self.noise_std or 0.0)
        return sense_problem(
            self.y, self.mps, self.weights, self.coord, self.noise_std,
            device=self.device,
        )  # fmt: skip

    def _update_image(self) -> None:
        self._reconstruct(quick=True)

    def _reconstruct(self, quick: bool) -> None:
        problem, options = self._problem(), dict(self.kwargs)
        if quick and isinstance(get_solver(options.get("solver"), self.prior), HQS):
            options["max_iter"] = _ITERATIONS
        app = PriorRecon.of(problem, self.prior, show_pbar=False, **options)
        self.image = app.run()
        xp = self.device.xp
        left = problem.forward(self.image) - problem.y
        self._watch(float(xp.linalg.norm(left)), float(xp.linalg.norm(self.image)))

    def _watch(self, misfit: float, size: float) -> None:
        """Raise if what is left of the data, or the image, grows from round to round."""
        self._sizes.append((misfit, size))
        first = [min(v) for v in zip(*self._sizes)]
        if any(now > _GROWTH * least for now, least in zip((misfit, size), first)):
            raise ValueError(
                f"y: image and maps diverge: after {len(self._sizes)} rounds the image "
                f"leaves {misfit / first[0]:.1f} times as much of the data as before, "
                f"and has {size / first[1]:.1f} times the norm. The centre of k-space "
                f"tells too little of the coils; measure more of it, or give maps."
            )

    def _update_maps(self) -> None:
        old = self.mps
        if self._refine is not None:
            new = self._refine(self.image, self.y)
            if isinstance(new, sp.linop.Linop):
                self._A, self.mps = self._checked_operator(new), None
                return
            if getattr(new, "shape", None) != old.shape:
                raise ValueError(
                    f"refine: expected maps {old.shape} or a Linop, got "
                    f"{getattr(new, 'shape', new)}."
                )
            self.mps = new
        else:
            self.mps = self._spread(self._built_in(), old)
        self.changes.append(joint_maps.change_of_maps(self.mps, old, self.image))
        rounds = 1 if self._refine is not None or self.coord is not None else 0
        still = self.changes[-1] < _SETTLED
        self.converged = still and len(self.changes) > (rounds or _SMOOTH_ROUNDS + 1)

    def _built_in(self) -> Array:
        y, mps = self.y[self._alive], self.mps[self._alive]
        if self.coord is not None or len(self.changes) < _SMOOTH_ROUNDS:
            weights = self.weights
            if weights is None and self.coord is None:
                weights = sampling_mask(y)
            elif weights is not None and weights.ndim == self.y.ndim:
                weights = weights.mean(axis=0)
            return joint_maps.smooth_maps(self.image, y, self.coord, weights)
        return joint_maps.filled_maps(self.image, y, mps, sampling_mask(y))

    def _spread(self, maps: Array, like: Array) -> Array:
        full = self.device.xp.zeros_like(like, dtype=maps.dtype)
        full[self._alive] = maps
        return full

    def _checked_operator(self, A: sp.linop.Linop) -> sp.linop.Linop:
        if tuple(A.oshape) != self.y.shape or self.noise_std is None:
            raise ValueError(
                f"refine: expected an operator to y's shape {self.y.shape}, with "
                f"noise_std given, got one to {tuple(A.oshape)} and noise_std "
                f"{self.noise_std}."
            )
        return A

    def run_maps(self) -> Array | None:
        """The rounds alone, for those who want the maps.

        Returns:
            array or None: maps (coils, H, W); None where ``refine`` gives operators.
        """
        with self.device:
            super().run()
            if not self.converged and self._A is None and self.changes:
                warnings.warn(
                    f"the coil maps still changed by {self.changes[-1]:.2g} after "
                    f"{self.alg.iter} rounds, where {_SETTLED} is settled; more "
                    f"max_rounds may help.",
                    stacklevel=2,
                )
        return self.mps

    def run(self) -> tuple[Array, Array | None]:
        """Reconstruct.

        Returns:
            tuple: image (H, W), and maps (coils, H, W); None instead of maps where
            ``refine`` gives operators. On the device of the app.
        """
        self.run_maps()
        with self.device:
            self._reconstruct(quick=False)
        return self.image, self.mps


def _checked_shape(
    y: Array, coord: Array | None, shape: tuple[int, ...] | None
) -> tuple[int, ...]:
    if coord is None:
        check_cartesian(y)
        return tuple(y.shape[1:])
    coord = check_array("coord", coord, "fiu")
    shape = tuple(image_shape(coord) if shape is None else shape)
    check_coord(coord, y.shape, (len(y), *shape))
    return shape
