"""From a finished training run to a prior file with its card."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch

import sigpy_priors
from sigpy_priors.priors.card import PriorCard
from sigpy_priors.priors.saving import save_prior
from sigpy_priors.train.start import inherited

__all__ = ["write_prior"]


@cache
def _commit():
    """The commit of this source tree; outside of one, the release."""

    def git(*args):
        return subprocess.run(
            ["git", *args],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        # An installed copy may lie inside the repository of something else.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("describe", "--always", "--dirty", "--abbrev=12")
    except (OSError, subprocess.CalledProcessError):
        return f"release {sigpy_priors.__version__}"


def _hardware(device):
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"CPU {platform.machine()}, {torch.get_num_threads()} threads"
    processes = int(os.environ.get("WORLD_SIZE", 1))
    return f"{processes} x {name}" if processes > 1 else name


def _own(config: Any, parent: PriorCard | None) -> dict[str, Any]:
    """What the config says of the card, added to what the parent passes on."""
    said = {k: v for k, v in config.card.model_dump().items() if v not in (None, "")}
    if parent is None:
        return said
    passed_on = inherited(parent)
    said["data"] = [*passed_on["data"], *config.card.data]
    licences = [passed_on["license"], config.card.license]
    said["license"] = "; ".join(dict.fromkeys(t for t in licences if t))
    return passed_on | said


def write_prior(
    path: str | Path,
    model: Any,
    config: Any,
    fields: dict,
    seconds: float,
    parent: PriorCard | None = None,
) -> Path:
    """Write the prior of a finished run.

    Args:
        path (str or Path): file to write.
        model (Precond): averaged weights.
        config (TrainConfig): what it was trained with.
        fields (dict): what the card says by the kind of prior.
        seconds (float): training time.
        parent (PriorCard or None): of the prior that the run started from: strength,
            data and licence are its, and the config's card adds to them.

    Returns:
        Path: the file.
    """
    device = next(model.parameters()).device
    card = PriorCard(
        **{
            "name": config.name,
            **config.model.model_dump(),
            "config": config.model_dump(mode="json", exclude={"card"}),
            "commit": _commit(),
            "hours": round(seconds / 3600, 2),
            "hardware": _hardware(device),
            **fields,
            **_own(config, parent),
        }
    )
    save_prior(path, model, card, config.weight_dtype)
    return Path(path)
