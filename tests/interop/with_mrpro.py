"""Run by the Python that has MRpro."""

import no_torchvision  # noqa: F401  isort: skip
import mrpro
import numpy as np
import torch
from common import N, exact, gaussian, run_all, scan

import sigpy_priors as spp


def check_the_prox_is_ours():
    prior = gaussian()
    f = spp.interop.mrpro.functional(prior, lamda=0.3, scale=2.0)
    assert isinstance(f, mrpro.operators.ProximableFunctional)
    x = torch.randn(2, 3, N, N, dtype=torch.complex64)
    (got,) = f.prox(x, 0.4)
    prox = spp.prox.DenoiserReg(x.shape, prior, 0.3, 2.0)
    np.testing.assert_allclose(got.numpy(), prox(0.4, x.numpy()), atol=1e-5)


def check_the_prox_minimises_the_value():
    f = spp.interop.mrpro.functional(gaussian(), lamda=0.3, scale=2.0)
    x = torch.randn(N, N, dtype=torch.complex128)
    (p,) = f.prox(x, 0.4)

    def objective(v):
        return 0.4 * f(v)[0] + 0.5 * (v - x).abs().square().sum()

    for _ in range(20):
        assert objective(p) < objective(p + 0.01 * torch.randn_like(p))
    # Of the conjugate by Moreau's identity, which is MRpro's.
    (q,) = f.prox_convex_conj(x, 0.5)
    (p,) = f.prox(x / 0.5, 1 / 0.5)
    torch.testing.assert_close(q, x - 0.5 * p)


def check_pdhg_of_mrpro_finds_the_exact_image():
    prior = gaussian()
    y, _, mask, sigma = scan(coils=1)
    data = torch.from_numpy(y[0])
    fft = mrpro.operators.FastFourierOp(dim=(-2, -1))
    A = mrpro.operators.LinearOperatorMatrix(
        (
            (
                mrpro.operators.EinsumOp(
                    torch.from_numpy(mask).to(torch.complex64), "h w, h w -> h w"
                )
                @ fft,
            ),
        )
    )
    # MRpro's data term is |A x - y|^2, so that the weight is sigma^2.
    f = mrpro.operators.functionals.L2NormSquared(target=data)
    g = spp.interop.mrpro.functional(prior, lamda=sigma**2)
    (x,) = mrpro.algorithms.optimizers.pdhg(
        f=f, g=g, operator=A, initial_values=(torch.zeros(N, N, dtype=torch.complex64),),
        max_iterations=3000,
    )  # fmt: skip
    np.testing.assert_allclose(x.numpy(), exact(prior, y, mask, sigma), atol=5e-3)


def check_a_denoiser_alone_has_no_value():
    f = spp.interop.mrpro.functional(spp.load_prior("brain", runtime="torch"))
    try:
        f(torch.zeros(N, N, dtype=torch.complex64))
    except NotImplementedError as e:
        assert "denoiser only" in str(e)
    else:
        raise AssertionError("taken")


if __name__ == "__main__":
    run_all(globals())
