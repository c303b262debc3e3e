"""Slices that are solved together, each with its own data, noise and units.

On a GPU those of Cartesian k-space are one problem of SENSE in three dimensions that
transforms along two of them; elsewhere they are solved one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array, column
from sigpy_priors.linop import HalvingSense, SenseNormal
from sigpy_priors.scan.problem import FIRST_ITER, Problem
from sigpy_priors.scan.solve import conjugate_gradient

__all__ = ["ProblemStack", "slice_problems"]


class ProblemStack:
    """Problems of images of one shape.

    Args:
        problems (sequence of Problem): on one device.

    Attributes:
        problems (list of Problem): the same.
        AHy (array): of all ``(S, *shape)``.
        gain (array): of each (S,), on the CPU, as are the following.
        noise_std (array): of each, in the units of its data.

    Raises:
        ValueError: if there is none, or if they are of images of different shapes.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        shapes = {p.shape for p in problems}
        if len(shapes) != 1:
            raise ValueError(
                f"problems: expected some of images of one shape, got {sorted(shapes)}."
            )
        self.problems = list(problems)
        xp = sp.get_array_module(problems[0].AHy)
        self.AHy = xp.stack([p.AHy for p in problems])
        self.gain = np.array([p.gain for p in problems])
        self.noise_std = np.array([p.noise_std for p in problems])
        self._normal = self._common_normal()

    def __len__(self) -> int:
        return len(self.problems)

    @property
    def support(self) -> Array:
        """Where the data see the images: bool, ``(S, *shape)``."""
        return sp.get_array_module(self.AHy).stack([p.support for p in self.problems])

    def _common_normal(self) -> SenseNormal | None:
        """All normal operators as one; None where they cannot be, or need not."""
        operators: list[Any] = [p.A for p in self.problems]
        cartesian = all(
            isinstance(p.A, HalvingSense) and isinstance(p._normal, SenseNormal)
            for p in self.problems
        )
        if sp.get_device(self.AHy) == sp.cpu_device or not cartesian:
            return None
        if any(p.comm is not None for p in self.problems):
            return None
        coils = max(len(A.mps) for A in operators)
        mps = _stacked([A.mps for A in operators], coils)
        weights = _stacked([A.weights_of_coils for A in operators], coils)
        axes = tuple(range(-len(self.problems[0].shape), 0))
        return SenseNormal(mps, weights, min(A.batch for A in operators), axes=axes)

    def take(self, members: Sequence[int]) -> ProblemStack:
        """Some of them.

        Args:
            members (sequence of int): their numbers here.

        Returns:
            ProblemStack: in this order.
        """
        made = ProblemStack.__new__(ProblemStack)
        which = sp.get_array_module(self.AHy).asarray(np.asarray(members))
        made.problems = [self.problems[i] for i in members]
        made.AHy = self.AHy[which]
        made.gain, made.noise_std = self.gain[members], self.noise_std[members]
        made._normal = self._normal and self._normal.take(which)
        return made

    def solve(
        self,
        rho: Sequence[float],
        b: Array,
        x: Array | None = None,
        max_iter: int = 50,
        tol: Any = 1e-5,
    ) -> Array:
        r"""Solve :math:`(A_i^H A_i + \rho_i) x_i = b_i` for every member.

        Args:
            rho (sequence of float): > 0, of each.
            b (array): right sides ``(S, *shape)``.
            x (array or None): start, zero by default.
            max_iter (int): most steps of conjugate gradients.
            tol (float or array): residual, relative to ``b``; of each if it is an
                array (S, 1, ...).

        Returns:
            array: like ``b``.
        """
        normal: Any = self._normal
        if normal is None:
            return sp.get_array_module(b).stack([
                p.solve(
                    float(r), v, None if x is None else x[i], max_iter,
                    tol if isinstance(tol, float) else tol[i],
                )
                for i, (p, r, v) in enumerate(zip(self.problems, rho, b))
            ])  # fmt: skip
        rhos = column(rho, b)
        return conjugate_gradient(
            lambda v: normal(v).astype(v.dtype, copy=False) + rhos * v,
            b, x, max_iter, tol,
        )  # fmt: skip

    def first_images(self) -> Array:
        """As :meth:`Problem.first_image` of each, ``(S, *shape)``."""
        rhos = [p.first_rho for p in self.problems]
        return self.solve(rhos, self.AHy, None, FIRST_ITER, 0.0)


def slice_problems(
    make: Callable[[Array, Array], Problem], y: Array, mps: Array
) -> ProblemStack:
    """The problems of slices, made one by one.

    Args:
        make (function): of a slice's k-space and maps, its problem.
        y (array): k-space (S, coils, ...).
        mps (array): maps (S, coils, H, W).

    Returns:
        ProblemStack: of all.

    Raises:
        ValueError: if the axes do not fit, or naming the slice that is wrong.
    """
    shapes = [tuple(getattr(v, "shape", ())) for v in (y, mps)]
    if len(shapes[1]) != 4 or shapes[0][:2] != shapes[1][:2] or not shapes[1][0]:
        raise ValueError(
            f"y and mps: expected (slices, coils, ...) and (slices, coils, H, W) with "
            f"slices=True, got {shapes[0]} and {shapes[1]}; one slice has the axis, too."
        )
    problems = []
    for i, (ksp, maps) in enumerate(zip(y, mps)):
        try:
            problem = make(ksp, maps)
            if not sp.get_array_module(problem.y).any(problem.y):
                raise ValueError("y: all values are zero, nothing to reconstruct.")
        except ValueError as e:
            raise ValueError(f"slice {i}: {e}") from e
        problems.append(problem)
    return ProblemStack(problems)


def _stacked(arrays: Sequence[Array], coils: int) -> Array:
    """Of slices with coils first, (coils, S, ...); coils that one has not are zero."""
    xp = sp.get_array_module(arrays[0])
    out = xp.zeros((coils, len(arrays), *arrays[0].shape[1:]), arrays[0].dtype)
    for i, a in enumerate(arrays):
        out[: len(a), i] = a
    return out
