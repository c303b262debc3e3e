r"""A prior on z = W x as a prior on x, for any SigPy operator W.

**Densities**, exact for any W, up to a factor that does not depend on x:

.. math::
    \log p(x) = \log p_z(W x), \quad
    2 \frac{\partial \log p}{\partial \bar x} = W^H
    2 \frac{\partial \log p_z}{\partial \bar z}

**Denoisers.** White noise of x is not white in z, unless W is unitary up to a factor.
For a tight frame, :math:`W^H W = c P` with a projection P, there is a short cut:

.. math::
    D(x, \sigma) = x + W^+ \big( D_z(W x, \sqrt{c}\, \sigma) - W x \big)

It is exact where the prior is one of lifted images, z = W x_0 (and says nothing of what
W loses): there :math:`\|W x_0 - W x\|^2 / (c \sigma^2) = \|x_0 - x\|^2 / \sigma^2`, so
that noise of the level :math:`\sqrt c\, \sigma` on all of z leaves the same posterior.
So it is if W is unitary. For a prior that also knows z beyond the range of W (subbands
or patches that were trained each for itself), this is the usual approximation: denoise
in z, and come back. Other W, such as a ramp, have no denoiser of white noise; then

- :class:`sigpy_priors.app.recon.PriorRecon` splits z = W x, which is exact for any W if
  D_z is a prox;
- samplers change the unknown: :meth:`sigpy_priors.scan.problem.Problem.lift`.

A Gaussian :math:`z \sim CN(W m, C)` that lives on the range of W, or whose C commutes
with :math:`W W^+`, is the Gaussian :math:`x \sim CN(m, W^+ C W^{+H})` in all of these;
otherwise the prior is that of z given that z is in the range of W.

References:
    Quan, C., et al. (2021). Homotopic gradients of generative density priors for MR
    image reconstruction. IEEE TMI, 40(12), 3265-3278. Copies.

    Zhang, M., et al. (2021). MRI reconstruction using a denoising autoencoder prior on
    wavelets. Neurocomputing, 437, 325-338.

    Tu, Z., et al. (2023). WKGM: weighted k-space generative model for parallel imaging
    reconstruction. NMR in Biomedicine, 36(11). A ramp.
"""

from __future__ import annotations

import math
from typing import Any

import sigpy as sp

from sigpy_priors.backend import arrays
from sigpy_priors.backend.arrays import Array
from sigpy_priors.linop.frame import frame_bound, pseudo_inverse
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, Prior, check_kind

__all__ = ["Lifted"]


class Lifted(Prior):
    """A prior on z = W x, of the same kind as that on z.

    Args:
        prior (Prior): of z.
        W (Linop): from images to z.
        pinv (Linop or None): its pseudo-inverse; None finds it
            (:func:`sigpy_priors.linop.frame.pseudo_inverse`).

    Attributes:
        bound (float or None): c of a tight frame, None for other W.
        given (Linop or None): the pseudo-inverse that was given.
        shape (tuple of int): of the images.

    Raises:
        ValueError: if W gives what the prior cannot take.
    """

    def __new__(cls, prior: Prior, *args: Any, **kwargs: Any) -> Lifted:
        if cls is Lifted:
            check_kind(prior)
            kinds = [isinstance(prior, k) for k in (DenoiserPrior, DensityPrior)]
            kind = _Both if all(kinds) else _Denoiser if kinds[0] else _Density
            return object.__new__(kind)
        return super().__new__(cls)

    def __init__(
        self, prior: Prior, W: sp.linop.Linop, pinv: sp.linop.Linop | None = None
    ) -> None:
        if not isinstance(W, sp.linop.Linop):
            raise ValueError(f"W: expected a sigpy Linop, got {type(W).__name__}.")
        own = getattr(prior, "shape", None)
        if len(W.oshape) < prior.event_ndim or (
            own is not None and tuple(W.oshape[-len(own) :]) != tuple(own)
        ):
            wants = f"(..., {', '.join(map(str, own))})" if own else "an image"
            raise ValueError(
                f"W: {prior!r} is of {wants}, got an operator to {tuple(W.oshape)}."
            )
        if pinv is not None and (pinv.ishape, pinv.oshape) != (W.oshape, W.ishape):
            raise ValueError(
                f"pinv: expected an operator from {tuple(W.oshape)} to "
                f"{tuple(W.ishape)}, got {pinv}."
            )
        self.prior: Any = prior
        self.W, self.given = W, pinv
        self._found: dict[str, sp.linop.Linop] = {}
        self.shape = tuple(W.ishape)
        self.event_ndim = len(self.shape)
        self.card, self.strength = prior.card, prior.strength
        self.bound = frame_bound(W)

    @property
    def pinv(self) -> sp.linop.Linop:
        """Linop: the pseudo-inverse of W."""
        if self.given is not None:
            return self.given
        if not self._found:
            self._found["pinv"] = pseudo_inverse(self.W)
        return self._found["pinv"]

    def module(self) -> Any:
        from sigpy_priors.priors.lift_module import lifted_module

        return lifted_module(self)

    def _check(self, x):
        super()._check(x)
        if tuple(x.shape[-self.event_ndim :]) != self.shape:
            raise ValueError(
                f"{self!r}: made for images {self.shape}, got {tuple(x.shape)}."
            )

    def _lift(self, z: Any) -> Any:
        """W of a tensor with any batch axes."""
        from sigpy_priors.priors.torch_linop import apply_linop

        batch = z.shape[: -self.event_ndim]
        out = apply_linop(self.W, z.reshape((-1, *self.shape)))
        return out.reshape((*batch, *self.W.oshape))

    def __repr__(self) -> Any:
        kind = repr(self.W).partition("> ")[2] or repr(self.W)
        return f"<Lifted {self.prior!r} {kind}"


