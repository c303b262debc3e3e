"""No coil maps, no calibration
============================

Image and maps together, from a centre of 6 x 6; about half a minute on one core::

    python examples/5_no_maps.py [--out joint.jpg]
"""

# sphinx_gallery_thumbnail_path = "../examples/joint.jpg"
import argparse

import numpy as np
import sigpy as sp
import sigpy.mri as mr

import sigpy_priors as spp
from sigpy_priors.data.example import example


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="joint.png")
    args = parser.parse_args(argv)

    image, mps = example()
    mask = np.abs(mr.poisson(image.shape, 5, calib=(6, 6), seed=0))
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.standard_normal((2, *mps.shape)).astype(np.float32)
    y = mask * (sp.fft(mps * image, axes=(-2, -1)) + noise[0] + 1j * noise[1])
    y = y.astype(np.complex64)

    prior = spp.load_prior("brain")
    app = spp.app.JointRecon(y, prior)
    found, maps = app.run()
    known = spp.app.PriorRecon(y, mps, prior, show_pbar=False).run()

    shown = {"true maps": np.abs(known), "no maps": np.abs(found)}
    spp.plot.compare(shown, np.abs(image), args.out)
    agree = np.abs((maps.conj() * mps).sum(axis=0))[np.abs(image) > 0.1]
    print(
        f"{args.out}: {app.alg.iter} rounds; cosine between the maps found and the true "
        f"ones {agree.mean():.4f}"
    )


if __name__ == "__main__":
    main()
