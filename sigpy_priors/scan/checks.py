"""What every app asks of its input: one clear error for each misfit."""

import sigpy as sp

__all__ = ["check_finite", "check_data"]


def check_finite(name, v):
    """Raise a ValueError that counts the NaN and infinite values of an array."""
    bad = v.size - int(sp.get_array_module(v).isfinite(v).sum())
    if bad:
        raise ValueError(f"{name}: {bad} of {v.size} values are NaN or infinite.")


def check_data(y, mps, coord=None):
    """Check that k-space, maps and trajectory are sound and fit each other.

    Args:
        y (array): k-space (coils, ...).
        mps (array): sensitivity maps (coils, H, W) or (coils, D, H, W).
        coord (array or None): trajectory (..., ndim).

    Raises:
        ValueError: on NaN or infinite values, real arrays, maps that are all
            zero, or shapes that do not fit.
    """
    for name, v in (("y", y), ("mps", mps)):
        if not isinstance(v, sp.get_array_module(v).ndarray):
            raise ValueError(
                f"{name}: expected a numpy or cupy array, got {type(v).__module__}."
                f"{type(v).__name__}; convert it, as for SigPy's own apps."
            )
        if not sp.get_array_module(v).iscomplexobj(v):
            raise ValueError(f"{name}: expected a complex array, got {v.dtype}.")
        check_finite(name, v)
    if mps.ndim < 3:
        raise ValueError(f"mps: expected shape (coils, H, W), got {mps.shape}.")
    if not sp.get_array_module(mps).any(mps):
        raise ValueError("mps: all values are zero, nothing to reconstruct.")
    if coord is None:
        if y.shape != mps.shape:
            raise ValueError(
                f"y and mps must have the same shape (coils, H, W), "
                f"got {y.shape} and {mps.shape}."
            )
        return
    if coord.shape[-1] != mps.ndim - 1:
        raise ValueError(
            f"coord: expected {mps.ndim - 1} coordinates per sample, "
            f"got shape {coord.shape}."
        )
    expected = mps.shape[:1] + coord.shape[:-1]
    if y.shape != expected:
        raise ValueError(
            f"y must have shape (coils, samples...) = {expected}, got {y.shape}."
        )
