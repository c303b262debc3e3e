"""The same prior in SigPy and in BART
===================================

Wavelet, both priors, and their difference. Needs a BART with TensorFlow, which
``python -m bart_plugin build`` makes::

    python examples/8_bart_twin.py [--prior brain] [--out bart_twin.png]
"""

import argparse

import numpy as np
import sigpy as sp
from matplotlib.figure import Figure

import bart_plugin
import sigpy_priors
from bart_plugin.twin import BartPics
from sigpy_priors.data.example import example, undersample
from sigpy_priors.show.metrics import psnr


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", default="brain")
    parser.add_argument("--out", default="bart_twin.png")
    parser.add_argument("--size", type=int, default=232, help="width; height is 256")
    parser.add_argument("--steps", type=int, default=16)
    args = parser.parse_args(argv)

    prior = sigpy_priors.load_prior(args.prior)
    image, mps = example()
    shape = (256, args.size)
    image = sp.resize(image, shape)
    mps = sp.resize(mps, (len(mps), *shape))
    y = undersample(image, mps, accel=4)

    # BART's own wavelet regularization, as a baseline.
    wavelet = bart_plugin.run("pics -S -i 60 -R W:3:0:0.01", y[:, None], mps[:, None])
    # The prior in BART, by an exported graph ...
    in_bart = bart_plugin.pics(y, mps, prior, max_iter=args.steps)
    # ... and in SigPy, step by step the same.
    twin = BartPics(y, mps, prior, max_iter=args.steps, show_pbar=False)
    in_sigpy = twin.run()

    difference = np.linalg.norm(in_bart - in_sigpy) / np.linalg.norm(in_sigpy)
    print(f"wavelet in BART   {psnr(wavelet, image):.2f} dB")
    print(f"prior in SigPy    {psnr(in_sigpy, image):.2f} dB")
    print(f"prior in BART     {psnr(in_bart, image):.2f} dB")
    print(f"NRMSE between the two: {difference:.1e}")

    panels = {
        "BART wavelet": np.abs(wavelet),
        "SigPy prior": np.abs(in_sigpy),
        "BART prior": np.abs(in_bart),
        "difference x 1e4": 1e4 * np.abs(in_bart - in_sigpy),
    }
    figure = Figure(figsize=(3 * len(panels), 3.6), layout="constrained")
    for axis, (title, panel) in zip(figure.subplots(1, len(panels)), panels.items()):
        axis.imshow(panel, cmap="gray", vmin=0, vmax=1)
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(args.out, dpi=120)
    return difference


if __name__ == "__main__":
    main()
