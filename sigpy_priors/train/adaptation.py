"""A prior of one's own from a few images: fine-tuning that knows when to stop.

The last fifth of the images is kept aside and judges: training ends where it no longer
gains there (``optim.patience``), and what is no better than the start is not written. What
the parent knew is kept as well: the weights go back towards the parent's, on the line
between both, until the bundled example is denoised as before within :data:`KEPT`.

References:
    Wortsman, M., et al. (2022). Robust fine-tuning of zero-shot models. CVPR (weights
    between those before and after).
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sigpy_priors.backend.validate import check_path
from sigpy_priors.data.example import example
from sigpy_priors.io.output import check_writable, refuse_inputs
from sigpy_priors.load import load_prior
from sigpy_priors.priors.card import PriorCard
from sigpy_priors.priors.module import ChannelDenoiser, add_noise
from sigpy_priors.priors.saving import save_prior
from sigpy_priors.train.config import TrainConfig
from sigpy_priors.train.datasets import open_slices
from sigpy_priors.train.loop import train
from sigpy_priors.train.start import inherited
from sigpy_priors.train.validation import SIGMAS, denoising_psnr, validation_set

__all__ = ["KEPT", "OPTIM", "Adapted", "adapt"]

KEPT = 0.2
"""float: dB that the bundled example may lose at any noise level."""
OPTIM = {
    "steps": 800, "patience": 4, "batch_size": 16, "lr": 2e-3, "lr_rest": 4e-4,
    "warmup": 50, "ema": 0.98, "precision": "bfloat16",
}  # fmt: skip
"""dict: how it is trained, fields of
:class:`~sigpy_priors.train.config.OptimConfig`. The average is over 50 steps, the time
between two validations."""

_ASIDE = 0.2
_LEAST = 5  # images
_EVERY = 50  # steps between validations
_LINE = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15)  # parts of the way from the parent


@dataclass(frozen=True)
class Adapted:
    """What adapting gave.

    Attributes:
        file (Path): the prior.
        before, after (dict): noise level to PSNR in dB on the images kept aside.
        kept (dict): noise level to PSNR on the bundled example, after minus before.
        images (dict): truth, noisy, before and after at the noise level 0.1 of one image
            kept aside, complex (H, W).
    """

    file: Path
    before: dict[float, float]
    after: dict[float, float]
    kept: dict[float, float]
    images: dict[str, np.ndarray]

    def table(self) -> str:
        """Markdown: PSNR before and after, and what the example lost or gained."""
        rows = ["| sigma | before | after | bundled example |", "|---|---|---|---|"]
        for s in self.before:
            rows.append(
                f"| {s:g} | {self.before[s]:.2f} | {self.after[s]:.2f} "
                f"| {self.kept[s]:+.2f} |"
            )
        return "\n".join(rows)


def adapt(
    prior: str | Path,
    data: str | Path,
    out: str | Path,
    device: str | None = None,
    optim: Mapping[str, Any] | None = None,
    show_pbar: bool = True,
) -> Adapted:
    """Adapt a prior to images.

    The new prior inherits strength, noise levels, data and licence; its card names the
    parent. Fewer than 20 images make little difference.

    Args:
        prior (str or Path): denoiser to start from, a bundled name or a file.
        data (str or Path): folder of images, or one file, of any kind that
            ``sigpy-priors train`` reads; their scale does not matter.
        out (str or Path): prior file to write, ``.safetensors``.
        device (str or None): torch device; default a GPU where there is one.
        optim (mapping or None): replaces some of :data:`OPTIM`, such as
            ``{"minutes": 10}``.
        show_pbar (bool): progress bar.

    Returns:
        Adapted: what it gave.

    Raises:
        ValueError: if the prior cannot be trained, there are fewer than 5 images, or
            nothing better than the parent was found: then no file is written.
    """
    out, data = check_path("out", out), check_path("data", data)
    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: expected a name that ends in .safetensors.")
    check_writable(out)
    parent = load_prior(prior, runtime="torch")
    card = getattr(parent, "card", None)
    if card is None or card.kind != "denoiser" or card.architecture == "onnx":
        raise ValueError(f"prior: {prior} is no denoiser with a network of torch.")
    refuse_inputs(out, {"prior": prior, "data": data})
    root, pattern = (data, ".") if data.is_dir() else (data.parent, data.name)
    config = _config(card, str(prior), pattern, out.stem, optim)
    before: Any = parent.model  # type: ignore[attr-defined]
    before.cpu().float().eval()
    count = len(open_slices([pattern], root)[0])
    if count < _LEAST:
        raise ValueError(f"{data}: {count} images, expected at least {_LEAST}.")
    val = validation_set(config, root, before.stride)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".adapt-") as folder:
        file = train(config, root, folder, device, show_pbar)
        trained: Any = load_prior(file, runtime="torch")  # type: ignore[arg-type]
    after, kept = _towards(before, trained.model, _example(before.stride))
    tables = [denoising_psnr(net, *val) for net in (before, after)]
    if np.mean(list(tables[1].values())) <= np.mean(list(tables[0].values())):
        raise ValueError(
            f"what keeps the bundled example within {KEPT} dB is no better on the images "
            f"kept aside: nothing is written. More images may help."
        )
    _write(out, after, card, trained.card, tables)
    return Adapted(out, tables[0], tables[1], kept, _shown(before, after, val))


def _config(card, prior, pattern, name, optim):
    """The ordinary training run that adapts a prior."""
    old = card.config
    low, high = card.sigma_range
    sigma = {k: v for k, v in old.get("sigma", {}).items() if k in ("center", "spread")}
    data = old.get("data", {})
    config = {
        "name": "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
        or "adapted",
        "data": {
            "train": [pattern],
            "aside": _ASIDE,
            "crop": [64],
            "phase": data.get("phase", {}),
        },
        "model": card.model_dump(
            include={"architecture", "options", "precond", "precond_options"}
        ),
        "init": prior,
        "sigma": {**sigma, "min": low, "max": high},
        "optim": {**OPTIM, **(optim or {})},
        "val_every": _EVERY,
        "val_images": 8,
        "checkpoint_every": 10**6,
        "weight_dtype": "float32",
        "card": {"package": card.package},
    }
    return TrainConfig.model_validate(config)


def _example(stride):
    """The bundled example as :func:`validation_set` would give it."""
    image = torch.from_numpy(example()[0])
    h, w = (n // stride * stride for n in image.shape)
    clean = torch.view_as_real(image[:h, :w]).permute(2, 0, 1)[None].contiguous()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return clean, noise


def _towards(parent, trained, held):
    """The farthest network on the line that holds the example, and what it changed."""
    start = denoising_psnr(parent, *held)
    net = copy.deepcopy(parent)
    a, b = parent.state_dict(), trained.state_dict()
    for part in _LINE:
        net.load_state_dict({k: torch.lerp(a[k], b[k].to(a[k]), part) for k in a})
        now = denoising_psnr(net, *held)
        change = {s: now[s] - start[s] for s in start}
        if min(change.values()) >= -KEPT:
            return net, change
    raise ValueError(
        f"any step towards these images costs the bundled example more than {KEPT} dB: "
        f"nothing is written. Train a prior of its own (sigpy-priors train)."
    )


def _write(out, net, parent: PriorCard, trained: PriorCard, tables):
    before, after = ({f"{k:g}": round(v, 2) for k, v in t.items()} for t in tables)
    images = "images kept aside, denoising PSNR in dB by sigma"
    passed_on = inherited(parent)
    card = parent.model_copy(
        update={
            **passed_on,
            "name": trained.name,
            "description": f"{parent.name}, adapted to other images. {parent.description}",
            "data": [
                *passed_on["data"],
                {"source": "images that it was adapted to", "licence": "their owner's"},
            ],
            "license": parent.license and f"{parent.license}; and that of the images",
            "citation": "",
            "notes": "",
            "validation": {images: after, f"{images}, before": before},
            "config": trained.config,
            "commit": trained.commit,
            "hours": trained.hours,
            "hardware": trained.hardware,
        }
    )
    save_prior(out, net, card, "float16")


def _shown(before, after, val):
    """One image kept aside, at the noise level 0.1."""
    clean, noise = (v[:1] for v in val)
    noisy = add_noise(clean, noise, torch.tensor([SIGMAS[2]]))
    level = torch.tensor([SIGMAS[2]])
    with torch.no_grad():
        found = [ChannelDenoiser(net)(noisy, level) for net in (before, after)]
    names = ("truth", "noisy", "before", "after")
    return {
        name: torch.complex(*x[0]).numpy()
        for name, x in zip(names, (clean, noisy, *found))
    }
