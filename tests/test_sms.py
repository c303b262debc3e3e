"""Slices excited together: their operator, and what it is in its limits."""

import numpy as np
import pytest
import sigpy as sp
from sigpy.mri.linop import Sense

from sigpy_priors.linop import Sms
from sigpy_priors.testing import check_linop

SHAPE = (3, 4, 8, 10)  # slices, coils, H, W


def masks(rng):
    lines = np.zeros((SHAPE[-2], 1), np.float32)
    lines[1::2] = 1
    lines[6:] = 0  # partial Fourier
    return {
        "everywhere": None,
        "lines": lines,
        "points": (rng.random(SHAPE[-2:]) < 0.5).astype(np.float32),
        "per coil": rng.random(SHAPE[1:]).astype(np.float32),
        "complex": (rng.random(SHAPE[-2:]) * np.exp(1j)).astype(np.complex64),
        "along W": lines[:10, 0].repeat(2)[:10],
    }


def maps(rng, shape=SHAPE, dtype=np.complex64):
    z = rng.standard_normal((2, *shape))
    return (z[0] + 1j * z[1]).astype(dtype)


def written_out(mps, phases, mask, axis):
    """The sum over slices as its formula says, with SigPy's own operator."""

    def apply(x):
        out = 0
        for s in range(len(mps)):
            phase = phases[s][:, None] if axis == -2 else phases[s]
            out = out + np.exp(2j * np.pi * phase) * (Sense(mps[s]) * x[s])
        return out if mask is None else mask * out

    return apply


@pytest.mark.parametrize("kind", masks(np.random.default_rng(0)))
@pytest.mark.parametrize("axis", [-2, -1])
def test_is_the_sum_of_phased_slices(rng, kind, axis):
    mask, mps = masks(rng)[kind], maps(rng)
    shifts = np.array([0, 1 / 6, -0.4])
    A = Sms(mps, shifts, mask, axis)
    check_linop(A)
    n = SHAPE[axis]
    phases = shifts[:, None] * (np.arange(n) - n // 2)
    x = maps(rng, A.ishape)
    np.testing.assert_allclose(A(x), written_out(mps, phases, mask, axis)(x), atol=1e-5)
    assert A(x).dtype == A.H(A(x)).dtype == A.N(x).dtype == np.complex64


def test_odd_sizes_and_blips_that_are_no_ramp(rng):
    mps = maps(rng, (2, 3, 7, 5), np.complex128)
    phases = rng.integers(0, 3, (2, 7)) / 3
    A = Sms(mps, phases)
    check_linop(A, dtype=np.complex128, tol=1e-12)
    x = maps(rng, A.ishape, np.complex128)
    np.testing.assert_allclose(A(x), written_out(mps, phases, None, -2)(x), atol=1e-12)


def test_one_slice_is_sense(rng):
    mps, mask = maps(rng)[:1], masks(rng)["points"]
    A = Sms(mps, [0.0], mask)
    S = Sense(mps[0], weights=mask)
    x, y = maps(rng, A.ishape), maps(rng, A.oshape)
    np.testing.assert_allclose(A(x), S(x[0]), atol=1e-5)
    np.testing.assert_allclose(A.H(y)[0], S.H(y), atol=1e-5)
    np.testing.assert_allclose(A.N(x)[0], S.N(x[0]), atol=1e-5)


def test_a_shift_moves_a_slice(rng):
    """Half a field of view with maps of one: the image is rolled by half its lines."""
    ones = np.ones((2, 1, 8, 6), np.complex128)
    x = maps(rng, (2, 8, 6), np.complex128)
    image = sp.ifft(Sms(ones, [0, 0.25])(x)[0], axes=(-2, -1))
    np.testing.assert_allclose(image, x[0] + np.roll(x[1], -2, axis=0), atol=1e-12)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"mps": np.ones((4, 8, 10), complex)}, r"mps\[None\]"),
        ({"shifts": [0, 0.5]}, r"3 slices of mps.*got shape \(2,\)"),
        ({"shifts": [0, 0.5, np.nan]}, "shifts: some are NaN"),
        ({"shifts": ["a", 0, 1]}, "shifts: expected real numbers"),
        ({"shifts": [0, 1j, 0]}, "shifts: expected real numbers"),
        ({"mask": np.ones(8)}, r"mask: .*mask\[:, None\]"),
        ({"axis": 0}, "axis: expected -2 or -1"),
    ],
)
def test_misfits_are_named(rng, arguments, message):
    given = {"mps": maps(rng), "shifts": [0, 0.25, 0.5], **arguments}
    with pytest.raises(ValueError, match=message):
        Sms(**given)
