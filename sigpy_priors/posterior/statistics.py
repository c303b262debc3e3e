r"""Statistics of posterior samples: moments, intervals, convergence.

The standard deviation of complex samples is
:math:`\sqrt{E|x - E x|^2}`, as everywhere in this package; intervals are
those of the magnitude unless another part is asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_choice, check_number
from sigpy_priors.backend.validate import check_finite as check_values

__all__ = [
    "OnlineMoments",
    "interval",
    "hallucination_map",
    "split_rhat",
    "diagnostics",
    "effective_sample_size",
    "check_finite",
]

_PARTS = {"magnitude": np.abs, "real": np.real, "imag": np.imag}


def check_finite(samples: Any, what: str = "samples") -> None:
    """Refuse NaN and infinite values.

    Raises:
        FloatingPointError: with the number of samples affected.
    """
    xp = sp.get_array_module(samples)
    good = xp.isfinite(samples).reshape(len(samples), -1).all(axis=1)
    if not good.all():
        raise FloatingPointError(
            f"{int((~good).sum())} of {len(samples)} {what} have NaN or infinite "
            f"values: the sampler diverged; use more or smaller steps, or check "
            f"noise_std and the scale."
        )


class OnlineMoments:
    """Mean and variance in one pass, in double precision.

    Attributes:
        count (int): samples so far.
        mean (array or None): their mean.

    References:
        Chan, T. F., Golub, G. H., & LeVeque, R. J. (1983). Algorithms for
        computing the sample variance. The American Statistician, 37(3).
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = None
        self._m2 = None

    def update(self, samples: Any) -> None:
        """Add samples (N, ...)."""
        xp = sp.get_array_module(samples)
        kind = xp.complex128 if xp.iscomplexobj(samples) else xp.float64
        samples = samples.astype(kind)
        n = len(samples)
        mean = samples.mean(axis=0)
        m2 = (xp.abs(samples - mean) ** 2).sum(axis=0)
        if not self.count:
            self.count, self.mean, self._m2 = n, mean, m2
            return
        total = self.count + n
        change = mean - self.mean
        self.mean = self.mean + change * (n / total)
        self._m2 = self._m2 + m2 + xp.abs(change) ** 2 * (self.count * n / total)
        self.count = total

    @property
    def std(self) -> Any:
        """Standard deviation, unbiased variance.

        Raises:
            ValueError: for fewer than two samples.
        """
        if self.count < 2:
            raise ValueError(
                f"a standard deviation needs at least 2 samples, got {self.count}."
            )
        assert self._m2 is not None
        return (self._m2 / (self.count - 1)) ** 0.5

    def state(self) -> Any:
        """What :meth:`restore` needs, as arrays."""
        return {"count": self.count, "mean": self.mean, "m2": self._m2}

    def restore(self, state: Any) -> None:
        """Go on from a :meth:`state`."""
        self.count, self.mean = int(state["count"]), state["mean"]
        self._m2 = state["m2"]


def _part(x, part):
    return _PARTS[check_choice("part", part, _PARTS)](x)


def interval(
    samples: Array, level: float = 0.9, part: str = "magnitude"
) -> tuple[Array, ...]:
    """Pointwise equal-tailed credible interval.

    The quantiles are those that cover a further sample with the probability
    ``level``, at rank p (S + 1); where S samples are too few for that, below
    (1 + level) / (1 - level), it is their range.

    Args:
        samples (array): shape (S, ...), S >= 2.
        level (float): between 0 and 1.
        part (str): "magnitude", "real" or "imag".

    Returns:
        tuple of array: lower and upper ends, real, shape (...).

    Raises:
        ValueError: for a level out of range, or fewer than two samples.
    """
    if not 0 < check_number("level", level) < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}.")
    if getattr(samples, "ndim", 0) < 1:
        raise ValueError(f"samples: expected an array (S, ...), got {samples!r}.")
    if len(samples) < 2:
        raise ValueError(f"an interval needs at least 2 samples, got {len(samples)}.")
    check_values("samples", samples)
    xp = sp.get_array_module(samples)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = xp.quantile(
        _part(samples, part), xp.asarray(tails), axis=0, method="weibull"
    )
    return low, high


