"""Samples of a density's exact posterior
=======================================

Markov chains with acceptance, and R-hat to tell when they have converged. The density is a
Gaussian with the power law of images, which takes seconds; ``--prior brain-pixelcnn`` takes
hours until R-hat is near 1, and says so if it ends before::

    python examples/11_density_samples.py [--prior NAME] [--size 24] [--out chains.jpg]
"""

import argparse
import warnings

import numpy as np
import sigpy as sp

import sigpy_priors as spp
from sigpy_priors.data.example import NOISE_STD, example


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", help="a bundled density [a Gaussian]")
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--max-gradients", type=int, default=2000, help="a chain")
    parser.add_argument("--out", default="chains.png")
    args = parser.parse_args(argv)

    shape = (args.size, args.size)
    image, mps = example(num_coils=4)
    image = sp.ifft(sp.resize(sp.fft(image), shape)) * args.size / len(mps[0])
    step = len(mps[0]) // args.size
    mps = np.ascontiguousarray(mps[:, step // 2 :: step, step // 2 :: step])
    mps = mps[:, : args.size, : args.size]
    mps /= sp.rss(mps, axes=(0,))
    rng = np.random.default_rng(0)
    mask = rng.random((args.size, 1)) < 0.4
    mask[args.size // 2 - 3 : args.size // 2 + 3] = True
    z = rng.standard_normal((2, *mps.shape)) / 2**0.5
    y = mask * (sp.fft(mps * image, axes=(-2, -1)) + NOISE_STD * (z[0] + 1j * z[1]))
    y = y.astype(np.complex64)

    if args.prior:
        density = spp.load_prior(args.prior)
    else:
        v, u = np.mgrid[:64, :64][:, : args.size, : args.size] - args.size // 2
        spectrum = 1 / (1 + v**2 + u**2) ** 1.3
        spectrum *= np.mean(np.abs(image) ** 2) / spectrum.mean()
        density = spp.GaussianPrior(np.zeros(shape), spectrum=spectrum)
    app = spp.app.PosteriorSampling(
        y, mps, density, num_samples=args.samples, method="hmc",
        max_gradients=args.max_gradients,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged: printed below
        app.run()
    rhat = app.diagnostics()["rhat"]
    spp.plot.posterior(app.samples, args.out)
    print(
        f"{args.out}: {'converged' if app.converged else 'not converged'} after "
        f"{app.evaluations * args.samples / 4:.0f} gradients a chain, R-hat below 1.05 in "
        f"{100 * np.mean(np.asarray(rhat) < 1.05):.0f} % of the pixels"
    )


if __name__ == "__main__":
    main()
