r"""Are the intervals right? Coverage, conformal correction and TARP.

Coverage of a level is the share of pixels of references, drawn from the
same population as the data, that lie in the credible interval of that level.

References:
    Angelopoulos, A. N., et al. (2022). Image-to-image regression with
    distribution-free uncertainty quantification and applications in imaging.
    ICML. (Calibrated heuristic intervals.)

    Lemos, P., Coogan, A., Hezaveh, Y., & Perreault-Levasseur, L. (2023).
    Sampling-based accuracy testing of posterior estimators for general
    inference. ICML. (TARP.)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_finite, check_number
from sigpy_priors.posterior.statistics import interval

__all__ = ["coverage", "coverage_curve", "ConformalInterval", "tarp"]


def coverage(
    samples: Array,
    reference: Array,
    level: float = 0.9,
    mask: Array | None = None,
    part: str = "magnitude",
) -> float:
    """Share of the reference's pixels inside the credible interval.

    Args:
        samples (array): shape (S, ...).
        reference (array): shape (...).
        level (float): of the interval.
        mask (array or None): pixels that count; default all.
        part (str): "magnitude", "real" or "imag".

    Returns:
        float: between 0 and 1.

    Raises:
        ValueError: if something is not finite or does not fit the rest.
    """
    low, high = interval(samples, level, part)
    _check_pair(samples, reference, mask)
    value = {"magnitude": np.abs, "real": np.real, "imag": np.imag}[part](reference)
    inside = (low <= value) & (value <= high)
    return float(inside.mean() if mask is None else inside[mask].mean())


def coverage_curve(
    samples: Any,
    references: Any,
    levels: Any = None,
    masks: Any = None,
    part: str = "magnitude",
) -> tuple[Array, ...]:
    """Coverage over levels, pooled over images.

    Args:
        samples (sequence of array): samples (S, H, W) of every image.
        references (sequence of array): the images (H, W).
        levels (sequence of float or None): default 0.1 to 0.9.
        masks (sequence of array or None): pixels that count.
        part (str): "magnitude", "real" or "imag".

    Returns:
        tuple of array: levels and coverages.
    """
    levels = np.linspace(0.1, 0.9, 9) if levels is None else np.asarray(levels)
    if len(samples) != len(references) or not len(samples):
        raise ValueError(
            f"expected as many references as sets of samples and at least one, "
            f"got {len(references)} and {len(samples)}."
        )
    masks = [np.ones(r.shape, bool) for r in references] if masks is None else masks
    sizes = np.array([m.sum() for m in masks])
    found = [
        [coverage(s, r, p, m, part) for s, r, m in zip(samples, references, masks)]
        for p in levels
    ]
    return levels, np.asarray(found) @ sizes / sizes.sum()


def _check_pair(samples: Array, reference: Array, mask: Array | None) -> None:
    """A reference, and pixels that count, for samples."""
    shape = np.shape(samples)[1:]
    if np.shape(reference) != shape:
        raise ValueError(
            f"reference: expected shape {shape} as the samples, got "
            f"{np.shape(reference)}."
        )
    check_finite("samples", samples)
    check_finite("reference", reference)
    if mask is not None and (np.shape(mask) != shape or not np.any(mask)):
        raise ValueError(
            f"mask: expected shape {shape} with pixels in it, got {np.shape(mask)} with "
            f"{int(np.sum(mask))}."
        )


class ConformalInterval:
    """Credible intervals, widened so that they cover as they say.

    Both ends move away from (or to) the middle of the interval by one factor
    of its half-width: the smallest one with which the share ``level`` of
    each calibration image's pixels is covered with a probability of at least
    ``1 - risk`` on a further image, if images are exchangeable. Without
    ``risk`` the share is right on average over images.

    Args:
        level (float): share of the pixels to cover.
        part (str): "magnitude", "real" or "imag".

    Attributes:
        factor (float or None): known after :meth:`fit`.
    """

    def __init__(self, level: float = 0.9, part: str = "magnitude") -> None:
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, got {level}.")
        self.level, self.part, self.factor = level, part, None

    def _parts(self, samples):
        low, high = interval(samples, self.level, self.part)
        return (low + high) / 2, np.maximum((high - low) / 2, 1e-12)

    def fit(
        self,
        samples: Any,
        references: Any,
        masks: Any = None,
        risk: float | None = None,
    ) -> Any:
        """Find the factor on a calibration set.

        Args:
            samples (sequence of array): samples (S, H, W) of every image.
            references (sequence of array): the images (H, W).
            masks (sequence of array or None): pixels that count.
            risk (float or None): allowed share of images with less than
                ``level`` covered; None for right on average.

        Returns:
            ConformalInterval: itself.

        Raises:
            ValueError: if there are too few images for ``risk``, or something is not
                finite or does not fit the rest.
        """
        value = {"magnitude": np.abs, "real": np.real, "imag": np.imag}[self.part]
        masks = [None] * len(references) if masks is None else masks
        if not len(samples) == len(references) == len(masks):
            raise ValueError(
                f"expected as many samples as references and masks, got {len(samples)}, "
                f"{len(references)} and {len(masks)}."
            )
        if risk is not None and not 0 < check_number("risk", risk) < 1:
            raise ValueError(f"risk must be between 0 and 1, got {risk}.")
        scores = []
        for i, (s, r) in enumerate(zip(samples, references)):
            _check_pair(s, r, masks[i])
            middle, half = self._parts(s)
            score = np.abs(value(r) - middle) / half
            scores.append(score.ravel() if masks[i] is None else score[masks[i]])
        if not scores:
            raise ValueError("expected at least one calibration image, got none.")
        if risk is None:
            pooled = np.concatenate(scores)
            rank = min(math.ceil((len(pooled) + 1) * self.level), len(pooled))
            self.factor = float(np.sort(pooled)[rank - 1])
            return self
        needed = np.sort([np.quantile(s, self.level) for s in scores])
        rank = math.ceil((len(needed) + 1) * (1 - risk))
        if rank > len(needed):
            raise ValueError(
                f"a risk of {risk:g} needs at least {math.ceil(1 / risk) - 1} "
                f"calibration images, got {len(needed)}."
            )
        self.factor = float(needed[rank - 1])
        return self

    def __call__(self, samples: Array) -> tuple[Array, ...]:
        """The corrected interval.

        Args:
            samples (array): shape (S, H, W).

        Returns:
            tuple of array: lower and upper ends.

        Raises:
            ValueError: before :meth:`fit`.
        """
        if self.factor is None:
            raise ValueError("not fitted yet: call fit with a calibration set.")
        middle, half = self._parts(samples)
        return middle - self.factor * half, middle + self.factor * half


def tarp(
    samples: Array, references: Array, seed: int = 0, levels: Array | None = None
) -> tuple[Array, ...]:
    """Test of accuracy with random points: coverage of credible balls.

    A posterior is right if and only if the share of its samples that are
    nearer to a random point than the truth is uniform.

    Args:
        samples (array): shape (problems, S, ...).
        references (array): the truths, shape (problems, ...).
        seed (int): of the random points.
        levels (array or None): default 0 to 1 in steps of 0.05.

    Returns:
        tuple of array: levels and expected coverage, equal if calibrated.
    """
    samples, references = np.asarray(samples), np.asarray(references)
    if samples.shape[:1] + samples.shape[2:] != references.shape:
        raise ValueError(
            f"expected samples (problems, S, ...) of references (problems, ...), "
            f"got {samples.shape} and {references.shape}."
        )
    rng = np.random.default_rng(seed)
    # Another problem's truth: a point where posteriors may be.
    points = references[
        (
            np.arange(len(references))
            + rng.integers(1, max(len(references), 2), len(references))
        )
        % len(references)
    ]
    axes = tuple(range(2, samples.ndim))
    to_samples = (np.abs(samples - points[:, None]) ** 2).sum(axis=axes)
    to_truth = (np.abs(references - points) ** 2).sum(
        axis=tuple(range(1, references.ndim))
    )
    share = (to_samples < to_truth[:, None]).mean(axis=1)
    levels = np.linspace(0, 1, 21) if levels is None else np.asarray(levels)
    return levels, np.array([(share <= p).mean() for p in levels])
