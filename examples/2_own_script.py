"""The prior as a Prox in a script of your own
===========================================

With any ``Linop`` as the model; here simultaneous multi-slice: two slices excited at once,
one k-space::

    python examples/2_own_script.py
"""

import argparse

import numpy as np
import sigpy as sp

import sigpy_priors as spp
from sigpy_priors.data.example import example
from sigpy_priors.show.metrics import psnr


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=40)
    args = parser.parse_args(argv)

    image, mps = example()
    slices = np.stack([image, np.roll(image[::-1], 9, axis=1)])
    maps = np.stack([mps, np.roll(mps, 3, axis=0)], axis=1)  # (coils, slices, H, W)

    # y = sum over slices of the coil images, every other line sampled.
    mask = np.zeros(image.shape, np.float32)
    mask[:, ::2] = 1
    mask[:, 116:140] = 1
    S = sp.linop.Multiply(slices.shape, maps)
    sms = sp.linop.Sum(S.oshape, axes=(1,))
    F = sp.linop.FFT(mps.shape, axes=(-2, -1))
    A = sp.linop.Multiply(F.oshape, mask) * F * sms * S
    sigma = 0.01
    y = A(slices) + mask * sigma * sp.randn(A.oshape, dtype=np.complex64)

    # lamda = sigma^2 / 2 is the statistically right weight of a prior; this
    # one's denoiser does best at half of it (prior.strength).
    prior = spp.load_prior("brain")
    lamda = prior.strength * sigma**2 / 2
    reg = spp.prox.DenoiserReg(A.ishape, prior, lamda)
    app = sp.app.LinearLeastSquares(
        A, y, proxg=reg, solver="GradientMethod", max_iter=args.iterations
    )
    x = app.run()
    plain = sp.app.LinearLeastSquares(A, y, lamda=1e-3, show_pbar=False).run()
    for k in range(len(slices)):
        before, after = (psnr(v[k], slices[k]) for v in (plain, x))
        print(f"slice {k}: SENSE {before:.1f} dB, with the prior {after:.1f} dB")


if __name__ == "__main__":
    main()
