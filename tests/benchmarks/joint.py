"""Image and coil maps together, beside maps of the full data and ``nlinv``.

    python tests/benchmarks/joint.py [--simulated] [--prior brain] [--mask NAME]

The 8-coil brain with a centre of only 6 x 6 (1-D: 6 lines), and with the usual 24 or
20: magnitude PSNR of ``PriorRecon`` with ESPIRiT maps of the *full* data, of
``JointRecon`` without any maps, of ``bart nlinv -R TF:`` with the same prior, and of
``bart pics -R TF:`` with JointRecon's maps. Last, 32 spokes beside JSENSE and
L1-wavelet with the best lamda. With --simulated, the scans of validation slices on
which rounds and tolerances were chosen, beside the true maps.
"""

import argparse
import time
import warnings

import numpy as np
import sigpy as sp
import sigpy.mri as mr
from cases import data_folder, lines, sense_combine
from simulate import coil_maps, image, radial

import sigpy_priors as spp
from sigpy_priors.show.metrics import object_mask, psnr


def poisson(shape, accel, centre):
    """A Poisson-disc mask; small ones do not come as close to their acceleration."""
    tol = 0.1 if min(shape) > 150 else 0.2
    return np.abs(mr.poisson(shape, accel, calib=(centre, centre), seed=0, tol=tol))


MASKS = {
    "Poisson R=4": lambda s, c: poisson(s, 4, c),
    "Poisson R=8": lambda s, c: poisson(s, 8, c),
    "1-D R=4": lambda s, c: lines(s, 4, center=c),
}
SLICES = (("brain", 40), ("body", 90), ("brain", 200))
LAMDAS = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)


def magnitude(x, reference, mask):
    return psnr(np.abs(x) + 0j, np.abs(reference) + 0j, mask)


def joint(y, prior, **options):
    """JointRecon, its seconds and whether it converged."""
    start = time.monotonic()
    app = spp.app.JointRecon(y, prior, show_pbar=False, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x, mps = app.run()
    return (
        x,
        mps,
        time.monotonic() - start,
        f"{app.alg.iter}{'' if app.converged else '+'}",
    )


def simulated(args, prior, size=128, noise=0.01):
    print("| slice | mask | centre | true maps | JointRecon | seconds | rounds |")
    print("|---|---|---|---|---|---|---|")
    for anatomy, index in SLICES:
        x, mps = image(anatomy, index, size, index), coil_maps(8, size, index)
        z = np.random.default_rng(index).standard_normal((2, *mps.shape))
        full = sp.fft(mps * x, axes=(-2, -1)) + noise * (z[0] + 1j * z[1]) / 2**0.5
        inside = object_mask(x)
        for name, make in MASKS.items():
            for centre in (4, 6, 10, 20):
                y = (full * make(x.shape, centre)).astype(np.complex64)
                known = spp.app.PriorRecon(y, mps, prior, show_pbar=False).run()
                found, _, seconds, rounds = joint(y, prior)
                print(
                    f"| {anatomy} {index} | {name} | {centre} | "
                    f"{magnitude(known, x, inside):.2f} | "
                    f"{magnitude(found, x, inside):.2f} | {seconds:.0f} | {rounds} |",
                    flush=True,
                )


def real(args, prior):
    import bart_plugin

    full = np.load(data_folder() / "kspace/brain8_espirit_full_8x180x230.npy")
    maps = mr.app.EspiritCalib(full, show_pbar=False).run()
    reference = sense_combine(full, maps)
    inside = object_mask(reference)
    print(
        "| mask | centre | maps of the full data | ESPIRiT | JointRecon | seconds | "
        "nlinv -R TF: | pics, its maps |\n" + "|---" * 8 + "|"
    )
    for name, make in MASKS.items():
        if args.mask not in name:
            continue
        for centre in (6, 20 if "1-D" in name else 24):
            y = (full * make(reference.shape, centre)).astype(np.complex64)

            def value(x):
                x = x * (np.vdot(abs(x)[inside], abs(reference)[inside])
                         / np.vdot(x[inside], x[inside]).real)  # fmt: skip
                return f"{magnitude(x, reference, inside):.2f}"

            def known(mps, y=y):
                return value(spp.app.PriorRecon(y, mps, prior, show_pbar=False).run())

            own = known(spp.maps.estimate_maps(y)) if centre > 11 else "-"
            x, mps, seconds, _ = joint(y, prior)
            row = [
                name, centre, known(maps), own, value(x), f"{seconds:.0f}",
                value(bart_plugin.nlinv(y, prior)[0]),
                value(bart_plugin.pics(y, mps, prior)),
            ]  # fmt: skip
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
    spokes(full, reference, inside, prior)


def spokes(full, reference, inside, prior, count=32):
    """Samples along spokes of the coils' images, without any maps."""
    images = sp.resize(sp.ifft(full, axes=(-2, -1)), (8, 230, 230))
    reference, inside = (sp.resize(v, (230, 230)) for v in (reference, inside))
    coord = radial(230, count)
    y = np.stack([sp.nufft(c, coord) for c in images]).astype(np.complex64)
    x, _, seconds, _ = joint(y, prior, coord=coord, shape=(230, 230))
    maps = spp.maps.estimate_maps(y, coord, shape=(230, 230))

    def value(v):
        v = v * (np.vdot(abs(v)[inside], abs(reference)[inside])
                 / np.vdot(v[inside], v[inside]).real)  # fmt: skip
        return magnitude(v, reference, inside)

    unit = 1 / np.abs(y).max()
    best = max(
        value(
            mr.app.L1WaveletRecon(
                unit * y, maps, lamda, coord=coord, show_pbar=False
            ).run()
        )
        for lamda in LAMDAS
    )
    known = value(
        spp.app.PriorRecon(y, maps, prior, coord=coord, show_pbar=False).run()
    )
    print(
        f"\n{count} spokes, no maps: JointRecon {value(x):.2f} dB in {seconds:.0f} s; "
        f"JSENSE maps with PriorRecon {known:.2f}, with L1-wavelet (best lamda) {best:.2f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--prior", default="brain")
    parser.add_argument("--mask", default="")
    args = parser.parse_args()
    (simulated if args.simulated else real)(args, spp.load_prior(args.prior))


if __name__ == "__main__":
    main()
