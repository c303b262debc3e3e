r"""BART's FISTA in SigPy: the same images from the same prior.

BART takes the proximal step *before* the gradient step, starting from zero,

.. math::
    z_k &= \text{prox}_{\tau g}(x_k) \\
    v_k &= z_k + \frac{t_k - 1}{t_{k+1}} (z_k - z_{k-1}) \\
    x_{k+1} &= v_k + \tau A^H (y - A v_k)

with :math:`t_{k+1} = (1 + \sqrt{1 + 4 t_k^2}) / 2`, :math:`t_0 = 1`. BART
0.8.00 returns :math:`x_n`; 1.0.00 returns :math:`\text{prox}_{\tau g}(x_n)`,
or :math:`x_n` with ``--fista_last``.

References:
    Beck, A., & Teboulle, M. (2009). A fast iterative shrinkage-thresholding
    algorithm for linear inverse problems. SIAM J. Imaging Sciences, 2(1).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import sigpy as sp
from sigpy.mri.linop import Sense

from bart_plugin.algorithms import (
    Admm,
    Algorithm,
    Numbers,
    default_levels,
)
from bart_plugin.fitting import fitted
from bart_plugin.twin.admm import BartADMM
from bart_plugin.twin.graph_reg import GraphReg
from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_result
from sigpy_priors.priors.base import DenoiserPrior, Prior
from sigpy_priors.scan.checks import check_data
from sigpy_priors.scan.noise import sampling_mask

__all__ = ["BartFISTA", "BartPics", "BART_ORDERS"]

BART_ORDERS = ("0.8.00", "1.0.00")


class BartFISTA(sp.alg.Alg):
    """FISTA in BART's order of steps.

    Args:
        normal (function): maps x to A^H A x.
        adjoint (array): A^H y.
        proxg (function): maps (alpha, x) to the proximal step.
        x (array): start, overwritten; BART's is zero unless ``-W``.
        alpha (float): step size tau.
        max_iter (int): iterations.
        last_prox (bool): end with one more proximal step, as 1.0.00 does
            without ``--fista_last``.

    Attributes:
        x (array): solution.
        resid (float): norm of A^H (y - A v).
    """

    def __init__(
        self,
        normal: Callable[[Array], Array],
        adjoint: Array,
        proxg: Callable[[float, Array], Array],
        x: Array,
        alpha: float,
        max_iter: int,
        last_prox: bool = True,
    ) -> None:
        self.normal = normal
        self.adjoint = adjoint
        self.proxg = proxg
        self.x = x
        self.alpha = alpha
        self.last_prox = last_prox
        self.resid = math.inf
        self._t = 1.0
        self._old = x.copy()
        super().__init__(max_iter)

    def _update(self) -> None:
        xp = sp.get_array_module(self.x)
        z = self.proxg(self.alpha, self.x)
        t, self._t = self._t, (1 + math.sqrt(1 + 4 * self._t**2)) / 2
        v = z + ((t - 1) / self._t) * (z - self._old)
        self._old = z
        gradient = self.adjoint - self.normal(v)
        self.resid = float(xp.linalg.norm(gradient))
        x = v + self.alpha * gradient
        if self.last_prox and self.iter == self.max_iter - 1:
            x = self.proxg(self.alpha, x)
        sp.copyto(self.x, x)


class BartPics(sp.app.App):
    """What :func:`bart_plugin.pics` has BART compute, with the same settings.

    Args:
        y (array): k-space (coils, H, W), zero where not sampled.
        mps (array): sensitivity maps (coils, H, W).
        prior (DenoiserPrior or DensityPrior): the prior behind the graph.
        lamda (float): weight of the prior, as for ``pics``: BART's lambda, of a
            denoiser in ADMM over ``rho``.
        sigma (float or sequence of float): as for ``pics``; a density has none.
        max_iter (int or None): iterations, if not those of the algorithm.
        algorithm (str, Admm, Fista or None): as for ``pics``.
        relaxation (float or sequence of float): as for ``pics``.
        peak (float): as for ``pics``.
        warm_start (array or None): first image of FISTA (``-W``).
        version (str): whose order of steps: "0.8.00" or "1.0.00".
        fista_last (bool): as the option of 1.0.00.
        show_pbar (bool): toggle progress bar.

    Returns (by ``run``):
        array: image (H, W) in the units of ``y``.

    Raises:
        ValueError: if the version is unknown or a parameter is out of range.
        FloatingPointError: if the image is not finite.
    """

    def __init__(
        self,
        y: Array,
        mps: Array,
        prior: Prior,
        lamda: float = 1.0,
        sigma: Numbers = None,
        max_iter: int | None = None,
        algorithm: str | Algorithm | None = None,
        relaxation: Numbers = None,
        peak: float | None = None,
        warm_start: Array | None = None,
        version: str = "1.0.00",
        fista_last: bool = False,
        show_pbar: bool = True,
    ) -> None:
        if version not in BART_ORDERS:
            raise ValueError(f"version must be one of {BART_ORDERS}, got {version!r}.")
        density = not isinstance(prior, DenoiserPrior)
        check_data(y, mps)
        method, peak = fitted(y, mps, prior, algorithm, max_iter, sigma, peak)
        if isinstance(method, Admm) and warm_start is not None:
            raise ValueError("warm_start: ADMM takes none here, FISTA does.")
        A = Sense(mps, weights=sampling_mask(y))
        adjoint = A.H(y)
        self._setting = method.setting
        levels, factors = default_levels(prior, method, sigma, relaxation)
        weight = lamda if density else method.bart_lamda(lamda)
        self.proxg = GraphReg(A.ishape, prior, weight, levels, peak, factors)
        problem = A.N, adjoint, self.proxg
        if isinstance(method, Admm):
            settings = method.rho, method.cg_iter, method.cg_steps
            self.alg = BartADMM(*problem, 0 * adjoint, *settings)
        else:
            x = 0 * adjoint if warm_start is None else warm_start.astype(adjoint.dtype)
            last_prox = version != "0.8.00" and not fista_last
            self.alg = BartFISTA(*problem, x, method.step, method.max_iter, last_prox)
        super().__init__(self.alg, show_pbar=show_pbar)

    def _summarize(self) -> None:
        if self.show_pbar:
            self.pbar.set_postfix(resid=f"{self.alg.resid:.2E}")

    def _output(self) -> Array:
        why = f"after {self.alg.iter} iterations: it diverged, change {self._setting}"
        check_result(self.alg.x, why)
        return self.alg.x
