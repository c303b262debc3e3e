"""What DenoiserReg costs beside the bare network, and how it grows.

    python tests/benchmarks/prox.py [--prior brain] [--picture OUT.png]

Prints the ratio of a DenoiserReg call to the bare torch forward on the same
tensor, measured in turn in one run, and the time per slice and per pixel.
"""

import argparse
import time

import numpy as np
import sigpy as sp
import torch

import sigpy_priors as spp


def in_turn(functions, repeats=15):
    """Median seconds of each function, called A B A B after a warm-up."""
    times = np.zeros((repeats + 2, len(functions)))
    for row in times:
        for k, f in enumerate(functions):
            start = time.perf_counter()
            f()
            row[k] = time.perf_counter() - start
    return np.median(times[2:], axis=0)


def pair(prior, shape):
    """A DenoiserReg call and the bare forward on the same image."""
    x = sp.randn(shape, dtype=np.complex64)
    reg = spp.prox.DenoiserReg(shape, prior, 0.5)
    model = prior.to(torch.device("cpu"), torch.float32)
    flat = torch.from_numpy(x.reshape((-1,) + shape[-2:]))
    channels = torch.view_as_real(flat).permute(0, 3, 1, 2).contiguous()
    channels = channels.to(memory_format=torch.channels_last)
    sigma = torch.full((len(flat),), 0.1)

    def bare():
        with torch.no_grad():
            model(channels, sigma)

    return (lambda: reg(0.01, x)), bare


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="brain")
    parser.add_argument("--picture")
    args = parser.parse_args()
    prior = spp.load_prior(args.prior)
    call, bare = in_turn(pair(prior, (256, 256)))
    print(f"256 x 256: DenoiserReg / bare forward = {call / bare:.3f}")
    curves = {"slices of 128 x 128": [], "pixels of one slice": []}
    for n in (1, 2, 4, 8):
        (t,) = in_turn(pair(prior, (n, 128, 128))[:1], 5)
        curves["slices of 128 x 128"].append((n, t))
    for side in (64, 128, 192, 256, 384, 512):
        (t,) = in_turn(pair(prior, (side, side))[:1], 5)
        curves["pixels of one slice"].append((side**2, t))
    for name, points in curves.items():
        print(f"\n| {name} | ms | microseconds each |\n|---|---|---|")
        for n, t in points:
            print(f"| {n} | {1e3 * t:.1f} | {1e6 * t / n:.3g} |")
    if args.picture:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        fig, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
        for ax, (name, points) in zip(axes, curves.items()):
            n, t = np.array(points).T
            ax.plot(n, 1e3 * t, "o-")
            ax.set(xlabel=name, ylabel="ms", xlim=(0, None), ylim=(0, None))
        fig.savefig(args.picture, dpi=120)


if __name__ == "__main__":
    main()
