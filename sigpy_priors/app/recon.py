"""Applications: reconstruction with a learned prior. They only assemble."""

import math
from functools import partial

import numpy as np
import sigpy as sp

from sigpy_priors.alg import LBFGS, HalfQuadraticSplitting
from sigpy_priors.scan.checks import check_data
from sigpy_priors.scan.noise import estimate_scale
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, check_kind
from sigpy_priors.scan.problem import sense_problem
from sigpy_priors.prox import DenoiserReg, LogPriorReg

__all__ = ["PriorRecon"]

# Solvers and their default iterations.
_MAX_ITER = {
    "hqs": 8,
    "LBFGS": 40,
    "GradientMethod": 50,
    "ADMM": 30,
    "PrimalDualHybridGradient": 100,
}
# What these need: ADMM and PDHG take a prox at its word, and a gradient step of a
# density is none.
_NEEDS = {
    "hqs": DenoiserPrior,
    "LBFGS": DensityPrior,
    "ADMM": DenoiserPrior,
    "PrimalDualHybridGradient": DenoiserPrior,
}
# Annealing starts at this noise level, relative to the image's scale, and ends
# at this multiple of the one at which prior and data have their nominal weights:
# what the data leave open is more than their noise.
_SIGMA_FIRST = 0.3
_SIGMA_LAST = 3.0
_SIGMA_ADMM = 0.1
# With a density: steps that change less than this are not worth their pass.
_TOL = 1e-3
_CG_ITER = 8


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
    needs tuning.

    Args:
        y (array): k-space measurements (coils, ...), zero where not sampled.
        mps (array): sensitivity maps (coils, H, W).
        prior (DenoiserPrior or DensityPrior): learned prior.
        lamda (float or None): strength of the prior relative to the
            statistically right one; None is 1.
        weights (float or array): weights for data consistency.
        coord (None or array): coordinates.
        noise_std (float or None): standard deviation of the complex noise of
            ``y``; None estimates it.
        solver (str or None): "hqs" for annealed half-quadratic splitting,
            the default with a denoiser; "LBFGS", which needs a density and
            is the default with it; or one of
            :class:`sigpy.app.LinearLeastSquares`: "GradientMethod", or, with
            a denoiser, "ADMM" or "PrimalDualHybridGradient".
        max_iter (int or None): iterations; None for the solver's default.
        device (Device): device to perform reconstruction.
        coil_batch_size (int): batch size to process coils.
            Only affects memory usage.
        comm (Communicator): communicator for distributed computing.
        show_pbar (bool): toggle progress bar.
        transp_nufft (bool): as in SigPy.
        **kwargs: other arguments of :class:`sigpy.app.LinearLeastSquares`.

    Attributes:
        noise_std (float): noise level in use, in the units of ``y``.
        scale (float): magnitude that the prior sees as 1.
        sigmas (array): annealed noise levels of "hqs", relative to the scale.
        objective_values (list): with ``save_objective_values``: the objective
            above for a prior that has a density, else its data term.
        prior_values (list): the prior's part of it, zero without a density.

    Raises:
        ValueError: if data and maps are not finite, are zero or do not fit
            each other, or a parameter is out of range.

    References:
        Zhang, K., Li, Y., Zuo, W., Zhang, L., Van Gool, L., & Timofte, R.
        (2021). Plug-and-play image restoration with deep denoiser prior.
        IEEE TPAMI, 44(10), 6360-6376.
    """

    def __init__(
        self,
        y,
        mps,
        prior,
        lamda=None,
        weights=None,
        coord=None,
        noise_std=None,
        solver=None,
        max_iter=None,
        device=sp.cpu_device,
        coil_batch_size=None,
        comm=None,
        show_pbar=True,
        transp_nufft=False,
        **kwargs,
    ):
        check_kind(prior)
        check_data(y, mps, coord)
        if not sp.get_array_module(y).any(y):
            raise ValueError("y: all values are zero, nothing to reconstruct.")
        lamda = 1.0 if lamda is None else lamda
        if not 0 < lamda < math.inf:
            raise ValueError(f"lamda must be > 0 and finite, got {lamda}.")
        denoises = isinstance(prior, DenoiserPrior)
        solver = solver or ("hqs" if denoises else "LBFGS")
        if solver not in _MAX_ITER:
            raise ValueError(
                f"solver must be one of {', '.join(_MAX_ITER)}, got {solver!r}."
            )
        fit = [s for s in _MAX_ITER if isinstance(prior, _NEEDS.get(s, object))]
        if solver not in fit:
            raise ValueError(
                f"solver {solver!r} needs a {_NEEDS[solver].__name__}, got {prior!r}; "
                f"choose {' or '.join(fit)}."
            )
        if max_iter is not None and max_iter < 1:
            raise ValueError(f"max_iter must be at least 1, got {max_iter}.")

        self.problem = sense_problem(
            y, mps, weights, coord, noise_std, device, coil_batch_size, comm,
            transp_nufft,
        )  # fmt: skip
        self.prior = prior
        self.noise_std = self.problem.noise_std
        x = self.problem.first_image()
        self.scale = estimate_scale(x)
        # Noiseless data still need a finite weight.
        sigma = max(self.noise_std / self.scale, 1e-4)
        if denoises:
            sigma = max(sigma, prior.sigma_range[0])
        lamda *= prior.strength * (sigma * self.scale) ** 2 / 2
        if solver == "ADMM":
            # Couple at the noise level where the prior tells most.
            kwargs.setdefault("rho", 2 * lamda / (_SIGMA_ADMM * self.scale) ** 2)

        prox = DenoiserReg if denoises else LogPriorReg
        self.comm = comm
        self.prior_values = []
        super().__init__(
            self.problem.A,
            self.problem.y,
            x=x,
            proxg=prox(x.shape, prior, lamda, scale=self.scale),
            g=self._prior_value,
            solver=solver,
            max_iter=max_iter or _MAX_ITER[solver],
            show_pbar=show_pbar and (comm is None or comm.rank == 0),
            **kwargs,
        )

    def _prior_value(self, x):
        r""":math:`-\lambda \log p(x / s)`; SigPy asks once for every objective."""
        value = 0.0
        if self.solver == "LBFGS":  # which has been there, so the network need not
            value = self.alg.objective - self._data_value(self.A(x) - self.y)
        elif isinstance(self.prior, DensityPrior):
            value = -self.proxg.lamda * float(self.prior.log_prob(x / self.scale).sum())
        self.prior_values.append(value)
        return value

    def _data_value(self, resid):
        value = np.array([0.5 * float(sp.get_array_module(resid).linalg.norm(resid)) ** 2])
        if self.comm is not None:  # every process has some of the coils
            self.comm.allreduce(value)
        return float(value[0])

    def _objective_and_grad(self, x):
        value, ascent = self.prior.log_prob_and_grad(x / self.scale)
        lamda = self.proxg.lamda
        resid = self.A(x) - self.y
        grad = self.A.H(resid) - lamda / self.scale * ascent
        return self._data_value(resid) - lamda * float(value.sum()), grad

    def run(self):
        """Reconstruct.

        Returns:
            array: image (H, W), on ``device``.
        """
        with sp.get_device(self.x):
            return super().run()

    def _get_alg(self):
        if self.solver == "LBFGS":
            self.alg = LBFGS(
                self._objective_and_grad, self.x, self.max_iter, tol=_TOL
            )
            return
        if self.solver != "hqs":
            return super()._get_alg()
        nominal = math.sqrt(2 * self.proxg.lamda) / self.scale  # where rho = 1
        last = min(_SIGMA_LAST * nominal, self.prior.sigma_range[1])
        first = max(_SIGMA_FIRST, last)
        self.sigmas = np.geomspace(first, last, self.max_iter)
        self.alg = HalfQuadraticSplitting(
            partial(self.problem.prox, max_iter=_CG_ITER),
            self.proxg,
            self.x,
            (nominal / self.sigmas) ** 2,
        )

    def _summarize(self):
        # SigPy's ADMM keeps no residual, which its progress bar asks for.
        if not hasattr(self.alg, "resid"):
            self.alg.resid = math.nan
        super()._summarize()
