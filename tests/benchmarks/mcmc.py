"""Chains on the posterior of the bundled PixelCNN: when do they agree, and how good.

    python tests/benchmarks/mcmc.py [--size 90] [--accel 4] [--max-gradients 1500]

The centre of the 8-coil brain's k-space, SIZE lines of it, which is the image at a
coarser resolution, undersampled by a Poisson disc: gradients of the density for each
of four chains until R-hat is below 1.05 in 95 % of the pixels, NRMSE of the mean of the
samples and of the maximum of the posterior (``PriorRecon`` with the same density)
against the image of the full data.
"""

import argparse
import time
import warnings

import numpy as np
import sigpy as sp
import sigpy.mri as mr
from cases import data_folder, sense_combine

import sigpy_priors as spp
from sigpy_priors.show.metrics import object_mask


def nrmse(x, reference, inside):
    return np.linalg.norm((x - reference)[inside]) / np.linalg.norm(reference[inside])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=90)
    parser.add_argument("--accel", type=float, default=4)
    parser.add_argument("--max-gradients", type=int, default=1500)
    parser.add_argument("--num-samples", type=int, default=32)
    parser.add_argument("--prior", default="brain-pixelcnn")
    args = parser.parse_args()
    full = np.load(data_folder() / "kspace/brain8_espirit_full_8x180x230.npy")
    width = round(args.size * full.shape[2] / full.shape[1])
    full = sp.resize(full, (8, args.size, width)).astype(np.complex64)
    maps = mr.app.EspiritCalib(full, show_pbar=False).run()
    reference = sense_combine(full, maps)
    inside = object_mask(reference)
    mask = np.abs(mr.poisson(full.shape[1:], args.accel, calib=(20, 20), tol=0.3))
    y = (full * mask).astype(np.complex64)
    prior = spp.load_prior(args.prior)
    start = time.monotonic()
    best = spp.app.PriorRecon(y, maps, prior, show_pbar=False).run()
    seconds = time.monotonic() - start
    app = spp.app.PosteriorSampling(
        y, maps, prior, args.num_samples, max_gradients=args.max_gradients
    )
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        app.run()
    found = app.diagnostics()
    chains = app._run_of_chains.chains
    seen = np.isfinite(found["rhat"])
    print(
        f"{full.shape[1:]}, R = {args.accel:g}, noise {app.data.noise_std:.4f}: maximum "
        f"{nrmse(best, reference, inside):.4f} ({seconds:.0f} s), mean of samples "
        f"{nrmse(app.mmse, reference, inside):.4f}; {chains.spent} gradients for each "
        f"chain, {time.monotonic() - start:.0f} s; R-hat < 1.05 in "
        f"{(found['rhat'][seen] < 1.05).mean():.1%}, effective samples "
        f"{np.median(found['ess'][seen]):.0f}, step {chains.step:.3f}, accepted "
        f"{chains.acceptance:.2f}, converged {app.converged}"
    )


if __name__ == "__main__":
    main()
