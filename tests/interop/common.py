"""A scan and a prior with a closed form, and how a script of checks is run."""

import numpy as np
import sigpy as sp
from sigpy.mri import birdcage_maps

import sigpy_priors as spp

N = 16


def gaussian():
    """Smooth images; denoiser and density are exact."""
    k = np.hypot(*np.mgrid[-N // 2 : N // 2, -N // 2 : N // 2])
    return spp.GaussianPrior(np.zeros((N, N)), spectrum=1 / (1 + k**2))


def scan(coils=3, sigma=0.05):
    """K-space, maps, mask and noise level of a draw from the prior."""
    rng = np.random.default_rng(0)
    mask = rng.random((N, N)) < 0.6
    mask[N // 2 - 2 : N // 2 + 2, N // 2 - 2 : N // 2 + 2] = True
    mask = mask.astype(np.float32)
    x = gaussian().sample(1, seed=1)[0]
    mps = np.ones((1, N, N), complex)
    if coils > 1:
        mps = birdcage_maps((coils, N, N))
        mps = mps / sp.rss(mps, axes=(0,))
    noise = rng.normal(size=(*mps.shape, 2)).view(complex)[..., 0] / 2**0.5
    y = mask * (sp.fft(mps * x, axes=(-2, -1)) + sigma * noise)
    return y.astype(np.complex64), mps.astype(np.complex64), mask, sigma


def exact(prior, y, mask, sigma, A=None):
    """Maximum of the posterior of a Gaussian prior, by its normal equations."""
    A = A or sp.linop.Multiply(y.shape[1:], mask) * sp.linop.FFT(
        y.shape[1:], axes=(-2, -1)
    )
    data = y[0] if y.shape[0] == 1 else y
    zero = np.zeros(A.ishape, np.complex128)

    def normal(x):
        # sigma^2 / 2 times minus the gradient of log p.
        pull = prior.grad_log_prob(zero) - prior.grad_log_prob(x.reshape(A.ishape))
        return (A.H(A(x)) + sigma**2 / 2 * pull).astype(np.complex128)

    b = A.H(data) + sigma**2 / 2 * prior.grad_log_prob(zero)
    x = zero.copy()
    sp.app.App(
        sp.alg.ConjugateGradient(normal, b, x, max_iter=400, tol=1e-12), show_pbar=False
    ).run()
    return x.astype(np.complex64)


def run_all(names):
    """Run every function whose name begins with check_, and name it."""
    for name, function in list(names.items()):
        if name.startswith("check_") and function.__module__ == "__main__":
            print(name, flush=True)
            function()
