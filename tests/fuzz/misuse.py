"""Calls of the public API with one argument that is wrong, hundreds of them.

Each must give a finite result or an error that names the argument:
``python tests/fuzz/misuse.py`` counts them.
"""

import collections
import os
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

NAN, INF = float("nan"), float("inf")
NUMBERS = (NAN, INF, -INF, -1, -0.5, "wide", None, [], [1, 2], {}, 1j, 1e300, np.nan)
COUNTS = (0, -1, 1.5, NAN, INF, "three", None, [], 1j)
IMAGES = (
    None, "image", 7, [1, 2], np.zeros((0, 16), complex), np.zeros((16, 0), complex),
    np.full((16, 16), NAN + 0j), np.full((16, 16), INF + 0j), np.ones(16, complex),
    np.ones((16, 16), object), np.array("text"), np.ones((5, 7), complex),
    np.ones((16, 16), bool), 1e300 * np.ones((16, 16), complex), {},
)  # fmt: skip
KSPACE = (
    None, "k.npy", 7, [], np.zeros((4, 16, 16), complex), np.ones((4, 16, 16)),
    np.full((4, 16, 16), NAN + 0j), np.ones((16, 16), complex), np.ones(4, complex),
    np.ones((3, 16, 16), complex), np.ones((4, 8, 16), complex), np.ones((0, 16, 16), complex),
    np.ones((4, 16, 16), object), np.ones((2, 4, 16, 16), complex), {},
)  # fmt: skip
PRIORS = (None, "brain", 7, {}, object(), np.ones((16, 16)), int)
TEXTS = (None, 7, "", "no such", [], object(), b"x", "a\0b", "x; rm -rf /")
SHAPES = (None, 7, (), (16,), (16, -1), (16, 0), ("a", "b"), (16.5, 16), (NAN, 16), {})
PATHS = (None, 7, [], "", "no/such/folder/file", "a\0b", b"x")


def _things():
    import sigpy as sp
    import torch
    from sigpy.mri import birdcage_maps

    from sigpy_priors.models import build_model
    from sigpy_priors.models.pixelcnn import PixelCNN
    from sigpy_priors.priors.card import PriorCard
    from sigpy_priors.priors.density import NetworkDensity
    from sigpy_priors.priors.gaussian import GaussianPrior
    from sigpy_priors.priors.network import NetworkPrior

    torch.manual_seed(0)
    v, u = np.mgrid[-8:8, -8:8]
    prior = GaussianPrior(np.zeros((16, 16)), spectrum=20 / (1 + u**2 + v**2) ** 1.5)
    options = {"channels": [4, 8], "blocks": [1, 1], "emb_channels": 8}
    card = PriorCard(
        name="t", architecture="unet", options=options, sigma_range=(0.01, 2)
    )
    net = NetworkPrior(build_model(card.model_dump()), card)
    density = NetworkDensity(PixelCNN(2, (8,), (1,), 2))
    rng = np.random.default_rng(0)
    image = prior.sample(1, 1)[0]
    mps = birdcage_maps((4, 16, 16))
    mps = mps / sp.rss(mps, axes=(0,))
    noise = rng.standard_normal((4, 16, 16)) + 1j * rng.standard_normal((4, 16, 16))
    y = sp.fft(mps * image, axes=(-2, -1)) + 0.01 * noise
    return dict(
        prior=prior, net=net, density=density, card=card, y=y, mps=mps,
        x=image / abs(image).max(), samples=prior.sample(4, 2),
    )  # fmt: skip


