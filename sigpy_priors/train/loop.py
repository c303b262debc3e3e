"""The training loop: resumable, and distributed with torchrun."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from sigpy_priors.io.atomic import remove_leftovers, write_atomic, writing
from sigpy_priors.io.lock import exclusive
from sigpy_priors.io.output import check_writable, refuse_inputs
from sigpy_priors.train.checkpoint import (
    read_checkpoint,
    restore_checkpoint,
    save_checkpoint,
)
from sigpy_priors.train.config import differences, dump_config, load_config
from sigpy_priors.train.datasets import SliceDataset, open_slices
from sigpy_priors.train.distributed import Processes
from sigpy_priors.train.finish import write_prior
from sigpy_priors.train.objective import OBJECTIVES
from sigpy_priors.train.optim import cosine, make_optimizers
from sigpy_priors.train.progress import Bar, Log
from sigpy_priors.train.start import start_from

__all__ = ["train"]


def train(
    config: Any,
    data: str | Path,
    out: str | Path,
    device: str | None = None,
    workers: int = 0,
    show_pbar: bool = True,
) -> Path | None:
    """Train a prior; continue where an earlier call was interrupted.

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
        KeyboardInterrupt: with a message for the user; the last checkpoint
            is kept.
    """
    with Processes(device) as procs:
        run = _Run(config, Path(out), procs)
        try:
            return run(data, workers, show_pbar)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"training stopped; the same command continues it from step "
                f"{run.saved} of {config.optim.steps}."
            ) from None


class _Run:
    """Networks, optimisers and files of one run.

    Attributes:
        step (int): steps done.
        saved (int): steps done when the last checkpoint was written.
    """

    def __init__(self, config: Any, out: Any, procs: Any) -> None:
        self.config, self.out, self.procs = config, out, procs
        if config.optim.batch_size % procs.size:
            raise ValueError(
                f"optim.batch_size = {config.optim.batch_size} cannot be shared "
                f"by {procs.size} processes."
            )
        torch.manual_seed(config.seed)
        self.objective = OBJECTIVES[config.kind](config)
        net = self.objective.net
        for crop in config.data.crop:
            if crop % net.stride:
                raise ValueError(
                    f"data.crop: {crop} is no multiple of {net.stride}, as this "
                    f"network needs."
                )
        if config.init:
            start_from(net, config.init)
        self.net = net.to(procs.device, memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.net).requires_grad_(False).eval()
        self.optimizers = make_optimizers(self.net, config.optim)
        self.step = self.saved = 0

    def __call__(self, data: Any, workers: Any, show_pbar: Any) -> Any:
        config, procs = self.config, self.procs
        slices = open_slices(config.data.train, data, config.data.min_signal)
        images: Any
        scales: Any
        images, scales = (s[: config.data.slices] for s in slices)
        dataset = SliceDataset(images, scales, config)
        val = None
        if procs.lead and config.data.val:
            val = self.objective.validation(data)
        with self._alone():
            return self._run(dataset, val, workers, show_pbar)

    def _run(self, dataset: Any, val: Any, workers: int, show_pbar: bool) -> Any:
        config, procs = self.config, self.procs
        checkpoint = self.out / "checkpoint.safetensors"
        seconds = self._resume(checkpoint, len(dataset.images))
        if procs.lead:
            remove_leftovers(checkpoint)
            self._write_config()
        model = procs.wrap(self.net)
        batches = _batches(dataset, self.step, config, procs, workers)
        table = None
        with (
            Bar(config, self.step, seconds, show_pbar and procs.lead) as bar,
            Log(self.out, self.step, procs.lead) as log,
        ):
            for batch in batches:
                loss = self._advance(model, batch)
                log.scalar("loss", loss, self.step)
                last = self.step == config.optim.steps
                if val is not None and (last or self.step % config.val_every == 0):
                    table = self.objective.validate(self.ema, val)
                    for name, value in table.items():
                        log.scalar(name, value, self.step)
                if last or self.step % config.checkpoint_every == 0:
                    log.flush()
                    if procs.lead:
                        self._save(checkpoint, bar.seconds, len(dataset.images))
                    self.saved = self.step
                bar.update(loss, table and self.objective.show(table))
            if not procs.lead:
                return None
            if val is not None and table is None:  # it had been finished before
                table = self.objective.validate(self.ema, val)
            file = self.out / f"{config.name}.safetensors"
            fields = self.objective.card(table, val)
            return write_prior(file, self.ema, config, fields, bar.seconds)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other runs from the output, and the output from what is read."""
        file = self.out / f"{self.config.name}.safetensors"
        with contextlib.ExitStack() as stack:
            if self.procs.lead:
                with writing(self.out):
                    self.out.mkdir(parents=True, exist_ok=True)
                check_writable(file)
                refuse_inputs(file, {"init": self.config.init})
                stack.enter_context(exclusive(self.out / "checkpoint.safetensors"))
            yield

    def _write_config(self) -> None:
        """The whole config beside the run, unless the run was started from there."""
        file = self.out / "config.yaml"
        with contextlib.suppress(ValueError):  # none, or another
            if load_config(file) == self.config:
                return
        write_atomic(file, lambda p: p.write_text(dump_config(self.config)))

    def _advance(self, model, batch):
        """One step of the optimisers; returns the loss over all processes."""
        config, procs = self.config, self.procs
        # Networks with random layers draw from the step, not from the past.
        torch.manual_seed(
            (config.seed * config.optim.steps + self.step) * procs.size + procs.rank
        )
        x, noise, sigma = (t.to(procs.device, non_blocking=True) for t in batch)
        x = x.contiguous(memory_format=torch.channels_last)
        loss = self.objective.loss(model, x, noise, sigma)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), config.optim.clip)
        value = procs.mean(loss.detach()).item()
        if not (value < float("inf") and norm.isfinite()):
            raise ValueError(
                f"loss {value}, gradient norm {norm.item()} at step {self.step}: "
                f"lower optim.lr; the last checkpoint is kept in {self.out}."
            )
        for opt in self.optimizers:
            for group in opt.param_groups:
                group["lr"] = group["peak_lr"] * cosine(self.step, config.optim)
            opt.step()
            opt.zero_grad(set_to_none=True)
        _average(self.ema, self.net, config.optim.ema, self.step)
        self.step += 1
        return value

    def _save(self, path, seconds, images):
        # Whatever decides the course of the run; the card may be reworded.
        identity = json.loads(self.config.model_dump_json(exclude={"card"}))
        meta = {
            "config": identity,
            "step": self.step,
            "seconds": seconds,
            "images": images,
        }
        modules = {"net": self.net, "ema": self.ema}
        save_checkpoint(path, modules, self.optimizers, meta)

    def _resume(self, path, images):
        """Continue from a checkpoint, if any; returns the seconds spent."""
        if not path.exists():
            return 0.0
        meta, tensors = read_checkpoint(path)
        changed = differences(self.config, meta["config"])
        if meta.get("images", images) != images:
            changed.append(f"the data: {meta['images']} slices, now {images}")
        if changed:
            raise ValueError(
                f"{path} belongs to a run with another config "
                f"({', '.join(changed)} differ): choose another output folder, "
                f"or delete it to start anew."
            )
        modules = {"net": self.net, "ema": self.ema}
        restore_checkpoint(path, tensors, modules, self.optimizers)
        self.step = self.saved = meta["step"]
        return meta["seconds"]


def _average(ema, net, decay, step):
    """Exponential moving average of the weights, short-sighted at first."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        inside: Any = torch
        inside._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - decay)
        for average, buffer in zip(ema.buffers(), net.buffers()):
            average.copy_(buffer)


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