def hallucination_map(
    samples: Array, image: Array, level: float = 0.9, part: str = "magnitude"
) -> Array:
    """Where an image leaves the credible interval, and by how much.

    Args:
        samples (array): posterior samples (S, H, W).
        image (array): a reconstruction or reference (H, W), in their units.
        level (float): of the interval.
        part (str): "magnitude", "real" or "imag".

    Returns:
        array: 0 inside, positive above and negative below the interval, in
        the units of the image.

    Raises:
        ValueError: if the shapes differ.

    References:
        Luo, G., et al. (2023). Bayesian MRI reconstruction with joint
        uncertainty estimation using diffusion models. MRM, 90(1).
    """
    if image.shape != samples.shape[1:]:
        raise ValueError(
            f"image: expected shape {samples.shape[1:]}, got {image.shape}."
        )
    low, high = interval(samples, level, part)
    value = _part(image, part)
    return (value - high).clip(0, None) - (low - value).clip(0, None)


def _chains(chains):
    chains = np.asarray(chains)
    if chains.ndim < 2 or chains.shape[1] < 4:
        raise ValueError(
            f"chains: expected shape (chains, draws >= 4, ...), got {chains.shape}."
        )
    if np.iscomplexobj(chains):
        raise ValueError("chains: expected real numbers; give the magnitude.")
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, -half:]])


def _where_finite(halves, value):
    """NaN where draws are not finite: nothing can be said about them."""
    return np.where(np.isfinite(halves).all(axis=(0, 1)), value, np.nan)


def split_rhat(chains: Array) -> Array:
    r"""Split :math:`\hat R`: 1 where the halves of all chains agree.

    Args:
        chains (array): real, shape (chains, draws, ...).

    Returns:
        array: shape (...); NaN where draws are not finite.

    References:
        Gelman, A., et al. (2013). Bayesian data analysis. Section 11.4.
    """
    halves = _chains(chains)
    n = halves.shape[1]
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = halves.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rhat = np.sqrt((n - 1) / n + between / within)
    # Constant pixels: the same everywhere, or stuck at different values.
    rhat = np.where(within > 0, rhat, np.where(between > 0, np.inf, 1.0))
    return _where_finite(halves, rhat)


def effective_sample_size(chains: Array) -> Array:
    """Number of independent draws with the same error of the mean.

    Autocorrelations are summed up to the first negative pair (Geyer).

    Args:
        chains (array): real, shape (chains, draws, ...).

    Returns:
        array: shape (...); NaN where draws are not finite.

    References:
        Gelman, A., et al. (2013). Bayesian data analysis. Section 11.5.
    """
    halves = _chains(chains).astype(np.float64)
    m, n = halves.shape[:2]
    centred = halves - halves.mean(axis=1, keepdims=True)
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    pooled = (n - 1) / n * within + halves.mean(axis=1).var(axis=0, ddof=1)
    safe = np.where(pooled > 0, pooled, 1)
    total, open_ = np.ones(pooled.shape), np.ones(pooled.shape, bool)

    def rho(t):
        cov = (centred[:, : n - t] * centred[:, t:]).sum(axis=1).mean(axis=0) / n
        return 1 - (within - cov) / safe

    for t in range(1, n - 1, 2):
        pair = rho(t) + rho(t + 1)
        open_ &= pair > 0
        if not open_.any():
            break
        total += np.where(open_, 2 * pair, 0)
    size = np.where(pooled > 0, np.minimum(m * n / total, m * n), m * n)
    return _where_finite(halves, size)


def diagnostics(samples: Array, chains: int = 2) -> dict[str, Array]:
    """Split R-hat and effective sample size of the magnitude.

    Samples that were drawn independently are told trouble by these, not length:
    R-hat is near 1, up to the scatter of few samples.

    Args:
        samples (array): (S, H, W).
        chains (int): groups that the samples are divided into.

    Returns:
        dict: "rhat" and "ess", arrays (H, W).
    """
    x = np.abs(sp.to_device(samples, sp.cpu_device))
    x = x[: len(x) // chains * chains].reshape((chains, -1) + x.shape[1:])
    return {"rhat": split_rhat(x), "ess": effective_sample_size(x)}
