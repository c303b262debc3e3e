"""HalvingSense is SigPy's Sense, and SenseNormal its normal operator, only faster."""

import numpy as np
import pytest
import sigpy as sp
from sigpy.mri.linop import Sense

from sigpy_priors.linop import HalvingSense, SenseNormal
from sigpy_priors.testing import ContractError, check_linop


@pytest.mark.parametrize("shape", [(5, 8, 8), (4, 7, 10), (3, 4, 6, 5)])
@pytest.mark.parametrize("kind", ["none", "mask", "per coil", "scalar"])
@pytest.mark.parametrize("batch", [None, 2])
def test_equals_sense_normal(shape, kind, batch, rng):
    mps = sp.randn(shape, dtype=np.complex64)
    weights = {
        "none": None,
        "mask": (rng.random(shape[1:]) < 0.4).astype(np.float32),
        "per coil": rng.random(shape).astype(np.float32),
        "scalar": 0.5,
    }[kind]
    N = SenseNormal(mps, weights, coil_batch_size=batch)
    w = np.float32(weights) if kind == "scalar" else weights
    expected = Sense(mps, weights=w).N
    x = sp.randn(shape[1:], dtype=np.complex64)
    np.testing.assert_allclose(N(x), expected(x), rtol=1e-4, atol=1e-4)
    assert N(x).dtype == np.complex64
    check_linop(N)


def test_sums_over_processes():
    class Twice:  # two processes with the same coils
        def allreduce(self, x):
            x *= 2

    mps = sp.randn((3, 6, 5), dtype=np.complex64)
    x = sp.randn((6, 5), dtype=np.complex64)
    np.testing.assert_allclose(
        SenseNormal(mps, comm=Twice())(x), 2 * SenseNormal(mps)(x), rtol=1e-6
    )


@pytest.mark.parametrize("linop", [HalvingSense, SenseNormal])
def test_bad_batch_size(linop):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        linop(np.ones((2, 4, 4), np.complex64), coil_batch_size=0)


@pytest.mark.parametrize("batch", [1, 2, 5, 9])
@pytest.mark.parametrize(
    "weights, samples",
    [
        ((5, 8, 6), None),
        ((20,), (20,)),
        ((5, 20), (20,)),
        ((5, 2, 2), (5, 2, 2)),
        ((), (9,)),
    ],
)
def test_coils_in_batches_are_the_same_operator(batch, weights, samples, rng):
    mps = sp.randn((5, 8, 6), dtype=np.complex128)
    options = {"weights": rng.random(weights) if weights else 0.5}
    if samples:
        options["coord"] = rng.uniform(-3, 3, samples + (2,))
    A = HalvingSense(mps, coil_batch_size=batch, **options)
    check_linop(A)
    x = sp.randn((8, 6), dtype=np.complex128)
    np.testing.assert_allclose(A(x), Sense(mps, **options)(x), atol=1e-10)


def test_the_check_finds_a_wrong_adjoint():
    class Wrong(sp.linop.Linop):
        def _apply(self, x):
            return 1j * x

        def _adjoint_linop(self):
            return self

    with pytest.raises(ContractError, match="adjoint differs"):
        check_linop(Wrong((4, 4), (4, 4)))
