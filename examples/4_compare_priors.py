"""Which prior? Every prior on every sampling pattern
==================================================

A table and a picture. The k-space is the bundled example's, whose truth is known, or a
fully sampled acquisition of your own, (coils, H, W), centred; its reference is then the
combination of all of the data. L1-wavelet gets its best lamda in hindsight, the
priors run with their defaults. ``--bart`` adds BART's pics and nlinv::

    python examples/4_compare_priors.py [--priors brain brain-pixelcnn ...]
        [--size 256] [--kspace FULL.npy] [--bart] [--out compare.png]
"""

# sphinx_gallery_thumbnail_path = "../examples/compare.jpg"
import argparse
import sys
from itertools import chain

import numpy as np
import sigpy as sp
import sigpy.mri as mr

import sigpy_priors as spp
from sigpy_priors.data.example import NOISE_STD, example
from sigpy_priors.show.metrics import object_mask, psnr
from sigpy_priors.show.plot import compare

LAMDAS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


def masks(shape):
    """Poisson-disc R = 4, lines along the first axis R = 4, every 2 x 2-th point."""
    rng = np.random.default_rng(0)
    center = np.zeros(shape, bool)
    center[tuple(slice(n // 2 - n // 20, n // 2 + n // 20) for n in shape)] = True
    n = shape[0]
    distance = np.abs(np.arange(n) - n // 2) / n
    density = np.exp(-0.5 * (distance / 0.18) ** 2)
    lines = np.zeros(n, bool)
    lines[rng.choice(n, n // 4 - n // 10, False, density / density.sum())] = True
    lines |= distance <= 0.05
    equispaced = np.zeros(shape, bool)
    equispaced[::2, ::2] = True
    yield (
        "Poisson R=4",
        np.abs(mr.poisson(shape, 4, calib=center_size(shape), seed=0)) > 0,
    )
    yield "1-D R=4", np.repeat(lines[:, None], shape[1], axis=1)
    yield "2-D equispaced 2x2", equispaced | center


def center_size(shape):
    return tuple(n // 10 for n in shape)


def simulated(size):
    """k-space of the bundled example, and the true image."""
    image, mps = example()
    step = 256 // size
    image, mps = image[::step, ::step], mps[:, ::step, ::step]
    noise = NOISE_STD * sp.randn(mps.shape, dtype=np.complex64)
    return sp.fft(mps * image, axes=(-2, -1)) + noise, image


def measured(path):
    """k-space of a file, and the combination of its coils."""
    full = np.load(path, allow_pickle=False)
    mps = mr.app.EspiritCalib(full, show_pbar=False).run()
    image = (mps.conj() * sp.ifft(full, axes=(-2, -1))).sum(0)
    return full, image / np.maximum((np.abs(mps) ** 2).sum(0), 1e-9)


def in_sigpy(y, mps, priors, score, max_iter):
    peak = np.percentile(np.abs(sp.mri.linop.Sense(mps).H(y)), 99.8)
    yield (
        "L1-wavelet",
        max(
            (
                mr.app.L1WaveletRecon(y, mps, lam * peak, show_pbar=False).run()
                for lam in LAMDAS
            ),
            key=score,
        ),
    )
    for prior in priors:
        app = spp.app.PriorRecon(y, mps, prior, max_iter=max_iter, show_pbar=False)
        yield prior.card.name, app.run()


def in_bart(y, mps, priors, score):
    """BART's wavelets, and each prior in pics and nlinv, scaled to the reference."""
    import bart_plugin

    yield (
        "pics, wavelet",
        max(
            (
                bart_plugin.run(
                    f"pics -S -i 60 -R W:3:0:{lam}", y[:, None], mps[:, None]
                )
                for lam in LAMDAS
            ),
            key=score,
        ),
    )
    for prior in priors:
        yield f"pics, {prior.card.name}", bart_plugin.pics(y, mps, prior)
    image = bart_plugin.run("nlinv -i 9", y[:, None])
    yield "nlinv", image
    for prior in priors:
        image, _ = bart_plugin.nlinv(y, prior)
        yield f"nlinv, {prior.card.name}", image


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--priors", nargs="+",
        default=["brain"],
    )  # fmt: skip
    parser.add_argument("--kspace", metavar="FULL.npy")
    parser.add_argument("--bart", action="store_true")
    parser.add_argument("--out", default="compare.png")
    parser.add_argument("--size", type=int, default=128, help="of the bundled example")
    parser.add_argument("--max-iter", type=int, help="of PriorRecon [its default]")
    args = parser.parse_args(argv)

    priors = [spp.load_prior(name) for name in args.priors]
    full, reference = measured(args.kspace) if args.kspace else simulated(args.size)
    inside = object_mask(reference)

    def fit(x):
        """nlinv is free in scale and, over the image, in phase."""
        x, r = np.abs(x) * inside, np.abs(reference) * inside
        return x * (np.vdot(x, r) / max(np.vdot(x, x), 1e-30))

    def score(x):
        return psnr(fit(x), reference, inside)

    rows, first = {}, None
    for name, mask in masks(full.shape[1:]):
        y = (full * mask).astype(np.complex64)
        mps = mr.app.EspiritCalib(y, show_pbar=False).run()
        ways = [in_sigpy(y, mps, priors, score, args.max_iter)]
        if args.bart:
            ways.append(in_bart(y, mps, priors, score))
        images = {}
        for title, image in chain(*ways):
            images[title] = image
            print(f"{name}, {title}: {score(image):.2f} dB", file=sys.stderr)
        rows[name] = {title: score(x) for title, x in images.items()}
        first = first or (name, {t: fit(x) for t, x in images.items()})
    print("| PSNR / dB | " + " | ".join(rows) + " |")
    print("|---" * (1 + len(rows)) + "|")
    for title in next(iter(rows.values())):
        cells = " | ".join(f"{row[title]:.2f}" for row in rows.values())
        print(f"| {title} | {cells} |")
    compare(first[1], np.abs(reference) * inside, args.out)
    print(f"{args.out}: {first[0]}")
    return rows


if __name__ == "__main__":
    main()
