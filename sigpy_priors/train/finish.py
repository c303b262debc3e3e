"""From a finished training run to a prior file with its card."""

import platform
import subprocess
from pathlib import Path

import torch

from sigpy_priors.card import PriorCard
from sigpy_priors.package import save_prior

__all__ = ["write_prior"]


def _commit():
    """The commit of this source tree, or '' outside of one."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _hardware(device):
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {platform.machine()}, {torch.get_num_threads()} threads"


def write_prior(path, model, config, table, seconds):
    """Write the prior of a finished run.

    Args:
        path (str or Path): file to write.
        model (Precond): averaged weights.
        config (TrainConfig): what it was trained with.
        table (dict or None): validation PSNR in dB by sigma.
        seconds (float): training time.

    Returns:
        Path: the file.
    """
    device = next(model.parameters()).device
    validation = {}
    if table:
        validation = {"denoising PSNR in dB by sigma": {
            f"{s:g}": round(v, 2) for s, v in table.items()
        }}
    card = PriorCard(
        **{
            "name": config.name,
            **config.model.model_dump(),
            "sigma_range": (config.sigma.min, config.sigma.max),
            "config": config.model_dump(mode="json", exclude={"card"}),
            "commit": _commit(),
            "hours": round(seconds / 3600, 2),
            "hardware": _hardware(device),
            "validation": validation,
            **config.card,
        }
    )
    save_prior(path, model, card, config.weight_dtype)
    return Path(path)