def calls(folder):
    """The table: name, callable, good arguments, and bad values by argument.

    Args:
        folder (Path): for files.

    Returns:
        list of tuple.
    """
    import bart_plugin
    from sigpy_priors import load_prior, onnx
    from sigpy_priors.app import PosteriorSampling, PriorRecon
    from sigpy_priors.load import read_card
    from sigpy_priors.posterior import calibration, statistics
    from sigpy_priors.priors.gaussian import GaussianPrior
    from sigpy_priors.priors.saving import save_prior
    from sigpy_priors.prox import DenoiserReg, LogPriorReg
    from sigpy_priors.scan import maps, noise
    from sigpy_priors.show import metrics, plot

    t = _things()
    y, mps, x, prior, net, density = (
        t[k] for k in ("y", "mps", "x", "prior", "net", "density")
    )
    mask = np.ones((16, 16), bool)
    scan = {"y": KSPACE, "mps": KSPACE, "prior": PRIORS}
    recon = dict(y=y, mps=mps, prior=prior, max_iter=2, show_pbar=False)
    sampling = dict(y=y, mps=mps, prior=prior, num_samples=2, steps=2, show_pbar=False)

    def run(app):
        return lambda **a: app(**a).run()

    def prox(reg):
        def call(alpha=1.0, input=x, **a):
            return reg(**a)(alpha, input)

        return call

    optional = tuple(v for v in NUMBERS if v is not None)
    counts = tuple(v for v in COUNTS if v is not None)
    table = [
        ("PriorRecon", run(PriorRecon), recon, {
            **scan, "lamda": optional, "noise_std": optional, "max_iter": counts,
            "solver": ("no", 7, b"x", int), "weights": (NAN, -1, "x", np.ones(3), {}),
            "coord": (np.ones((4, 2)), "x", 7, np.full((16, 16, 2), NAN)),
        }),
        ("PosteriorSampling", run(PosteriorSampling), sampling, {
            **scan, "num_samples": COUNTS, "steps": counts, "chunk_size": counts,
            "noise_std": optional, "scale": optional, "sigma_max": optional,
            "sigma_min": optional, "method": TEXTS, "seed": (NAN, -1, "x", 1.5, None),
        }),
        ("DenoiserReg", prox(DenoiserReg), dict(shape=(16, 16), prior=prior, lamda=0.1), {
            "shape": SHAPES, "prior": (*PRIORS, density), "lamda": NUMBERS,
            "scale": NUMBERS, "alpha": NUMBERS, "input": IMAGES,
        }),
        ("LogPriorReg", prox(LogPriorReg), dict(shape=(16, 16), prior=density, lamda=0.1), {
            "shape": SHAPES, "prior": (*PRIORS, prior), "lamda": NUMBERS, "scale": NUMBERS,
            "steps": COUNTS, "step_size": NUMBERS, "alpha": NUMBERS, "input": IMAGES,
        }),
        ("denoise", net.denoise, dict(x=x, sigma=0.1), {"x": IMAGES, "sigma": NUMBERS}),
        ("Gaussian.denoise", prior.denoise, dict(x=x, sigma=0.1), {
            "x": IMAGES, "sigma": NUMBERS,
        }),
        ("score", net.score, dict(x=x, sigma=0.1), {"x": IMAGES, "sigma": (0, *NUMBERS)}),
        ("log_prob", density.log_prob, dict(x=x), {"x": IMAGES}),
        ("grad_log_prob", density.grad_log_prob, dict(x=x), {"x": IMAGES}),
        ("GaussianPrior", lambda **a: GaussianPrior(**a).denoise(x, 0.1),
         dict(mean=np.zeros((16, 16)), spectrum=np.ones((16, 16))), {
            "mean": IMAGES[:-3], "spectrum": IMAGES[:-3]}),
        ("estimate_noise", noise.estimate_noise, dict(y=y), {
            "y": KSPACE, "weights": ("x", np.full((16, 16), NAN), np.ones(3), -np.ones((16, 16))),
            "coord": ("x", 7, np.ones((3, 2)), np.full((16, 16, 2), NAN)),
        }),
        ("estimate_scale", noise.estimate_scale, dict(x=x), {"x": IMAGES}),
        ("estimate_maps", maps.estimate_maps, dict(y=y), {
            "y": KSPACE, "coord": ("x", 7, np.ones((3, 2))), "calib_width": COUNTS,
        }),
    ]  # fmt: skip
    for name in ("psnr", "nrmse", "ssim"):
        table.append((name, getattr(metrics, name), dict(image=x, reference=x + 0.1), {
            "image": IMAGES, "reference": IMAGES,
            "mask": (mask[:3], ~mask, "x", 7, np.full((16, 16), NAN), mask[0]),
        }))  # fmt: skip
    samples = t["samples"]
    table += [
        ("object_mask", metrics.object_mask, dict(reference=x), {
            "reference": IMAGES, "threshold": NUMBERS}),
        ("psnr_of_mse", metrics.psnr_of_mse, dict(mse=0.1), {"mse": NUMBERS, "peak": (0, *NUMBERS)}),
        ("plot.compare", _drawn(plot.compare), dict(images={"a": x}, reference=x), {
            "images": (None, {}, {"a": None}, {"a": x[:4]}, {"a": x * NAN}, [x], 7),
            "reference": IMAGES, "error_scale": optional, "path": PATHS[1:],
        }),
        ("plot.posterior", _drawn(plot.posterior), dict(samples=samples), {
            "samples": (None, samples[:1], samples[0], samples * NAN, "x", 7, samples[:0]),
            "image": IMAGES[1:], "level": (0, 1, *NUMBERS), "shown": COUNTS, "path": PATHS[1:],
        }),
        ("plot.animate", plot.animate, dict(samples=samples, path=folder / "a.gif"), {
            "samples": (None, samples[:1], samples[0], samples * NAN, "x", 7),
            "path": PATHS, "seconds": (0, *NUMBERS),
        }),
        ("interval", statistics.interval, dict(samples=samples), {
            "samples": (None, samples[:1], samples * NAN, "x", 7), "level": (0, 1, *NUMBERS),
            "part": TEXTS,
        }),
        ("load_prior", load_prior, dict(name="brain"), {
            "name": (*PATHS, folder), "runtime": TEXTS}),
        ("read_card", read_card, dict(name="brain"), {"name": (*PATHS, folder)}),
        ("save_prior", save_prior, dict(
            path=folder / "a.safetensors", model=net.model, card=t["card"]), {
            "path": PATHS, "model": PRIORS, "card": (None, {}, 7, "x"),
            "dtype": ("int8", "no", 7, None, "float8"),
        }),
        ("export_onnx", onnx.export_onnx, dict(prior=net, path=folder / "a.onnx"), {
            "prior": PRIORS, "path": PATHS}),
        ("bart.export", bart_plugin.export, dict(
            prior=prior, path=folder / "g", shape=(16, 16), sigma=0.5), {
            "prior": PRIORS, "path": PATHS[:-3], "shape": SHAPES, "sigma": optional,
            "kind": TEXTS, "slices": COUNTS, "maps": COUNTS, "peak": (0, *NUMBERS),
            "relaxation": (0, 2, *optional), "algorithm": TEXTS[1:],
        }),
        ("bart.pics", _no_bart(bart_plugin.pics), dict(y=y, mps=mps, prior=prior), {
            **scan, "lamda": optional, "sigma": optional, "max_iter": counts,
            "algorithm": TEXTS[1:], "relaxation": (0, 2, *optional), "peak": (0, *NUMBERS),
            "warm_start": IMAGES[1:], "options": (7, [], "x; rm", "-R W:7:0:1", "\n", "$(id)"),
            "graph": (7, "no", "a b", [], "{x}"), "bart": (7, "no", []),
        }),
        ("bart.sample", _no_bart(bart_plugin.sample), dict(prior=prior, shape=(16, 16)), {
            "prior": PRIORS, "shape": SHAPES, "n": COUNTS, "levels": COUNTS,
            "langevin": COUNTS, "sigma_max": optional, "sigma_min": optional,
            "seed": (NAN, "x", 1.5, None), "scale": (0, *NUMBERS),
        }),
    ]  # fmt: skip
    del calibration
    return table


