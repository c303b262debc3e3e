"""What it costs to compress coils to virtual ones, and what it saves.

    python tests/benchmarks/coils.py [--size 128]

Arrays of 20 and 32 loops in two rings close to the head, on validation slices, noise
0.005 and 0.02 of the scale: loss in dB against all coils, with the true maps and with
ESPIRiT's, which are estimated after compression, and their seconds. Nothing is
written; the constant is COILS in sigpy_priors/scan/virtual.py.
"""

import argparse
import time

import numpy as np
import sigpy as sp
from simulate import MASKS, image

from sigpy_priors import load_prior
from sigpy_priors.app import PriorRecon
from sigpy_priors.scan.coils import mix
from sigpy_priors.scan.maps import estimate_maps
from sigpy_priors.scan.virtual import virtual_coils
from sigpy_priors.show.metrics import psnr


def loops(count, size, radius=1.15, rings=2):
    """Maps of loops around the head in several rings, of which one slice is seen.

    The field of a small loop falls with the third power of the distance, its phase
    turns with the angle.
    """
    v, u = np.meshgrid(*2 * [np.linspace(-1, 1, size)], indexing="ij")
    each = count // rings
    maps = []
    for i in range(count):
        angle = 2 * np.pi * (i % each + 0.5 * (i // each)) / each
        height = 0.35 * ((i // each) - (rings - 1) / 2) * 2
        du, dv = u - radius * np.cos(angle), v - radius * np.sin(angle)
        distance = np.sqrt(du**2 + dv**2 + height**2 + 0.05)
        maps.append(distance**-3 * np.exp(1j * (np.arctan2(dv, du) + angle)))
    maps = np.stack(maps)
    return (maps / sp.rss(maps, axes=(0,))).astype(np.complex64)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--size", type=int, default=128)
    p.add_argument("--counts", type=int, nargs="+", default=[6, 8, 10, 12, 16])
    args = p.parse_args()
    prior = load_prior("brain")
    n = args.size
    for coils in (20, 32):
        mps = loops(coils, n)
        for kind in ("Poisson R=4", "Poisson R=8", "1-D R=4"):
            for noise_std in (0.005, 0.02):
                x, mask = image("brain", 7, n), MASKS[kind](n)
                rng = np.random.default_rng(1)
                z = rng.standard_normal((2, *mps.shape)) / 2**0.5
                y = sp.fft(mps * x, axes=(-2, -1)) + noise_std * (z[0] + 1j * z[1])
                y = (mask * y).astype(np.complex64)
                row = []
                for count in (coils, *args.counts):
                    row.append([])
                    for given in (mps, None):
                        mixture = virtual_coils(y, count=count)
                        few, maps = y, given
                        if mixture is not None:
                            few = mix(mixture.forth, y)
                            maps = given if given is None else mix(mixture.forth, given)
                        start = time.perf_counter()
                        if maps is None:
                            maps = estimate_maps(few)
                            if mixture is not None:
                                maps = mixture.normalise(maps)
                        seconds = time.perf_counter() - start
                        # As many levels for all: when it stops is another matter.
                        out = PriorRecon(
                            few, maps, prior, max_iter=12, show_pbar=False
                        ).run()
                        row[-1] += [psnr(np.abs(out), np.abs(x)), seconds]
                full = row[0]
                print(
                    f"{coils} coils, {kind}, noise {noise_std}: {full[0]:.2f} dB, own "
                    f"maps {full[2]:.2f} dB, {full[3]:.1f} s",
                    flush=True,
                )
                for count, r in zip(args.counts, row[1:]):
                    print(
                        f"  {count:3d}: {r[0] - full[0]:+.3f} dB, own maps "
                        f"{r[2] - full[2]:+.3f} dB, {r[3]:.1f} s", flush=True,
                    )  # fmt: skip


if __name__ == "__main__":
    main()
