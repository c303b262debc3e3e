"""A learned penalty with one minimum
===================================

Two starts, one image. The bundled energy is a small input-convex network, trained in
minutes (``configs/brain-icnn.yaml``). Any module of torch that gives an energy takes its
place: ``spp.EnergyPrior(module)``::

    python examples/7_convex_energy.py [--accel R] [--out convex.png]
"""

import argparse

import numpy as np
import sigpy.mri as mr

import sigpy_priors as spp
from sigpy_priors.data.example import example, undersample


def from_noise(app, prior, steps):
    """Minimise the objective of ``app`` from a random image instead of the data's."""

    def objective(x):
        value, ascent = prior.log_prob_and_grad(x / app.scale)
        lamda = app.regularizer.lamda
        grad = app.problem.gradient(x) - lamda / app.scale * ascent
        return app.problem.value(x) - lamda * float(value), grad

    rng = np.random.default_rng(0)
    start = app.scale * rng.standard_normal((2, *app.problem.shape))
    start = (start[0] + 1j * start[1]).astype(app.problem.y.dtype)
    alg = spp.alg.LBFGS(objective, start, steps)
    while not alg.done():
        alg.update()
    return alg.x


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accel", type=float, default=4)
    parser.add_argument("--max-iter", type=int, default=60)
    parser.add_argument("--out", default="convex.png")
    args = parser.parse_args(argv)

    image, mps = example()
    y = undersample(image, mps, accel=args.accel)
    wavelet = mr.app.L1WaveletRecon(y, mps, lamda=5e-3, show_pbar=False).run()

    prior = spp.load_prior("brain-icnn")
    app = spp.app.PriorRecon(y, mps, prior, max_iter=args.max_iter, show_pbar=False)
    convex = app.run()
    other = from_noise(app, prior, 2 * args.max_iter)

    shown = {"L1-wavelet": wavelet, "convex energy": convex, "from noise": other}
    spp.plot.compare(shown, image, args.out)
    apart = np.linalg.norm(other - convex) / np.linalg.norm(convex)
    print(f"{args.out}: two starts, images that differ by {apart:.4f}")


if __name__ == "__main__":
    main()
