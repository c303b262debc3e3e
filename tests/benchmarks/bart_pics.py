"""``bart pics -R TF:`` beside ``bart pics -R W:``, real BART, real k-space.

    python tests/benchmarks/bart_pics.py [--prior brain] [--ways] [--nlinv] [--mask NAME]

BART's wavelet is given the best lambda in hindsight; the prior runs with the
defaults of ``bart_plugin.pics``. Times are those of the whole BART command.
With ``--ways``, the ways of annealing within BART are measured too; with
``--nlinv``, ``nlinv`` with and without the prior, its image scaled to the reference.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from cases import brain8

import bart_plugin
import sigpy_priors as spp
from bart_plugin import toolbox
from bart_plugin.algorithms import Fista, annealed
from bart_plugin.graph.contract import image_shape
from bart_plugin.graph.proximal import prox_graph
from sigpy_priors.show.metrics import object_mask, psnr

LAMDAS = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3e-2)


def timed(function):
    """Result and seconds."""
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def wavelet(case, bart):
    """Best image of ``-R W:3:0:lambda``, its lambda, and the median time."""
    runs = []
    mask = object_mask(case.reference)
    for lamda in LAMDAS:
        x, seconds = timed(
            lambda lam=lamda: bart_plugin.run(
                f"pics -S -i 60 -R W:3:0:{lam}", case.y[:, None], case.mps[:, None],
                bart=bart,
            )
        )  # fmt: skip
        runs.append((psnr(x, case.reference, mask), lamda, seconds))
    best = max(runs)
    return best[0], best[1], float(np.median([r[2] for r in runs]))


def warm_starts(case, prior, bart):
    """Several calls with a fixed level each, warm started."""
    x, usual = None, Fista()
    for sigma in annealed(usual.first, usual.last, 5):
        x = bart_plugin.pics(
            case.y, case.mps, prior, sigma=sigma, max_iter=6, warm_start=x, bart=bart,
            relaxation=min(1, usual.relaxation / sigma), algorithm="fista",
        )  # fmt: skip
    return x


class OwnLevel(torch.nn.Module):
    """A denoiser that takes its noise level from the image, not as given.

    The mean absolute 2 x 2 Haar detail of white noise of deviation s is 0.8 s.
    """

    def __init__(self, denoiser, factor):
        super().__init__()
        self.denoiser = denoiser
        self.factor = factor * 2**0.5 / 0.8

    def forward(self, x, sigma):
        a, b = x[..., 1:, 1:] - x[..., :-1, 1:], x[..., 1:, :-1] - x[..., :-1, :-1]
        detail = ((a - b) / 2).abs().mean((1, 2, 3))
        return self.denoiser(x, (self.factor * detail).clamp(0.005, 0.3))


def own_level(case, prior, bart, factor, relaxation):
    """``pics`` with a graph that estimates its noise level itself."""
    shape = image_shape(case.reference.shape)
    module = OwnLevel(prior.module(), factor)
    with tempfile.TemporaryDirectory() as work:
        graph = Path(work) / "own.pb"
        one = np.float32([0.01]), np.float32([relaxation])
        graph.write_bytes(prox_graph(module, shape, *one))
        return bart_plugin.pics(
            case.y, case.mps, prior, graph=graph, algorithm="fista", bart=bart
        )


def ways(case, prior, bart):
    """Name and function of each way of choosing the noise level."""

    def pics(**options):
        return lambda: bart_plugin.pics(case.y, case.mps, prior, bart=bart, **options)

    yield "ADMM, level counted in the graph (default)", pics()
    yield "ADMM, one level 0.028", pics(sigma=0.028)
    yield "FISTA, counted", pics(algorithm="fista")
    yield "FISTA, counted, without momentum", pics(algorithm="ist")
    levels, _ = Fista().schedule(prior)
    yield "FISTA, counted, relaxation 1", pics(algorithm="fista", sigma=levels)
    yield "FISTA, one level 0.01", pics(algorithm="fista", sigma=0.01)
    yield (
        "FISTA, level from the image, relaxation 0.6",
        lambda: own_level(case, prior, bart, 1.0, 0.6),
    )
    yield "FISTA, 5 calls with -W", lambda: warm_starts(case, prior, bart)


def scaled(x, reference, mask):
    """The multiple of x whose magnitude is nearest to the reference's."""
    x, target = np.abs(x.reshape(reference.shape)), np.abs(reference)
    return x * (np.vdot(x[mask], target[mask]) / np.vdot(x[mask], x[mask]))


def joint(case, prior, bart):
    """Name and function of ``nlinv`` without and with the prior."""
    y = case.y[:, None]
    yield "nlinv", lambda: bart_plugin.run("nlinv -i 9", y, outputs=2, bart=bart)[0]
    yield "nlinv -R TF:", lambda: bart_plugin.nlinv(case.y, prior, bart=bart)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="brain")
    parser.add_argument("--ways", action="store_true")
    parser.add_argument("--nlinv", action="store_true")
    parser.add_argument("--mask", default="", help="only masks with this in their name")
    args = parser.parse_args()
    prior = spp.load_prior(args.prior)
    bart = toolbox.find()
    print(f"BART {toolbox.version_of(bart)}")
    print("| mask | method | PSNR | seconds |")
    print("|---|---|---|---|")
    for case in (c for c in brain8() if args.mask in c.name):
        mask = object_mask(case.reference)

        def row(name, x, seconds, case=case, mask=mask):
            value = psnr(x, case.reference, mask)
            print(f"| {case.name} | {name} | {value:.2f} | {seconds:.2f} |", flush=True)

        best, lamda, seconds = wavelet(case, bart)
        name = f"pics -R W:3:0:{lamda}, best lambda"
        print(f"| {case.name} | {name} | {best:.2f} | {seconds:.2f} |", flush=True)
        # The graph is exported once and then found in the cache.
        bart_plugin.pics(case.y, case.mps, prior, bart=bart)
        candidates = list(ways(case, prior, bart))
        for name, function in candidates if args.ways else candidates[:1]:
            row(f"pics -R TF:, {name}", *timed(function))
        for name, function in joint(case, prior, bart) if args.nlinv else ():
            x, seconds = timed(function)
            row(name, scaled(x, case.reference, mask), seconds)
        app, seconds = timed(
            lambda: spp.app.PriorRecon(case.y, case.mps, prior, show_pbar=False).run()
        )
        row("PriorRecon", app, seconds)


if __name__ == "__main__":
    main()
