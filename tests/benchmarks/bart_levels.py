"""The default ``bart pics -R TF:`` on scans of any noise level.

    python tests/benchmarks/bart_levels.py [--size 128] [--prior brain]

Simulated scans of validation slices, maps by ESPIRiT: PSNR of BART's wavelet with the
best lambda in hindsight, of the default of ``bart_plugin.pics``, and of ``PriorRecon``.
"""

import argparse

import numpy as np
from bart_pics import wavelet
from cases import Case
from simulate import scan

import bart_plugin
import sigpy_priors as spp
from bart_plugin import toolbox
from sigpy_priors.scan.maps import estimate_maps
from sigpy_priors.show.metrics import object_mask, psnr

NOISE = (0.003, 0.01, 0.03, 0.05)
MASKS = ("Poisson R=4", "Poisson R=8", "1-D R=3")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--prior", default="brain")
    args = parser.parse_args()
    prior, bart, gaps = spp.load_prior(args.prior), toolbox.find(), []
    print("| noise | mask | wavelet | `-R TF:` | PriorRecon |\n|---|---|---|---|---|")
    for k, noise in enumerate(NOISE):
        for mask in MASKS:
            s = scan("brain", 60 + 40 * k, mask, 8, noise, args.size, seed=k)
            case = Case(mask, s.y, estimate_maps(s.y), None, s.image)
            inside = object_mask(s.image)
            best, *_ = wavelet(case, bart)
            x = bart_plugin.pics(case.y, case.mps, prior, bart=bart)
            app = spp.app.PriorRecon(case.y, case.mps, prior, show_pbar=False)
            own, ours = psnr(x, s.image, inside), psnr(app.run(), s.image, inside)
            gaps.append((own - best, own - ours))
            print(
                f"| {noise} | {mask} | {best:.2f} | {own:.2f} | {ours:.2f} |",
                flush=True,
            )
    over, under = np.array(gaps).T
    print(
        f"\nover the wavelet {over.mean():.2f} dB, at least {over.min():.2f}; beside "
        f"PriorRecon {under.mean():.2f}, at least {under.min():.2f}"
    )


if __name__ == "__main__":
    main()
