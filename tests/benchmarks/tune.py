"""Choose the constants of HQS on simulated scans of validation slices.

    python tests/benchmarks/tune.py [--strength 0.35,0.5,0.7] [--set change=0.2,0.3 ...]
        [--noisy | --sms]

Prints, for each value, the mean PSNR over scans whose maps are estimated by ESPIRiT and
whose noise level is estimated, as a user's are; the evaluations of the prior and the
applications of A^H A that it took; and the gap to 32 levels of 60 steps each. The
values in ``sigpy_priors/app/solvers.py`` and the strengths in the cards of the bundled
priors are those that this prints as best, or within 0.02 dB of it at fewer evaluations.
"""

import argparse
import copy
import dataclasses

import numpy as np
from simulate import scan
from sms import simulate

import sigpy_priors as spp
from sigpy_priors.app.solvers import HQS
from sigpy_priors.scan.maps import estimate_maps
from sigpy_priors.scan.multiband import sms_problem
from sigpy_priors.scan.sense import sense_problem
from sigpy_priors.show.metrics import object_mask, psnr

# Anatomy, slice, mask, coils, noise.
SCANS = [
    ("brain", 40, "Poisson R=4", 8, 0.01),
    ("brain", 90, "Poisson R=4", 12, 0.02),
    ("brain", 120, "Poisson R=8", 8, 0.02),
    ("brain", 160, "Poisson R=8", 8, 0.01),
    ("brain", 200, "Poisson R=12", 8, 0.01),
    ("brain", 20, "1-D R=4", 8, 0.01),
    ("brain", 210, "1-D R=4", 12, 0.02),
    ("brain", 60, "1-D R=6", 8, 0.01),
    ("body", 90, "1-D R=4", 8, 0.015),
    ("body", 30, "Poisson R=8", 6, 0.015),
    ("brain", 150, "Poisson R=4", 1, 0.03),
    ("brain", 250, "1-D R=2", 1, 0.03),
    ("brain", 230, "equispaced R=4", 8, 0.01),
    ("phantom", 12, "partial Fourier", 8, 0.02),
]
# Where noise leaves few levels between the first and the last.
NOISY = [
    ("brain", 150, "Poisson R=4", 1, 0.03),
    ("brain", 250, "1-D R=2", 1, 0.03),
    ("brain", 30, "Poisson R=4", 1, 0.05),
    ("body", 40, "Poisson R=4", 1, 0.04),
    ("brain", 100, "1-D R=2", 1, 0.05),
    ("brain", 120, "Poisson R=8", 8, 0.04),
    ("brain", 210, "1-D R=4", 12, 0.04),
    ("body", 90, "1-D R=4", 8, 0.03),
]
# Slices excited together: numbers and in-plane acceleration.
SMS = [((20, 60), 2), ((150, 230), 1), ((40, 90, 160), 2), ((30, 80, 130, 180), 1)]
SIZE = 144
CONVERGED = dataclasses.replace(HQS(), cg_tol=1e-6)


def prepare(scans):
    """Each scan as a problem, solved for the maps and the noise level once."""
    for anatomy, index, mask, coils, noise in scans:
        s = scan(anatomy, index, mask, coils, noise, size=SIZE, seed=index)
        mps = estimate_maps(s.y) if coils > 1 else s.mps
        yield sense_problem(s.y, mps), s.image


def prepare_sms(scans):
    """Each multiband scan as a problem, of known maps."""
    for numbers, accel in scans:
        y, mps, shifts, image = simulate(numbers, accel)
        yield sms_problem(y, mps, shifts, axis=-1), image


def score(problems, prior, solver, max_iter=None):
    """PSNR of every scan, mean evaluations and applications of A^H A."""
    values, evaluations, normals = [], 0, 0
    for problem, image in problems:
        before = problem.normals
        app = spp.app.PriorRecon.of(
            problem, prior, solver=solver, max_iter=max_iter, show_pbar=False
        )
        found = app.run()
        if found.ndim == 3:  # slices side by side
            found, image = (np.concatenate(x, axis=1) for x in (found, image))
        values.append(psnr(found, image, object_mask(image)))
        evaluations += len(app.sigmas)
        normals += problem.normals - before
    return np.array(values), evaluations / len(values), normals / len(values)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="brain")
    parser.add_argument("--strength", help="values to try")
    parser.add_argument("--noisy", action="store_true", help="the noisy scans")
    parser.add_argument("--sms", action="store_true", help="several slices at once")
    parser.add_argument("--set", action="append", default=[], help="field=values")
    args = parser.parse_args()
    prior = spp.load_prior(args.prior)
    if args.sms:
        problems = list(prepare_sms(SMS))
    else:
        problems = list(prepare(NOISY if args.noisy else SCANS))
    best, _, _ = score(problems, prior, CONVERGED, 32)

    def show(name, prior, solver):
        values, evaluations, normals = score(problems, prior, solver)
        gap = best - values
        print(
            f"{name:24s} {values.mean():.3f} dB, {evaluations:.1f} evaluations, "
            f"{normals:.0f} normals, gap {gap.mean():.2f}, at most {gap.max():.2f} | "
            + " ".join(f"{v:.2f}" for v in values),
            flush=True,
        )

    print(f"{'32 levels x 60 steps':24s} {best.mean():.3f} dB")
    show("default", prior, HQS())
    for strength in (args.strength or "").split(",") if args.strength else ():
        other = copy.copy(prior)
        other.strength = float(strength)
        show(f"strength {strength}", other, HQS())
    for option in args.set:
        field, _, values = option.partition("=")
        kind = int if isinstance(getattr(HQS(), field), int) else float
        for v in values.split(","):
            show(f"{field} {v}", prior, dataclasses.replace(HQS(), **{field: kind(v)}))


if __name__ == "__main__":
    main()
