"""The training loop of denoisers: resumable, and distributed with torchrun.

Loss: EDM's, that is :math:`E \\|D(x_0 + n, \\sigma) - x_0\\|^2 / c_{out}^2`,
the squared error of the network proper, so that every noise level weighs
alike (Karras et al. 2022, Section 5).
"""

import copy
import json
import os
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import distributed as dist
from tqdm.auto import tqdm

from sigpy_priors.models import build_model
from sigpy_priors.train.checkpoint import load_checkpoint, save_checkpoint
from sigpy_priors.train.config import dump_config
from sigpy_priors.train.datasets import SliceDataset, open_slices
from sigpy_priors.train.metrics import denoising_psnr, validation_set
from sigpy_priors.train.optim import cosine, make_optimizers

__all__ = ["train"]


class _Processes:
    """This process among those of torchrun; alone without it."""

    def __init__(self, device):
        self.size = int(os.environ.get("WORLD_SIZE", 1))
        self.rank = int(os.environ.get("RANK", 0))
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda":
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        self.device = torch.device(device)
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group(
                "nccl" if self.device.type == "cuda" else "gloo"
            )

    def wrap(self, model):
        if self.size == 1:
            return model
        return torch.nn.parallel.DistributedDataParallel(model)

    def mean(self, value):
        if self.size > 1:
            dist.all_reduce(value)
            value /= self.size
        return value

    def close(self):
        if self.size > 1:
            dist.destroy_process_group()


def _loss(model, net, x, noise, sigma, autocast):
    """EDM loss; ``sigma`` is complex, the network's is per channel."""
    per_channel = sigma / 2**0.5
    with autocast():
        out = model(x + noise * per_channel[:, None, None, None], per_channel)
    c_out = net.coefficients(per_channel)[1]
    error = (out.float() - x).square().mean(dim=(1, 2, 3))
    return (error / c_out**2).mean()


def train(config, data, out, device=None, workers=0, show_pbar=True):
    """Train a denoiser; continue where an earlier call was interrupted.

    Args:
        config (TrainConfig): what to train on what.
        data (str or Path): folder that the config's patterns refer to.
        out (str or Path): folder for checkpoint, log and the finished prior.
        device (str or None): torch device; default a GPU where there is one.
        workers (int): processes that prepare images; 0 for none.
        show_pbar (bool): progress bar with images/s.

    Returns:
        Path or None: the finished prior file, on the first process.

    Raises:
        ValueError: if ``out`` holds a run with another config, no data are
            found, or the loss stops being finite.
    """
    procs = _Processes(device)
    if config.optim.batch_size % procs.size:
        raise ValueError(
            f"optim.batch_size = {config.optim.batch_size} cannot be shared "
            f"by {procs.size} processes."
        )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    lead = procs.rank == 0

    torch.manual_seed(config.seed)
    net = build_model(config.model.model_dump()).to(procs.device)
    net = net.to(memory_format=torch.channels_last)
    ema = copy.deepcopy(net).requires_grad_(False).eval()
    optimizers = make_optimizers(net, config.optim)

    # Whatever decides the course of the run; the card may be reworded later.
    identity = json.loads(config.model_dump_json(exclude={"card"}))
    checkpoint = out / "checkpoint.safetensors"
    start, seconds = 0, 0.0
    if checkpoint.exists():
        meta = load_checkpoint(checkpoint, {"net": net, "ema": ema}, optimizers)
        changed = [k for k in identity if meta["config"].get(k) != identity[k]]
        if changed:
            raise ValueError(
                f"{checkpoint} belongs to a run with another config "
                f"({', '.join(changed)} differ): choose another output folder, "
                f"or delete it to start anew."
            )
        start, seconds = meta["step"], meta["seconds"]
    model = procs.wrap(net)

    dataset = SliceDataset(*open_slices(config.data.train, data, config.data.min_signal), config)
    batches = _batches(dataset, start, config, procs, workers)
    val = validation_set(config, data) if lead and config.data.val else None
    log = _Log(out, start, lead)
    if lead:
        (out / "config.yaml").write_text(dump_config(config))

    def autocast():
        if config.optim.precision == "float32":
            return nullcontext()
        return torch.autocast(procs.device.type, dtype=torch.bfloat16)

    def save(step):
        if lead:
            meta = {"config": identity, "step": step, "seconds": bar.seconds(seconds)}
            save_checkpoint(checkpoint, {"net": net, "ema": ema}, optimizers, meta)

    bar = _Bar(config, start, show_pbar and lead)
    table = None
    with bar:
        for step, batch in enumerate(batches, start):
            x, noise, sigma = (t.to(procs.device, non_blocking=True) for t in batch)
            x = x.contiguous(memory_format=torch.channels_last)
            loss = _loss(model, net, x, noise, sigma, autocast)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(net.parameters(), config.optim.clip)
            value = procs.mean(loss.detach()).item()
            if not (value < float("inf") and norm.isfinite()):
                raise ValueError(
                    f"loss {value}, gradient norm {norm.item()} at step {step}: "
                    f"lower optim.lr; the last checkpoint is kept in {out}."
                )
            for opt in optimizers:
                for group in opt.param_groups:
                    group["lr"] = group["peak_lr"] * cosine(step, config.optim)
                opt.step()
                opt.zero_grad(set_to_none=True)
            _average(ema, net, config.optim.ema, step)

            done = step + 1
            log.scalar("loss", value, done)
            if val is not None and (
                done % config.val_every == 0 or done == config.optim.steps
            ):
                table = denoising_psnr(ema, *val)
                for level, psnr in table.items():
                    log.scalar(f"psnr/sigma={level:g}", psnr, done)
            if done % config.checkpoint_every == 0 or done == config.optim.steps:
                save(done)
            bar.update(value, table)
    log.close()
    procs.close()
    if not lead:
        return None

    from sigpy_priors.train.finish import write_prior

    if table is None and val is not None:
        table = denoising_psnr(ema, *val)
    return write_prior(
        out / f"{config.name}.safetensors", ema, config, table, bar.seconds(seconds)
    )