def _drawn(function):
    """Figures are no arrays."""

    def call(**arguments):
        function(**arguments)

    return call


class Reached(Exception):
    """BART would be called now, with this command line."""


def _no_bart(function):
    """Up to where the program is called, with its command line."""

    def call(**arguments):
        from unittest import mock

        import bart_plugin.calls as module

        def run(command, *rest, **named):
            raise Reached(command)

        def capable(feature, bart):
            if bart is not None:
                return module_capable(feature, bart)
            return Path("bart")

        module_capable = module.capable_program
        with (
            mock.patch.object(module, "run", run),
            mock.patch.object(module, "capable_program", capable),
            mock.patch.object(module, "version_of", lambda program: "1.0.00"),
        ):
            try:
                function(**arguments)
            except Reached as e:
                words = str(e).lower()
                if any(w in words.split("=,: ") for w in ("nan", "inf", "none")) or (
                    "nan" in words or "inf" in words.replace("inference", "")
                ):
                    raise RuntimeError(f"BART is called with {e}") from e

    return call


# Words that stand for an argument as well as its name.
OTHER_NAMES = {
    "prior": ("Prior",), "alpha": ("sigma",), "input": ("image", "input"),
    "x": ("image",), "shape": ("image", "size"), "images": ("image",),
    "path": ("file", "folder"), "name": ("prior", "file", "folder"),
    "reference": ("image",), "mean": ("spectrum",), "level": ("levels",),
    "mps": ("maps",), "mask": ("weights",), "n": ("n must",), "y": ("k-space", "data"),
}  # fmt: skip


def judge(function, good, argument, value):
    """How a call ends.

    Returns:
        tuple: "result", "named", "unnamed", "obscure" or "NaN"; and what was said.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = function(**(good | {argument: value}))
    except (ValueError, TypeError, FloatingPointError, OSError, ImportError) as e:
        text = " ".join(str(e).split())
        words = (argument, *OTHER_NAMES.get(argument, ()))
        if type(e) in (TypeError, ValueError) or isinstance(e, (ValueError, OSError)):
            if (
                any(w in text for w in words)
                or isinstance(e, ValueError)
                and (str(value) in text and str(value))
            ):
                return "named", text
        return "unnamed", f"{type(e).__name__}: {text}"
    except Exception as e:
        return "obscure", f"{type(e).__name__}: {' '.join(str(e).split())[:150]}"
    if out is not None:
        try:
            finite = np.isfinite(np.asarray(out, dtype=complex)).all()
        except (TypeError, ValueError):
            finite = True
        if not finite:
            return "NaN", str(out)[:60]
    return "result", ""


def count(folder, show=None):
    """Try all of them.

    Returns:
        tuple: Counter of ends, and list of the texts of bad ones.
    """
    ends, bad = collections.Counter(), []
    for name, function, good, arguments in calls(folder):
        kind, text = judge(function, good, next(iter(good)), next(iter(good.values())))
        if kind != "result":
            bad.append(f"{name}: the good call ends as {kind}: {text}")
        for argument, values in arguments.items():
            for value in values:
                kind, text = judge(function, good, argument, value)
                ends[kind] += 1
                if kind not in ("result", "named"):
                    short = " ".join(repr(value).split())[:40]
                    bad.append(f"{name}({argument}={short}): {kind}: {text[:160]}")
                    if show:
                        show(bad[-1])
    return ends, bad


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)  # some wrong names are names of files all the same
        print(count(Path(work), print)[0])
