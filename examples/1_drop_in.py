"""One line: a learned prior where L1-wavelet stood
================================================

The bundled scan, R = 4, reconstructed by SigPy's ``L1WaveletRecon`` and by ``PriorRecon``,
with a picture; about ten seconds on one core::

    python examples/1_drop_in.py [--out drop_in.png]
"""

# sphinx_gallery_thumbnail_path = "../examples/demo.jpg"
import argparse

import sigpy.mri as mr

import sigpy_priors as spp
from sigpy_priors.data.example import example, undersample
from sigpy_priors.show.metrics import psnr


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
    before, after = psnr(wavelet, image), psnr(learned, image)
    print(f"{args.out}: L1-wavelet {before:.2f} dB, learned prior {after:.2f} dB")


if __name__ == "__main__":
    main()
