"""Lifts z = W x: adjoint, left inverse, tight where they say so."""

import numpy as np
import pytest
import sigpy as sp

from sigpy_priors import linop
from sigpy_priors.linop.frame import frame_bound, mean_square, pseudo_inverse
from sigpy_priors.testing import check_linop

SHAPE = (12, 10)


def maps(rng):
    mps = rng.standard_normal((3, *SHAPE)) + 1j * rng.standard_normal((3, *SHAPE))
    mps[:, :2] = 0
    return mps


# Operator, its frame bound, and whether it keeps all of the image.
LIFTS = {
    "ramp": (lambda rng: linop.KspaceRamp(SHAPE), None, True),
    "ramp, odd": (lambda rng: linop.KspaceRamp((9, 7), 0.5), None, True),
    "ramp to k-space": (
        lambda rng: sp.linop.FFT(SHAPE) * linop.KspaceRamp(SHAPE), None, True,
    ),
    "band": (lambda rng: linop.Band(SHAPE, 2, 4), 1, False),
    "high band": (lambda rng: linop.Band(SHAPE, 3), 1, False),
    "all bands": (lambda rng: linop.Band(SHAPE), 1, True),
    "haar": (lambda rng: linop.UndecimatedWavelet(SHAPE), 1, True),
    "db4": (lambda rng: linop.UndecimatedWavelet((11, 9), "db4", 2), 1, True),
    "copies": (lambda rng: linop.Copies(SHAPE, 3), 3, True),
    "coils": (lambda rng: linop.Coils(maps(rng)), 1, False),
    "partition": (lambda rng: linop.Patches((12, 8), 4, shift=(1, 3)), 1, True),
    "overlapping": (lambda rng: linop.Patches((12, 8), 4, 2, (1, 3)), 4, True),
    "uneven patches": (lambda rng: linop.Patches(SHAPE, 5, 3), None, True),
    "Hankel": (lambda rng: linop.Hankel((2, *SHAPE), 3), None, True),
    "FFT": (lambda rng: sp.linop.FFT(SHAPE), 1, True),
    "scaled FFT": (lambda rng: 2 * sp.linop.FFT(SHAPE), 4, True),
}  # fmt: skip


@pytest.fixture(params=LIFTS)
def lift(request, rng):
    make, bound, whole = LIFTS[request.param]
    return make(rng), bound, whole


def random(rng, shape, dtype=np.complex128):
    z = rng.standard_normal((2, *shape))
    return (z[0] + 1j * z[1]).astype(dtype)


def test_adjoint_and_normal(lift):
    check_linop(lift[0])
    check_linop(pseudo_inverse(lift[0]))


def test_the_pseudo_inverse_is_one(lift, rng):
    W, _, whole = lift
    inverse = pseudo_inverse(W)
    x = random(rng, W.ishape)
    back = inverse(W(x))
    if whole:
        np.testing.assert_allclose(back, x, atol=1e-10)
    # Moore and Penrose: the image of x, and an orthogonal projection.
    np.testing.assert_allclose(W(back), W(x), atol=1e-10)
    np.testing.assert_allclose(inverse(W(back)), back, atol=1e-10)
    other = random(rng, W.ishape)
    np.testing.assert_allclose(np.vdot(other, back), np.vdot(inverse(W(other)), x))


def test_tight_frames_are_noticed(lift):
    W, bound, _ = lift
    found = frame_bound(W)
    assert (found is None) == (bound is None)
    if bound is not None:
        assert found == pytest.approx(bound)
        assert mean_square(W) == pytest.approx(bound)


def test_precision_is_kept(lift, rng):
    W = lift[0]
    if isinstance(W, linop.Coils):  # which are of the precision of the maps
        W = linop.Coils(maps(rng).astype(np.complex64))
    x = random(rng, W.ishape, np.complex64)
    for V in (W, W.H * W, W.N, pseudo_inverse(W) * W):
        assert V(x).dtype == np.complex64


def test_a_ramp_is_proportional_to_the_frequency(rng):
    W = linop.KspaceRamp((16, 16))
    k = sp.fft(W(sp.ifft(np.ones((16, 16), complex))))
    assert k[8, 12].real / k[8, 10].real == pytest.approx(2)
    assert k[8, 8] == pytest.approx(k[8, 9])  # the mean, which has an inverse
    assert np.mean(np.abs(k) ** 2) == pytest.approx(1)


def test_bands_add_up(rng):
    x = random(rng, SHAPE)
    edges = [0, 2, 4, None]
    parts = [linop.Band(SHAPE, a, b)(x) for a, b in zip(edges, edges[1:])]
    np.testing.assert_allclose(sum(parts), x, atol=1e-12)


def test_subbands_of_a_constant_are_the_coarse_one():
    z = linop.UndecimatedWavelet(SHAPE, "db2", 2)(np.ones(SHAPE, complex))
    np.testing.assert_allclose(z[0], 1, atol=1e-12)
    np.testing.assert_allclose(z[1:], 0, atol=1e-12)


def test_subbands_shift_with_the_image(rng):
    W, x = linop.UndecimatedWavelet(SHAPE, "db2", 2), random(rng, SHAPE)
    np.testing.assert_allclose(W(np.roll(x, 3, 0)), np.roll(W(x), 3, 1), atol=1e-12)


def test_patches_are_pieces_of_the_image(rng):
    x = random(rng, (12, 8))
    z = linop.Patches((12, 8), 4, shift=(1, 3))(x)
    np.testing.assert_array_equal(z[0], x[1:5, 3:7])
    np.testing.assert_array_equal(z[-1], np.roll(x, (-1, -3), (0, 1))[8:, 4:])


def test_a_wave_has_a_hankel_matrix_of_rank_one():
    v, u = np.mgrid[:12, :10]
    z = linop.Hankel((12, 10), 3)(np.exp(1j * (0.4 * v - 0.9 * u)))
    assert z.shape == (80, 9)
    assert np.linalg.matrix_rank(z, tol=1e-8) == 1


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: linop.Band(SHAPE, 30), "no frequency of"),
        (lambda: linop.UndecimatedWavelet(SHAPE, "bior2.2"), "not orthonormal"),
        (lambda: linop.UndecimatedWavelet((3, *SHAPE)), r"expected an image \(H, W\)"),
        (lambda: linop.Patches(SHAPE, 20), "size must be"),
        (lambda: linop.KspaceWeights(SHAPE, np.ones(3)), r"expected \(12, 10\)"),
        (
            lambda: pseudo_inverse(sp.linop.FiniteDifference(SHAPE)),
            "no tight frame",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
