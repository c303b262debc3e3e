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

import math

import sigpy as sp
from sigpy.mri.linop import Sense

from bart_plugin.twin.admm import BartADMM
from sigpy_priors.scan.checks import check_data
from bart_plugin.twin.graph_reg import GraphReg
from sigpy_priors.linop import sampling_mask

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

    def __init__(self, normal, adjoint, proxg, x, alpha, max_iter, last_prox=True):
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

    def _update(self):
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
    """What ``bart pics -R TF:{graph}:lamda -i max_iter`` computes.

    That is FISTA, or ADMM (:class:`BartADMM`) if ``rho`` is given.

    Args:
        y (array): k-space (coils, H, W), zero where not sampled.
        mps (array): sensitivity maps (coils, H, W).
        prior (DenoiserPrior or NetworkDensity): the prior behind the graph.
        lamda (float): BART's lambda.
        sigma, strength, peak: as the graph was exported (:class:`GraphReg`);
            a density takes no sigma.
        step (float): BART's step size (``-s``), 0.95 if not given there.
        max_iter (int): iterations; of ADMM, steps of conjugate gradients.
        version (str): whose order of steps: "0.8.00" or "1.0.00".
        fista_last (bool): as the option of 1.0.00.
        x (array or None): warm start of FISTA (``-W``).
        rho (float or None): coupling of ADMM (``-m -u rho``).
        cg_iter (int): conjugate gradient steps per iteration of ADMM (``-C``).
        show_pbar (bool): toggle progress bar.

    Returns (by ``run``):
        array: image (H, W) in the units of ``y``.

    Raises:
        ValueError: if the version is unknown or a parameter is out of range.
    """

    def __init__(
        self,
        y,
        mps,
        prior,
        lamda=1.0,
        sigma=None,
        strength=1.0,
        peak=1.0,
        step=0.95,
        max_iter=30,
        version="1.0.00",
        fista_last=False,
        x=None,
        rho=None,
        cg_iter=10,
        show_pbar=True,
    ):
        if version not in BART_ORDERS:
            raise ValueError(f"version must be one of {BART_ORDERS}, got {version!r}.")
        if not 0 < step < 2 or max_iter < 1:
            raise ValueError(
                f"expected 0 < step < 2 and max_iter >= 1, got {step}, {max_iter}."
            )
        if rho is not None and (not 0 < rho < math.inf or x is not None):
            raise ValueError(
                f"ADMM needs 0 < rho < inf and takes no warm start here, got rho {rho}."
            )
        check_data(y, mps)
        A = Sense(mps, weights=sampling_mask(y))
        adjoint = A.H(y)
        self.proxg = GraphReg(A.ishape, prior, lamda, sigma, peak, strength)
        problem = A.N, adjoint, self.proxg
        x = 0 * adjoint if x is None else x.astype(adjoint.dtype)
        if rho is not None:
            self.alg = BartADMM(*problem, x, rho, cg_iter, max_iter)
        else:
            last_prox = version != "0.8.00" and not fista_last
            self.alg = BartFISTA(*problem, x, step, max_iter, last_prox)
        super().__init__(self.alg, show_pbar=show_pbar)

    def _summarize(self):
        if self.show_pbar:
            self.pbar.set_postfix(resid=f"{self.alg.resid:.2E}")

    def _output(self):
        return self.alg.x
