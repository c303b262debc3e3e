"""onnxruntime beside torch on the CPU: which one a prior runs with.

    python tests/benchmarks/backends.py [--prior brain] [--threads 1 2]

Median of calls of ``denoise`` in turn on one image, as a ratio to torch with
channels last, and the greatest difference; ``--quality`` instead measures what
half precision and int8 kernels lose in denoising validation slices, in dB.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import sigpy as sp
import torch
from prox import in_turn

import sigpy_priors as spp


def speed(name, threads):
    priors = {r: spp.load_prior(name, runtime=r) for r in ("torch", "auto")}
    print("| size | threads | torch / ms | onnxruntime / ms | ratio | difference |")
    print("|---|---|---|---|---|---|")
    for count in threads:
        torch.set_num_threads(count)
        for n in (256, 320):
            x = sp.randn((n, n), dtype=np.complex64)
            calls = [lambda p=p: p.denoise(x, 0.1) for p in priors.values()]
            a, b = (f() for f in calls)
            slow, fast = in_turn(calls, 9)
            gap = np.abs(a - b).max() / np.abs(a).max()
            print(
                f"| {n} x {n} | {count} | {1e3 * slow:.0f} | {1e3 * fast:.0f} "
                f"| {fast / slow:.2f} | {gap:.0e} |",
                flush=True,
            )


def quality(name, count):
    from denoise import images, psnr

    from sigpy_priors.train.validation import SIGMAS

    prior = spp.load_prior(name)
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for kind in ("half", "int8"):
            files[kind] = Path(folder) / f"{kind}.onnx"
            spp.export_onnx(prior, files[kind], **{kind: True})
        print("| sigma | half / dB | int8 / dB |\n|---|---|---|")
        smaller = [spp.load_prior(f) for f in files.values()]
        for sigma in SIGMAS:
            rows = []
            for clean, noise in images(count):
                x = (clean + sigma * noise).astype(np.complex64)
                full = psnr(prior.denoise(x, sigma), clean)
                rows.append([psnr(p.denoise(x, sigma), clean) - full for p in smaller])
            half, int8 = np.mean(rows, axis=0)
            print(f"| {sigma:g} | {half:+.4f} | {int8:+.4f} |", flush=True)
        for kind, f in files.items():
            print(f"{kind}: {f.stat().st_size / 1e6:.1f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="brain")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--images", type=int, default=8)
    args = parser.parse_args()
    if args.quality:
        quality(args.prior, args.images)
    else:
        speed(args.prior, args.threads)


if __name__ == "__main__":
    main()