class _Denoiser(Lifted, DenoiserPrior):
    def __init__(self, prior: Any, W: Any, pinv: Any = None) -> None:
        super().__init__(prior, W, pinv)
        low, high = prior.sigma_range
        self._gain = math.sqrt(self.bound or 1.0)
        self.sigma_range = (low / self._gain, high / self._gain)

    def _denoise(self, x, sigma):
        return self._denoise_held(x, sigma)

    def _denoise_held(self, x, sigma):
        from sigpy_priors.priors.torch_linop import apply_linop

        if self.bound is None:
            raise ValueError(
                f"{self!r}: white noise of x is not white in W x, so that there is no "
                f"denoiser, expected a W with W^H W = c: reconstruct with PriorRecon "
                f"(hqs, ADMM or PrimalDualHybridGradient), or sample "
                f"problem.lift(W) with the prior of z."
            )
        z = apply_linop(self.W, x)
        ones = (1,) * (z.ndim - 1 - self.prior.event_ndim)
        level = (self._gain * sigma).reshape((-1, *ones))
        step = self.prior._denoise_any(z, level) - z
        return x + apply_linop(self.pinv, step)


class _Density(Lifted, DensityPrior):
    def __init__(self, prior: Any, W: Any, pinv: Any = None) -> None:
        super().__init__(prior, W, pinv)
        self.channels = prior.channels
        unitary = self.bound is not None and abs(self.bound - 1) < 1e-4
        square = math.prod(W.ishape) == math.prod(W.oshape)
        self.normalised = prior.normalised and unitary and square

    def _sum(self, value: Any) -> Any:
        """Over the draws of z that are one x."""
        extra = len(self.W.oshape) - self.prior.event_ndim
        return value.sum(tuple(range(-extra, 0))) if extra else value

    def log_prob(self, x: Array) -> Array:
        self._check(x)
        with arrays.on_stream_of(x):
            value = self.prior.log_prob(self._lift(arrays.to_torch(x)))
            return arrays.from_torch(self._sum(value), x)

    def log_prob_and_grad(self, x: Array) -> tuple:
        from sigpy_priors.priors.torch_linop import apply_linop

        self._check(x)
        with arrays.on_stream_of(x):
            z = self._lift(arrays.to_torch(x).detach())
            value, grad = self.prior.log_prob_and_grad(z)
            out = apply_linop(self.W.H, grad.reshape((-1, *self.W.oshape)))
            return (
                arrays.from_torch(self._sum(value), x),
                arrays.from_torch(out.reshape(x.shape), x),
            )

    def grad_log_prob(self, x: Array) -> Array:
        return self.log_prob_and_grad(x)[1]


class _Both(_Denoiser, _Density):
    """Both."""
