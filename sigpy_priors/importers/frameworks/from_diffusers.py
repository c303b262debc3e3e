"""A UNet2DModel of diffusers to ONNX, in diffusers' own Python: see :mod:`job`.

The folder has config.json and diffusion_pytorch_model.safetensors, or is that of
a pipeline, with unet/ and scheduler/. The scheduler says what the network
predicts and which noise level a time stands for.
"""

import json
from pathlib import Path

import from_torch
import job as jobs


def _scheduler(folder):
    for path in (folder / "scheduler", folder.parent / "scheduler", folder):
        path = path / "scheduler_config.json"
        if path.exists():
            return json.loads(path.read_text())
    return None


def _hints(scheduler):
    """What the scheduler says, as options of ``sigpy-priors import``."""
    hints = {"channels": None, "layout": "NCHW", "inputs": ["x", "t"]}
    if scheduler:
        kind = scheduler.get("prediction_type", "epsilon")
        kinds = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
        hints["parametrization"] = kinds.get(kind)
        hints["schedule"] = _betas(scheduler)
    return {k: v for k, v in hints.items() if v is not None}


def _betas(scheduler):
    import diffusers

    # A scheduler of diffusers itself computes them, whatever their rule is.
    made = diffusers.DDPMScheduler.from_config(scheduler)
    betas = made.betas.double()
    return {"betas": betas.tolist()} if ((betas > 0) & (betas < 1)).all() else None


def convert(job):
    """Do one job."""
    import diffusers
    import torch

    folder = Path(job["model"])
    unet = folder / "unet" if (folder / "unet").is_dir() else folder
    config = json.loads((unet / "config.json").read_text())
    if config.get("_class_name") != "UNet2DModel":
        raise jobs.Refused(
            f"{unet} is a {config.get('_class_name')}; only an unconditional "
            f"UNet2DModel is a prior of images."
        )
    if config.get("class_embed_type") or config.get("num_class_embeds"):
        raise jobs.Refused(f"{unet} wants class labels, a prior of images has none.")
    net = diffusers.UNet2DModel.from_pretrained(
        unet, use_safetensors=True, local_files_only=True
    )

    class Unet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, t):
            return self.net(x, t).sample

    channels = config["in_channels"]
    inputs = job["spec"] or [f"x:N,{channels},H,W", "t:N"]
    from_torch.export(Unet().eval(), [jobs.parse(s) for s in inputs], job)
    version = f"diffusers {diffusers.__version__} UNet2DModel"
    return {"framework": version, "hints": _hints(_scheduler(folder))}


if __name__ == "__main__":
    jobs.run(convert, "torch", "diffusers", "onnx", "onnxscript")