def _average(ema, net, decay, step):
    """Exponential moving average of the weights, short-sighted at first."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(
            list(ema.parameters()), list(net.parameters()), 1 - decay
        )


def _batches(dataset, start, config, procs, workers):
    """This process's part of every batch from step ``start`` on."""
    size = config.optim.batch_size
    share = size // procs.size

    def indices():
        for step in range(start, config.optim.steps):
            first = step * size + procs.rank * share
            yield list(range(first, first + share))

    return torch.utils.data.DataLoader(
        dataset,
        batch_sampler=indices(),
        num_workers=workers,
        pin_memory=procs.device.type == "cuda",
    )


class _Bar:
    """tqdm over steps, counting images."""

    def __init__(self, config, start, show):
        self.batch = config.optim.batch_size
        self.start = start
        self.tqdm = tqdm(
            desc=config.name,
            total=config.optim.steps * self.batch,
            initial=start * self.batch,
            unit="img",
            disable=None if show else True,
            mininterval=1,
        )
        import time

        self.clock = time.monotonic
        self.begun = self.clock()

    def seconds(self, before):
        return before + self.clock() - self.begun

    def update(self, loss, table):
        post = {"loss": f"{loss:.3f}"}
        if table:
            post["PSNR"] = "/".join(f"{v:.1f}" for v in table.values())
        self.tqdm.set_postfix(post, refresh=False)
        self.tqdm.update(self.batch)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.tqdm.close()


class _Log:
    """TensorBoard events and a CSV that needs no TensorBoard."""

    def __init__(self, out, start, lead):
        self.file = self.board = None
        if not lead:
            return
        path = out / "log.csv"
        kept = [
            row
            for row in (path.read_text().splitlines() if path.exists() else [])
            if row.split(",")[1].isdigit() and int(row.split(",")[1]) <= start
        ]
        path.write_text("".join(f"{row}\n" for row in ["name,step,value", *kept]))
        self.file = path.open("a")
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(out / "tensorboard", purge_step=start)
        except ImportError:
            pass

    def scalar(self, name, value, step):
        if self.file:
            self.file.write(f"{name},{step},{value!r}\n")
            self.file.flush()
        if self.board:
            self.board.add_scalar(name, value, step)

    def close(self):
        for f in (self.file, self.board):
            if f:
                f.close()
