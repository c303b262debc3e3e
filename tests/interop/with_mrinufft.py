"""Run by the Python that has mri-nufft."""

import no_torchvision  # noqa: F401  isort: skip
import mrinufft
import numpy as np
import sigpy as sp
from common import N, gaussian, run_all, scan

import sigpy_priors as spp
from sigpy_priors.testing import check_linop


def radial(spokes=24):
    samples = mrinufft.initialize_2D_radial(spokes, 2 * N)
    return samples.astype(np.float32)


def operator(**options):
    return mrinufft.get_operator("finufft")(radial(), (N, N), **options)


def check_with_and_without_maps():
    mps = scan()[1]
    A = spp.interop.mrinufft.linop(operator(n_coils=3, smaps=mps))
    assert (A.ishape, A.oshape) == ([N, N], [3, 24 * 2 * N])
    check_linop(A, tol=1e-3)
    B = spp.interop.mrinufft.linop(operator(n_coils=3))
    assert (B.ishape, B.oshape) == ([3, N, N], [3, 24 * 2 * N])
    check_linop(B, tol=1e-3)
    x = gaussian().sample(1, seed=1)[0].astype(np.complex64)
    np.testing.assert_allclose(A(x), B(mps * x), atol=1e-3)
    assert A(x.astype(np.complex128)).shape == (3, 24 * 2 * N)


def check_it_is_sigpys_nufft():
    """Up to the convention of coordinates: mri-nufft has them within (-0.5, 0.5)."""
    A = spp.interop.mrinufft.linop(operator(n_coils=1))
    coord = radial().reshape(-1, 2) * N
    B = sp.linop.NUFFT((1, N, N), coord, oversamp=2, width=6)
    x = gaussian().sample(1, seed=1).astype(np.complex64)
    a, b = A(x).ravel(), B(x).ravel()
    scale = np.vdot(b, a) / np.vdot(b, b)
    error = np.linalg.norm(a - scale * b) / np.linalg.norm(a)
    assert error < 0.02, error


def check_a_reconstruction():
    mps = scan()[1]
    A = spp.interop.mrinufft.linop(operator(n_coils=3, smaps=mps))
    truth = gaussian().sample(1, seed=1)[0].astype(np.complex64)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(*A.oshape, 2)).view(complex)[..., 0] / 2**0.5
    y = (A(truth) + 0.02 * noise).astype(np.complex64)
    # The same operator as a matrix of SigPy's own: the image is the same.
    units = np.eye(N * N, dtype=np.complex64).reshape(-1, N, N)
    matrix = np.stack([A(unit).ravel() for unit in units], axis=1)
    flat, out = sp.linop.Reshape((N * N, 1), (N, N)), (matrix.shape[0], 1)
    B = sp.linop.MatMul((N * N, 1), matrix) * flat
    B = sp.linop.Reshape(A.oshape, out) * B
    images = [
        spp.app.PriorRecon.from_linop(op, y, gaussian(), 0.02, show_pbar=False).run()
        for op in (A, B)
    ]
    error = np.linalg.norm(images[0] - images[1]) / np.linalg.norm(images[1])
    assert error < 0.01, error
    assert np.linalg.norm(images[0] - truth) < 0.3 * np.linalg.norm(truth)


def check_what_has_no_adjoint_is_refused():
    for bad, text in (
        (operator(n_coils=1, density=True), "density compensation"),
        (operator(n_coils=1, n_batchs=2), "2 batches"),
    ):
        try:
            spp.interop.mrinufft.linop(bad)
        except ValueError as e:
            assert text in str(e)
        else:
            raise AssertionError("taken")


if __name__ == "__main__":
    run_all(globals())
