"""Reconstruction with a learned prior. The app only assembles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.alg import LBFGS, HalfQuadraticSplitting
from sigpy_priors.app import solvers
from sigpy_priors.app.annealing import Annealing, SlicesSplitting
from sigpy_priors.app.recon_settings import check_recon
from sigpy_priors.app.regularizers import Regularizer, factors, strength
from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_result
from sigpy_priors.priors.base import Prior
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.scan.problem import Problem
from sigpy_priors.scan.sense import sense_problem
from sigpy_priors.scan.stack import ProblemStack, slice_problems

__all__ = ["PriorRecon"]


class PriorRecon(sp.app.LinearLeastSquares):
    r"""Reconstruction with a learned prior.

    Considers the problem

    .. math::
        \min_x \frac{1}{2} \| P F S x - y \|_2^2
        - \lambda c \frac{\sigma_y^2}{2} \log p(x)

    as :class:`sigpy.mri.app.L1WaveletRecon` does with wavelets. The noise
    level :math:`\sigma_y` and the scale of the image are estimated from the
    data; c is the prior's own ``strength``, 1 for an exact prior. With
    :math:`\lambda = 1` this is the maximum of the posterior, so that nothing
    needs tuning. Multiplying k-space, maps or weights by a constant changes
    nothing but the image's units. Where the maps are zero the data say nothing,
    and the image is zero.

    :meth:`of` takes a :class:`sigpy_priors.scan.problem.Problem`,
    :meth:`from_linop` any SigPy operator.

    Args:
        y (array): k-space measurements (coils, ...), zero where not sampled.
        mps (array): sensitivity maps (coils, H, W), in any units, or several sets
            (sets, coils, H, W), of which each gets an image.
        prior (DenoiserPrior, DensityPrior or list): learned prior; or a list of
            priors, proximal operators of SigPy and pairs (prox, linop), whose sum
            regularises (:mod:`sigpy_priors.app.regularizers`).
        lamda (float or None): strength of the priors relative to the
            statistically right one; None is 1.
        weights (float or array): relative precisions of the data, such as a
            density compensation.
        coord (None or array): coordinates, in 1 / field of view.
        noise_std (float or None): standard deviation of the complex noise of
            ``y``; None estimates it.
        solver (str, Solver or None): "hqs" for annealed half-quadratic
            splitting, the default with a denoiser; "LBFGS", which needs a
            density and is the default with it; or one of
            :class:`sigpy.app.LinearLeastSquares`: "GradientMethod", or, with
            a denoiser, "ADMM" or "PrimalDualHybridGradient". Their numbers
            are those of :mod:`sigpy_priors.app.solvers`.
        max_iter (int or None): iterations; None for as many as it takes.
        device (Device): device to perform reconstruction.
        coil_batch_size (int): batch size to process coils.
            Only affects memory usage.
        comm (Communicator): communicator for distributed computing.
        show_pbar (bool): toggle progress bar.
        transp_nufft (bool): as in SigPy.
        noise (array or None): covariance, deviations or a noise scan of the
            coils (:func:`sigpy_priors.scan.sense.sense_problem`).
        three_d (bool): k-space is three-dimensional, (coils, D, H, W).
        slices (bool): k-space and maps have slices first, (slices, coils, ...): each with
            its noise level and scale, together through the prior. With "hqs" and one
            denoiser; weights, coordinates and noise are those of every slice.
        **kwargs: other arguments of :class:`sigpy.app.LinearLeastSquares`.

    Attributes:
        problem (Problem): operator, data and noise; with slices their
            :class:`~sigpy_priors.scan.stack.ProblemStack`.
        noise_std (float): noise level in use, in the units of ``y``; array of slices.
        scale (float): magnitude that the prior sees as 1; array of slices.
        objective_values (list): with ``save_objective_values``: the objective
            above for a prior that has a density, else its data term.
        prior_values (list): the prior's part of it, zero without a density.

    Raises:
        ValueError: if data and maps are not finite, are zero or do not fit
            each other, or a parameter is out of range.
        FloatingPointError: if the image is not finite.

    References:
        Zhang, K., Li, Y., Zuo, W., Zhang, L., Van Gool, L., & Timofte, R.
        (2021). Plug-and-play image restoration with deep denoiser prior.
        IEEE TPAMI, 44(10), 6360-6376.
    """

    # What SigPy's class sets to None first, is asked for by its kind, or is of slices.
    x: Any
    problem: Any
    noise_std: Any
    scale: Any
    alg: Any
    proxg: Any
    prior: Any
    settings: Any
    _annealing: Any = None

    def __init__(
        self,
        y: Array,
        mps: Array,
        prior: Prior | list,
        lamda: float | None = None,
        weights: Array | float | None = None,
        coord: Array | None = None,
        noise_std: float | None = None,
        solver: str | solvers.Solver | None = None,
        max_iter: int | None = None,
        device: Any = sp.cpu_device,
        coil_batch_size: int | None = None,
        comm: Any = None,
        show_pbar: bool = True,
        transp_nufft: bool = False,
        noise: Array | None = None,
        three_d: bool = False,
        slices: bool = False,
        **kwargs: Any,
    ) -> None:
        options = check_recon(prior, lamda, solver, max_iter, kwargs, slices, three_d)

        def problem(y: Array, mps: Array) -> Problem:
            return sense_problem(
                y, mps, weights, coord, noise_std, noise, device, coil_batch_size,
                comm, transp_nufft, three_d,
            )  # fmt: skip

        made = slice_problems(problem, y, mps) if slices else problem(y, mps)
        self._assemble(made, prior, *options, show_pbar, kwargs)

    @classmethod
    def of(
        cls,
        problem: Problem | ProblemStack,
        prior: Prior | list,
        lamda: float | None = None,
        solver: str | solvers.Solver | None = None,
        max_iter: int | None = None,
        show_pbar: bool = True,
        **kwargs: Any,
    ) -> PriorRecon:
        """Reconstruct any inverse problem.

        Args:
            problem (Problem or ProblemStack): operator, data and noise.
            prior (Prior or list): as of the class.
            lamda (float or None): strength of the prior, 1 by default.
            solver (str, Solver or None): as of the class.
            max_iter (int or None): iterations.
            show_pbar (bool): toggle progress bar.
            **kwargs: other arguments of the class.

        Returns:
            PriorRecon: the app.
        """
        slices = isinstance(problem, ProblemStack)
        options = check_recon(prior, lamda, solver, max_iter, kwargs, slices)
        app = cls.__new__(cls)
        app._assemble(problem, prior, *options, show_pbar, kwargs)
        return app

    @classmethod
    def from_linop(
        cls,
        A: sp.linop.Linop,
        y: Array,
        prior: Prior,
        noise_std: float,
        **kwargs: Any,
    ) -> PriorRecon:
        """Reconstruct with any SigPy operator, such as SMS or a field map's.

        Args:
            A (Linop): from images (..., H, W); the prior sees each (H, W).
            y (array): data, of the operator's output shape.
            prior (Prior): learned prior.
            noise_std (float): standard deviation of the complex noise of ``y``.
            **kwargs: of :meth:`of`.

        Returns:
            PriorRecon: the app.
        """
        return cls.of(Problem(A, y, noise_std), prior, **kwargs)

    def _assemble(
        self,
        problem: Problem | ProblemStack,
        prior: Prior | list,
        lamda: float,
        solver: solvers.Solver,
        max_iter: int | None,
        show_pbar: bool,
        kwargs: dict,
    ) -> None:
        if isinstance(problem, ProblemStack):
            self._assemble_slices(problem, prior, lamda, solver, max_iter, show_pbar)
            return
        xp = sp.get_array_module(problem.y)
        if not xp.any(problem.y):
            raise ValueError("y: all values are zero, nothing to reconstruct.")
        self.problem, self.prior, self.settings = problem, prior, solver
        self.noise_std, self.comm = problem.noise_std, problem.comm
        self.prior_values: list[float] = []
        x = problem.first_image()
        self.scale = estimate_scale(x)
        unit = problem.gain * self.scale  # of the data, for an image of 1

        def right(prior: Any) -> float:
            return strength(prior, lamda, self.noise_std, unit)

        self._strength, self._limit = right, max_iter
        dual = solver.name == "PrimalDualHybridGradient"
        self.regularizer = Regularizer(
            factors(prior, solver.splits), x.shape, right, self.scale,
            problem.gain if dual else 1.0, solver.name == "hqs",
        )  # fmt: skip
        if isinstance(solver, solvers.SigpySolver) and solver.name == "ADMM":
            level = solver.coupling * self.scale
            kwargs.setdefault("rho", 2 * self.regularizer.lamda / level**2)
        super().__init__(
            problem.A,
            problem.y,
            x=x,
            proxg=self.regularizer.proxg,
            G=self.regularizer.G,
            g=self._prior_value,
            solver=solver.name,
            max_iter=max_iter or solver.max_iter,
            show_pbar=show_pbar and (self.comm is None or self.comm.rank == 0),
            **kwargs,
        )

    def _assemble_slices(self, stack, prior, lamda, solver, max_iter, show_pbar):
        with sp.get_device(stack.AHy):
            splitting = SlicesSplitting(stack, prior, lamda, solver, max_iter)
        self.problem, self.prior, self.settings = stack, prior, solver
        self.solver, self.save_objective_values = solver.name, False
        self.noise_std, self.scale = stack.noise_std, splitting.scale
        self._annealing = splitting.annealing
        self.alg, self.x = splitting.alg, splitting.alg.x
        sp.app.App.__init__(self, self.alg, show_pbar=show_pbar)

    def _prior_value(self, x: Array) -> float:
        r""":math:`-\lambda \log p(x / s)`; SigPy asks once for every objective."""
        if self.solver == "LBFGS":  # which has been there, so the network need not
            value = self.alg.objective - self.problem.value(x)
        else:
            value = self.regularizer.value(self.x, self._strength)
        self.prior_values.append(value)
        return value

    def _objective_and_grad(self, x: Array) -> tuple[float, Array]:
        value, ascent = self.prior.log_prob_and_grad(x / self.scale)
        lamda = self.regularizer.lamda
        grad = self.problem.gradient(x) - lamda / self.scale * ascent
        return self.problem.value(x) - lamda * float(value.sum()), grad

    def run(self) -> Array:
        """Reconstruct.

        Returns:
            array: image (H, W), or (slices, H, W), on the device of the problem.
        """
        with sp.get_device(self.x):
            x: Any = super().run()
            xp = sp.get_array_module(x)
            check_result(
                x,
                f"after {self.alg.iter} iterations of {self.solver}: the data's numbers "
                f"are too large or small for {x.dtype}, or the iteration diverged",
            )
            return xp.where(self.problem.support, x, 0)

    @property
    def sigmas(self) -> Any:
        """array: noise levels of "hqs" so far, relative to the scale; list of slices."""
        if isinstance(self._annealing, list):
            return [a.sigma(r) for a, r in zip(self._annealing, self.alg.rhos)]
        return self._annealing.sigma(self.alg.rhos)

    @property
    def converged(self) -> Any:
        """bool: whether the image had ceased to change; list of slices."""
        if isinstance(self._annealing, list):
            return [a.converged for a in self._annealing]
        return self._annealing is not None and self._annealing.converged

    def _get_alg(self) -> None:
        if self.solver == "LBFGS":
            self.alg = LBFGS(
                self._objective_and_grad, self.x, self.max_iter, tol=self.settings.tol
            )
        elif self.solver == "hqs":
            self._get_hqs(self.settings)
        else:
            self._set_steps()
            super()._get_alg()

    def _set_steps(self) -> None:
        """Step sizes that SigPy would find with numpy's global random numbers."""

        def bounded(step: Any) -> float:
            return 1 / (float(np.max(sp.to_device(step))) * largest or 1)

        steps = {
            "GradientMethod": ["alpha"],
            "PrimalDualHybridGradient": ["tau", "sigma"],
        }
        names = steps.get(str(self.solver), [])
        if None not in [getattr(self, n) for n in names]:
            return
        largest = self.problem.largest(self.max_power_iter)
        if self.G is not None:  # at most the sum
            G = Problem(self.G, self.G(self.x), 0.0)
            largest += G.largest(self.max_power_iter)
        if self.solver == "GradientMethod":
            self.alpha = bounded(1)
        elif self.tau is None:
            self.sigma = 1 if self.sigma is None else self.sigma
            self.tau = bounded(self.sigma)
        else:
            self.sigma = bounded(self.tau)

    def _get_hqs(self, hqs: solvers.HQS) -> None:
        lamda, G = self.regularizer.lamda, self.G
        annealing = self._annealing = Annealing(
            hqs, lamda, self.problem.gain, self.scale, self.x.size,
            self.regularizer.highest, self._limit,
        )  # fmt: skip

        def proxf(alpha: float, z: Array, x: Array) -> Array:
            b = self.problem.AHy + (z if G is None else G.H(z)) / alpha
            size = float(sp.get_array_module(b).linalg.norm(b)) or 1.0
            tol = annealing.error(1 / alpha) / size
            return self.problem.solve(1 / alpha, b, x, hqs.cg_iter, tol, G)

        self.alg = HalfQuadraticSplitting(
            proxf, self.proxg, self.x, annealing.rho, self.max_iter, hqs.relax, G
        )

    def _summarize(self) -> None:
        # SigPy's ADMM keeps no residual, which its progress bar asks for.
        if not hasattr(self.alg, "resid"):
            self.alg.resid = math.nan
        super()._summarize()
