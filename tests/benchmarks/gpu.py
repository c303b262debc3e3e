"""What a GPU gives: apps beside the bare network, and that beside the card.

    python tests/benchmarks/gpu.py [--device 0] [--size 256] [--coils 8]

- the network alone, images in a batch that is on the device: images/s, and its
  share of what the card reaches in a large matrix product of that precision;
- PriorRecon on k-space that is on the device, one slice and --slices together:
  slices/s, and the network's share of its time;
- PosteriorSampling, samples of one slice together: samples/s, and the same.

It ends within --seconds: rows that would begin later are left out, and a figure is
measured as often as its share of the time allows, once at least.

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


# Of the time of a row, for one figure of it.
SHARE = 0.12


def seconds(function, device, repeats, limit=2.0):
    """Median time of a call, after one that is not counted unless it took too long."""
    times, begun = [], time.perf_counter()
    while len(times) <= repeats:
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
        if time.perf_counter() - begun > limit:
            break
    return float(np.median(times[1:] or times))


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


def measure(prior, precision, y, mps, args, limit):
    """One row of the table: rates of network, PriorRecon and PosteriorSampling."""
    gpu = sp.Device(args.device)
    device = torch.device("cpu" if args.device < 0 else f"cuda:{args.device}")
    fast = prior.with_options(precision, args.compile)
    x = torch.randn(args.batch, *y.shape[1:], dtype=torch.complex64, device=device)
    flops = network_flops(prior, x)
    bare, single = (
        len(v)
        / seconds(lambda v=v: fast.denoise(v, SIGMA), device, args.repeats, limit)
        for v in (x, x[:1])
    )
    share = bare * flops / card_flops(device, precision, args.matrix)
    y, mps = sp.to_device(y, gpu), sp.to_device(mps, gpu)

    def rate(y, mps, count, **options):
        """Slices/s, and evaluations of the network for each."""
        calls, before = [], fast.evaluations

        def recon():
            calls.append(1)
            PriorRecon(y, mps, fast, device=gpu, show_pbar=False, **options).run()

        rate = count / seconds(recon, device, args.repeats, limit)
        return rate, (fast.evaluations - before) / len(calls) / count

    slices, evaluations = rate(y, mps, 1)
    with gpu:
        many = [gpu.xp.stack([v] * args.slices) for v in (y, mps)]
    together, of_each = rate(*many, args.slices, slices=True)
    app = None

    def sample():
        nonlocal app
        app = PosteriorSampling(
            y, mps, fast, args.samples, steps=args.steps, device=gpu, show_pbar=False
        )
        app.run()

    samples = args.samples / seconds(sample, device, args.repeats, limit)
    return (
        precision,
        f"{bare:.1f}",
        f"{share:.0%}",
        f"{slices:.2f}",
        f"{slices * evaluations / single:.0%}",
        f"{together:.2f}",
        f"{together * of_each / bare:.0%}",
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
    parser.add_argument("--slices", type=int, default=16, help="together")
    parser.add_argument("--seconds", type=float, default=50)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--matrix", type=int, default=8192)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args(argv)
    begun = time.perf_counter()
    name = "CPU" if args.device < 0 else torch.cuda.get_device_name(args.device)
    print(
        f"{name}, {args.size} x {args.size}, {args.coils} coils, torch "
        f"{torch.__version__}, compiled: {args.compile}\n"
    )
    columns = (
        "precision", "network / (images/s)", "of the card", "PriorRecon / (slices/s)",
        "of it network", "slices together / (slices/s)", "of it network",
        "PosteriorSampling / (samples/s)", "of it network",
    )  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    prior = spp.load_prior(args.prior, runtime="torch")
    y, mps = case(args.size, args.coils)
    rows = [
        p for p in PRECISIONS if p != "double" and (p != "tf32" or args.device >= 0)
    ]
    for k, precision in enumerate(rows):
        left = args.seconds - (time.perf_counter() - begun)
        if left <= 0:
            print(
                f"\nleft out: {', '.join(rows[k:])}; --seconds {args.seconds:g} spent"
            )
            break
        limit = SHARE * left / (len(rows) - k)
        row = measure(prior, precision, y, mps, args, limit)
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
