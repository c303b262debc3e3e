"""``sigpy-priors sample``: k-space in a file to posterior samples in files."""

import functools
from pathlib import Path

from sigpy_priors.volume import run as volume

__all__ = ["add_parser"]

# Arguments of PosteriorSampling that are options of the command and decide the
# result.
_OPTIONS = ("num_samples", "method", "steps", "seed")


def add_parser(commands):
    """Declare the subcommand and its options."""
    p = commands.add_parser(
        "sample",
        help="draw images from the posterior, with their uncertainty",
        description="Draw samples from the posterior of k-space and a learned "
        "prior, slice by slice. Writes OUT (samples), OUT_mean, OUT_std and a "
        "picture of each slice. A run that was interrupted continues when the "
        "same command is given again.",
    )
    volume.add_arguments(p)
    p.add_argument("-n", "--num-samples", type=int, default=16, metavar="N",
                   help="samples of each slice [16]")
    p.add_argument("--method", default="mmps", metavar="NAME", help="sampler [mmps]")
    p.add_argument("--steps", type=int, metavar="K",
                   help="noise levels [about 60 network evaluations]")
    p.add_argument("--level", type=float, default=0.9, metavar="P",
                   help="of the credible interval in the picture [0.9]")
    p.add_argument("--seed", type=int, default=0, metavar="S",
                   help="of the first slice, one more for each that follows [0]")
    p.add_argument("--chunk-size", type=int, metavar="N",
                   help="samples computed together [found]")
    p.set_defaults(run=run)


def run(args):
    """Draw for every slice that is not finished, write, say what was found."""
    import numpy as np

    from sigpy_priors.io import slices as io
    from sigpy_priors.show import plot_posterior
    from sigpy_priors.scan.noise import estimate_scale

    if args.num_samples < 2:
        raise ValueError(
            f"-n {args.num_samples}: expected at least 2 samples for an uncertainty."
        )
    out = Path(args.output)
    checkpoint = out.with_name(f".{out.stem}.{{}}.samples.npz")
    if args.restart:
        for file in out.parent.glob(checkpoint.name.format("*")):
            file.unlink()
    options = {name: getattr(args, name) for name in _OPTIONS}
    compute = functools.partial(
        _sample,
        # Workers elsewhere may not see this folder.
        checkpoint=None if args.scheduler not in (None, "local") else checkpoint,
        chunk_size=args.chunk_size,
        show_pbar=args.scheduler is None,
        **options,
    )
    with volume.process(args, compute, _OPTIONS) as (chosen, samples, is_volume):
        mean = np.stack([x.mean(axis=0) for x in samples])
        std = np.stack([x.std(axis=0, ddof=1) for x in samples])
        for i, x in zip(chosen, samples):
            name = f"{out.stem}_{i:03d}.png" if is_volume else f"{out.stem}.png"
            plot_posterior.posterior(x, out.with_name(name), level=args.level)
        io.write_image(out, samples if is_volume else samples[0], samples=True)
        for name, image in (("mean", mean), ("std", std)):
            io.write_image(
                out.with_name(f"{out.stem}_{name}{out.suffix}"),
                image if is_volume else image[0],
            )
    relative = np.mean([s.mean() / estimate_scale(m) for m, s in zip(mean, std)])
    print(
        f"{out}: {samples.shape[1]} samples of {len(chosen)} slice(s), mean std "
        f"{relative:.1%} of the scale; pictures beside it"
    )


def _sample(prior, i, y, mps, seed, checkpoint, **options):
    from sigpy_priors.app.sampling import PosteriorSampling

    if checkpoint is not None:
        checkpoint = Path(str(checkpoint).format(f"{i:05d}"))
    app = PosteriorSampling(
        y, mps, prior, seed=seed + i, checkpoint=checkpoint, **options
    )
    samples = app.run()
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return samples
