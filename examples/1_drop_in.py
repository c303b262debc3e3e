"""One line: a learned prior where L1-wavelet stood, with a picture.

python examples/1_drop_in.py [--out drop_in.png]
"""

import argparse

import sigpy.mri as mr

import sigpy_priors as spp
from sigpy_priors.data.example import example, undersample


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="drop_in.png")
    args = parser.parse_args(argv)

    image, mps = example()
    y = undersample(image, mps, accel=4)

    wavelet = mr.app.L1WaveletRecon(y, mps, lamda=5e-3, show_pbar=False).run()

    prior = spp.load_prior("brain")
    learned = spp.app.PriorRecon(y, mps, prior).run()

    spp.plot.compare({"L1-wavelet": wavelet, "learned": learned}, image, args.out)
    print(f"{args.out}: learned prior on noise {y.std():.2g}, no parameter set")


if __name__ == "__main__":
    main()
