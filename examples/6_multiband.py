"""Slices that were excited together
=================================

One k-space, a stack of images. K-space of each slice alone, (slices, coils, H, W), is
combined as CAIPIRINHA would measure it; by default that of the bundled slice and of its
turned self. Maps come from the centre of the single-band k-space, as they do from a
calibration scan::

    python examples/6_multiband.py [--kspace SINGLE_BAND.npy] [--accel R] [--out sms.jpg]
"""

import argparse

import numpy as np
import sigpy as sp
from sigpy.mri import birdcage_maps

import sigpy_priors as spp
from sigpy_priors.data.example import example
from sigpy_priors.scan.multiband import calibration_maps, sms_problem


def single_bands(noise_std=0.01):
    """K-space of two slices, one after the other, with 8 coils around both."""
    image, _ = example()
    image = sp.ifft(sp.resize(sp.fft(image), (128, 128)))
    images = np.stack([image, image[::-1, ::-1]]) / np.abs(image).max()
    mps = birdcage_maps((8, *images.shape), r=1.5, nzz=8).swapaxes(0, 1)
    z = np.random.default_rng(0).standard_normal((2, *mps.shape)) / 2**0.5
    ksp = sp.fft(mps * images[:, None], axes=(-2, -1)) + noise_std * (z[0] + 1j * z[1])
    return ksp.astype(np.complex64)


def excited_together(ksp, accel):
    """What would have been measured of all slices at once, and their shifts."""
    bands, lines = len(ksp), np.arange(ksp.shape[-2]) - ksp.shape[-2] // 2
    shifts = np.arange(bands) / (bands * accel)
    ramps = np.exp(2j * np.pi * shifts[:, None] * lines)[:, None, :, None]
    y = (ramps * ksp).sum(axis=0) * (lines % accel == 0)[:, None]
    return y.astype(ksp.dtype), shifts


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kspace", help="of each slice alone, (slices, coils, H, W)")
    parser.add_argument("--accel", type=int, default=2, help="along H [2]")
    parser.add_argument("--out", default="sms.png")
    args = parser.parse_args(argv)

    ksp = np.load(args.kspace) if args.kspace else single_bands()
    y, shifts = excited_together(ksp, args.accel)
    problem = sms_problem(y, calibration_maps(ksp), shifts)
    app = spp.app.PriorRecon.of(problem, spp.load_prior("brain"))
    image = app.run()

    alone = sp.rss(sp.ifft(ksp, axes=(-2, -1)), axes=(1,))
    sense = problem.solve(1e-3 * problem.gain**2, problem.AHy, None, 100)
    shown = {"SENSE": np.abs(sense), "prior": np.abs(image)}
    side_by_side = {name: np.concatenate(x, axis=1) for name, x in shown.items()}
    spp.plot.compare(side_by_side, np.concatenate(alone, axis=1), args.out)
    errors = [np.linalg.norm(x - alone) / np.linalg.norm(alone) for x in shown.values()]
    print(
        f"{args.out}: {len(ksp)} slices at once, every {args.accel}. line; relative error "
        f"of SENSE {errors[0]:.3f}, with the prior {errors[1]:.3f}"
    )


if __name__ == "__main__":
    main()
