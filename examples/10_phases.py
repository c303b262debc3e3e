"""Complex images from magnitudes
=================================

Archives keep magnitudes. A complex prior draws the phases that such images have, here three
times for the bundled slice, whose own phase is shown first::

    python examples/10_phases.py [--size 128] [--out phases.jpg]
"""

import argparse

import numpy as np
import sigpy as sp

import sigpy_priors as spp
from sigpy_priors.data.example import example


def step(x):
    """Mean phase step between neighbours in radians, weighted by their magnitudes."""
    both = x[..., 1:] * x[..., :-1].conj()
    return (np.abs(np.angle(both)) * np.abs(both)).sum() / np.abs(both).sum()


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--out", default="phases.png")
    args = parser.parse_args(argv)

    image, _ = example()
    image = sp.ifft(sp.resize(sp.fft(image), (args.size, args.size)))
    prior = spp.load_prior("brain")
    drawn = spp.app.Augment(np.abs(image), prior, num_samples=3).run()

    spp.plot.phases(np.concatenate([image[None], drawn]), args.out)
    rng = np.random.default_rng(0)
    noise = np.abs(image) * np.exp(2j * np.pi * rng.random(image.shape))
    print(
        f"{args.out}: the slice with its own phase, then with three that were drawn; mean "
        f"phase step {step(image):.3f} rad, drawn {step(drawn):.3f}, of noise "
        f"{step(noise):.2f}"
    )


if __name__ == "__main__":
    main()
