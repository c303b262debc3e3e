"""What a GPU gives: apps beside the bare network, and that beside the card.

    python tests/benchmarks/gpu.py [--device 0] [--size 256] [--coils 8]

- the network alone, images in a batch that is on the device: images/s, and its
  share of what the card reaches in a large matrix product of that precision;
- PriorRecon on k-space that is on the device: slices/s, and the network's share
  of its time (8 evaluations each);
- PosteriorSampling, samples of one slice together: samples/s, and the same.

With --device -1 everything runs on the CPU, which shows that it runs.
"""

import argparse
import time

import numpy as np
import sigpy as sp
import torch

import sigpy_priors as spp
from sigpy_priors.app import PosteriorSampling, PriorRecon
from sigpy_priors.data.example import example, undersample
from sigpy_priors.priors.network import PRECISIONS

SIGMA = 0.1


def seconds(function, device, repeats):
    """Median time of a call, after two that are not counted."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return float(np.median(times[2:]))


def network_flops(prior, x):
    """Floating-point operations for one image."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        prior.denoise(x[:1], SIGMA)
    return counter.get_total_flops()


def card_flops(device, precision, n):
    """Operations per second of a matrix product, as the network computes."""
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    a = torch.randn(n, n, device=device, dtype=kind)
    try:
        return 2 * n**3 / seconds(lambda: a @ a, device, 5)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def case(size, coils):
    """k-space and maps of the bundled example, cut or repeated to a size."""
    image, mps = example(num_coils=coils)
    step = max(1, image.shape[0] // size)
    image = np.ascontiguousarray(sp.resize(image[::step, ::step], (size, size)))
    mps = sp.resize(mps[:, ::step, ::step], (coils, size, size))
    mps = mps / np.maximum(sp.rss(mps, axes=(0,)), 1e-3)
    return undersample(image, mps.astype(np.complex64), 4), mps.astype(np.complex64)


def measure(prior, precision, y, mps, args):
    """One row of the table: rates of network, PriorRecon and PosteriorSampling."""
    gpu = sp.Device(args.device)
    device = torch.device("cpu" if args.device < 0 else f"cuda:{args.device}")
    fast = prior.with_options(precision, args.compile)
    x = torch.randn(args.batch, *y.shape[1:], dtype=torch.complex64, device=device)
    flops = network_flops(prior, x)
    bare = args.batch / seconds(lambda: fast.denoise(x, SIGMA), device, args.repeats)
    single = 1 / seconds(lambda: fast.denoise(x[:1], SIGMA), device, args.repeats)
    share = bare * flops / card_flops(device, precision, args.matrix)
    y, mps = sp.to_device(y, gpu), sp.to_device(mps, gpu)

    def recon():
        PriorRecon(y, mps, fast, device=gpu, show_pbar=False).run()

    before = fast.evaluations
    slices = 1 / seconds(recon, device, args.repeats)
    evaluations = (fast.evaluations - before) / (args.repeats + 2)
    app = None

    def sample():
        nonlocal app
        app = PosteriorSampling(
            y, mps, fast, args.samples, steps=args.steps, device=gpu, show_pbar=False
        )
        app.run()

    samples = args.samples / seconds(sample, device, max(args.repeats // 3, 1))
    return (
        precision,
        f"{bare:.1f}",
        f"{share:.0%}",
        f"{slices:.2f}",
        f"{slices * evaluations / single:.0%}",
        f"{samples:.3f}",
        f"{samples * app.evaluations / bare:.0%}",
    )


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prior", default="brain")
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--steps", type=int, help="of PosteriorSampling [its default]")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--matrix", type=int, default=8192)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args(argv)
    name = "CPU" if args.device < 0 else torch.cuda.get_device_name(args.device)
    print(
        f"{name}, {args.size} x {args.size}, {args.coils} coils, torch "
        f"{torch.__version__}, compiled: {args.compile}\n"
    )
    columns = (
        "precision", "network / (images/s)", "of the card", "PriorRecon / (slices/s)",
        "of it network", "PosteriorSampling / (samples/s)", "of it network",
    )  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    prior = spp.load_prior(args.prior, runtime="torch")
    y, mps = case(args.size, args.coils)
    for precision in PRECISIONS:
        if precision == "double" or (precision == "tf32" and args.device < 0):
            continue
        row = measure(prior, precision, y, mps, args)
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
