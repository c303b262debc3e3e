"""Operators on batches: what they give together is what they give one by one."""

import numpy as np
import pytest
import sigpy as sp

from sigpy_priors.linop import HalvingSense, SenseNormal
from sigpy_priors.linop.batch import _together, each, many


def _complex(rng, *shape):
    out = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return out.astype(np.complex64)


def _close(a, b):
    assert a.shape == b.shape and a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def mps(rng):
    return _complex(rng, 3, 12, 10)


def _weights(rng, kind):
    return {
        "none": None,
        "number": 0.5,
        "readout": (rng.random((12, 1)) > 0.5).astype(np.float32),
        "mask": (rng.random((12, 10)) > 0.5).astype(np.float32),
        "of each coil": rng.random((3, 12, 10)).astype(np.float32),
    }[kind]


@pytest.mark.parametrize("size", [None, 2])
@pytest.mark.parametrize("kind", ["none", "number", "readout", "mask", "of each coil"])
def test_sense(rng, mps, kind, size):
    weights = _weights(rng, kind)
    A = HalvingSense(mps, weights, size)
    N = SenseNormal(mps, weights, size)
    x, u = _complex(rng, 4, 12, 10), _complex(rng, 4, 3, 12, 10)
    for op, v in ((A, x), (A.H, u), (A.N, x), (N, x), (0.3 * N + 2 * A.N, x)):
        _close(_together(op, v), each(op, v))
        _close(_together(op, v[:1]), each(op, v[:1]))


def test_in_three_dimensions(rng):
    mps = _complex(rng, 2, 4, 6, 8)
    x = _complex(rng, 3, 4, 6, 8)
    for op in (HalvingSense(mps), SenseNormal(mps)):
        _close(_together(op, x), each(op, x))


def test_coils_of_other_processes_are_summed(rng, mps):
    class Twice:  # two processes with the same coils
        def allreduce(self, x):
            x *= 2

    x, u = _complex(rng, 4, 12, 10), _complex(rng, 4, 3, 12, 10)
    A, N = HalvingSense(mps, comm=Twice()), SenseNormal(mps, comm=Twice())
    _close(_together(N, x), each(N, x))
    _close(_together(A.H, u), each(A.H, u))
    _close(_together(A, x), each(A, x))


def test_samples_off_a_grid_go_one_by_one(rng, mps):
    coord = rng.uniform(-4, 4, (20, 2)).astype(np.float32)
    A = HalvingSense(mps, coord=coord)
    x, u = _complex(rng, 2, 12, 10), _complex(rng, 2, 3, 20)
    for op, v in ((A, x), (A.H, u), (A.N, x)):
        _close(_together(op, v), each(op, v))


@pytest.mark.parametrize(
    "mult",
    [2.0, 1j, np.float64(3), "column", "coils"],
    ids=lambda m: str(m),
)
def test_products(rng, mps, mult):
    factor = {"column": mps[0, :, :1], "coils": mps}.get(mult, mult)
    op = sp.linop.Multiply((12, 10), factor)
    x = _complex(rng, 4, 12, 10)
    _close(_together(op, x), each(op, x).astype(x.dtype))
    u = _complex(rng, 4, *op.oshape)
    _close(_together(op.H, u), each(op.H, u).astype(x.dtype))
    identity = sp.linop.Identity((12, 10))
    _close(_together(identity + op.H * op, x), each(identity + op.H * op, x))


def test_memory_that_runs_out_halves_the_coils(rng, mps, monkeypatch):
    A, x = HalvingSense(mps), _complex(rng, 4, 12, 10)
    expected = each(A, x)
    real = sp.fft

    def small(v, **options):
        if v.shape[1] > 1:
            raise MemoryError
        return real(v, **options)

    monkeypatch.setattr(sp, "fft", small)
    _close(_together(A, x), expected)
    assert A.batch == 1


def test_a_cpu_goes_one_by_one(rng, mps):
    op = SenseNormal(mps)
    op.many = None  # would raise
    x = _complex(rng, 2, 12, 10)
    _close(many(op, x), each(op, x))
