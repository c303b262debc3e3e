"""The training loop: resumable, and distributed with torchrun."""

from __future__ import annotations

import contextlib
import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from sigpy_priors.io.atomic import remove_leftovers, write_atomic, writing
from sigpy_priors.io.lock import exclusive
from sigpy_priors.io.output import check_writable, refuse_inputs
from sigpy_priors.train.batches import Batches
from sigpy_priors.train.checkpoint import (
    read_checkpoint,
    restore_checkpoint,
    save_checkpoint,
)
from sigpy_priors.train.config import differences, dump_config, load_config
from sigpy_priors.train.datasets import open_training
from sigpy_priors.train.distributed import Processes
from sigpy_priors.train.finish import write_prior
from sigpy_priors.train.length import Length
from sigpy_priors.train.objective import OBJECTIVES
from sigpy_priors.train.optim import cosine, make_optimizers
from sigpy_priors.train.progress import Bar, Log
from sigpy_priors.train.start import start_from

__all__ = ["train"]

# A GPU is asked for its losses once in so many steps: to ask is to wait for it.
_LOSSES = 20


def train(
    config: Any,
    data: str | Path,
    out: str | Path,
    device: str | None = None,
    show_pbar: bool = True,
) -> Path | None:
    """Train a prior; continue where an earlier call was interrupted.

    A prior file of the averaged weights is there from the first checkpoint on.

    Args:
        config (TrainConfig): what to train on what.
        data (str or Path): folder that the config's patterns refer to.
        out (str or Path): folder for checkpoint, log and the finished prior.
        device (str or None): torch device; default a GPU where there is one.
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
            return run(data, show_pbar)
        except KeyboardInterrupt:
            whole = "" if config.optim.minutes else f" of {config.optim.steps}"
            raise KeyboardInterrupt(
                f"training stopped; the same command continues it from step "
                f"{run.saved}{whole}."
            ) from None


class _Run:
    """Networks, optimisers and files of one run.

    Attributes:
        step (int): steps done.
        saved (int): steps done when the last checkpoint was written.
    """

    def __init__(self, config: Any, out: Any, procs: Any) -> None:
        self.config, self.out, self.procs = config, out, procs
        self.begun = time.monotonic()
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
        self.parent = start_from(net, config.init) if config.init else None
        self.net = net.to(procs.device, memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.net).requires_grad_(False).eval()
        self.optimizers = make_optimizers(self.net, config.optim)
        self.step = self.saved = 0
        self._checkpoint = out / "checkpoint.safetensors"
        self._file = out / f"{config.name}.safetensors"
        self._asked: list = []  # losses that the device may still be computing
        self._loss = float("nan")
        self._table = self._val = None
        # Of optim.patience: mean validation at the start, the best, and how long ago.
        self._start: float | None = None
        self._best, self._stale = float("-inf"), 0

    def __call__(self, data: Any, show_pbar: Any) -> Any:
        config, procs = self.config, self.procs
        slices = open_training(config.data, data)
        self._data = {"images": len(slices.images), "sha256": slices.digest()}
        self.objective.quietest = float(slices.noise.min())
        if procs.lead and (config.data.val or config.data.aside):
            self._val = self.objective.validation(data)
        with self._alone():
            return self._run(slices, show_pbar)

    def _run(self, slices: Any, show_pbar: bool) -> Any:
        config, procs = self.config, self.procs
        batches = Batches(slices, config, procs.device, (procs.rank, procs.size))
        before = self._resume(self._checkpoint)
        self._length = Length(config.optim, procs, self.begun, before)
        if procs.lead:
            for file in (self._checkpoint, self._file, self.out / "config.yaml"):
                remove_leftovers(file)
            self._write_config()
        with (
            Bar(config, self.step, show_pbar and procs.lead) as bar,
            Log(self.out, self.step, procs.lead) as log,
            _fast_convolutions(procs.device),
        ):
            fresh = config.optim.patience and self._start is None
            if procs.lead and (self._length.timed or fresh):
                self._rehearse(log)
            self._train(procs.wrap(self.net), batches, bar, log)
            if not procs.lead:
                return None
            if config.optim.patience:
                return self._best_prior()
            if self._val is not None and self._table is None:  # finished before
                self._table = self.objective.validate(self.ema, self._val)
            return self._write_prior()

    def _best_prior(self):
        """The file of the best validation."""
        if self._start is None or not self._best > self._start:
            raise ValueError(
                f"after {self.step} steps no validation was better than the start: no "
                f"prior is written. More images, or a lower optim.lr, may help."
            )
        return self._file

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other runs from the output, and the output from what is read."""
        with contextlib.ExitStack() as stack:
            if self.procs.lead:
                with writing(self.out):
                    self.out.mkdir(parents=True, exist_ok=True)
                check_writable(self._file)
                refuse_inputs(self._file, {"init": self.config.init})
                stack.enter_context(exclusive(self._checkpoint))
            yield

    def _write_config(self) -> None:
        """The whole config beside the run, unless the run was started from there."""
        file = self.out / "config.yaml"
        with contextlib.suppress(ValueError):  # none, or another
            if load_config(file) == self.config:
                return
        write_atomic(file, lambda p: p.write_text(dump_config(self.config)))

    def _train(self, model, batches, bar, log):
        """Steps, until the run is done."""
        config, crops = self.config, self.config.data.crop
        done = self._length.done(self.step)
        while done < 1:
            # One size within a batch; a step may fall on the border of two sizes.
            crop = crops[int(done * len(crops) + 1e-9)]
            self._advance(model, batches(self.step, crop), done)
            done = self._length.done(self.step)
            if done >= 1 or self.step % config.val_every == 0:
                self._settle(log)
                self._validate(log)
                done = max(done, self._given_up())
            last = done >= 1
            checkpoint = last or self.step % config.checkpoint_every == 0
            if checkpoint or len(self._asked) >= self._most_asked:
                self._settle(log)
            if checkpoint:
                log.flush()
                if self.procs.lead:
                    self._save(last)
                self.saved = self.step
            bar.update(self._loss, self._table and self.objective.show(self._table))

    def _given_up(self):
        """1 if the validation has not become better for long, else 0."""
        patience = self.config.optim.patience
        if not patience:
            return 0.0
        value = float(self.procs.lead and self._stale >= patience)
        if self.procs.size > 1:
            value = torch.tensor(value, device=self.procs.device)
            value = self.procs.mean(value).item() * self.procs.size
        return value

    @property
    def _most_asked(self):
        return _LOSSES if self.procs.device.type == "cuda" else 1

    def _advance(self, model, batch, done):
        """One step of the optimisers, ``done`` of the run being done."""
        config, procs = self.config, self.procs
        # Networks with random layers draw from the step, not from the past.
        torch.manual_seed((config.seed * 2**20 + self.step) * procs.size + procs.rank)
        loss = self.objective.loss(model, batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), config.optim.clip)
        self._asked.append(torch.stack([procs.mean(loss.detach()).float(), norm]))
        rate = cosine(self.step, done, config.optim)
        for opt in self.optimizers:
            for group in opt.param_groups:
                group["lr"] = group["peak_lr"] * rate
            opt.step()
            opt.zero_grad(set_to_none=True)
        _average(self.ema, self.net, config.optim.ema, self.step)
        self.step += 1

    def _settle(self, log):
        """Read and log the losses of the last steps; they must be finite."""
        if not self._asked:
            return
        first = self.step - len(self._asked) + 1
        for k, (value, norm) in enumerate(torch.stack(self._asked).tolist()):
            if not (value < float("inf") and norm < float("inf")):
                raise ValueError(
                    f"loss {value}, gradient norm {norm} at step {first + k - 1}: "
                    f"lower optim.lr; the last checkpoint is kept in {self.out}."
                )
            log.scalar("loss", value, first + k)
            self._loss = value
        self._asked.clear()

    def _validate(self, log):
        if self._val is None:
            return
        self._table = self.objective.validate(self.ema, self._val)
        for name, value in self._table.items():
            log.scalar(name, value, self.step)
        if not self.config.optim.patience:
            return
        score = self.objective.score(self._table)
        if self._start is None:
            self._start = self._best = score
        elif score > self._best:
            self._best, self._stale = score, 0
            self._write_prior()
        else:
            self._stale += 1

    def _rehearse(self, log):
        """Write once, under the clock, what will be written at the end."""
        begun = time.monotonic()
        self._validate(log)
        self._save(last=False)
        self._length.rehearsed(time.monotonic() - begun)

    def _save(self, last):
        """Write the checkpoint, and the prior as it is now."""
        # Whatever decides the course of the run; the card may be reworded.
        identity = json.loads(self.config.model_dump_json(exclude={"card"}))
        meta = {
            "config": identity,
            "step": self.step,
            "seconds": self._length.seconds,
            "data": self._data,
            "patience": [self._start, self._best, self._stale],
        }
        modules = {"net": self.net, "ema": self.ema}
        save_checkpoint(self._checkpoint, modules, self.optimizers, meta)
        if last or self.config.optim.patience:
            return
        try:
            self._write_prior()
        except ValueError as e:
            raise ValueError(
                f"at step {self.step}: {e} lower optim.lr; the last checkpoint is kept "
                f"in {self.out}."
            ) from e

    def _write_prior(self):
        fields = self.objective.card(self._table, self._val)
        seconds = self._length.seconds
        return write_prior(
            self._file, self.ema, self.config, fields, seconds, self.parent
        )

    def _resume(self, path):
        """Continue from a checkpoint, if any; returns the seconds spent."""
        if not path.exists():
            return 0.0
        meta, tensors = read_checkpoint(path)
        changed = differences(self.config, meta["config"])
        before = meta.get("data", self._data)  # older checkpoints do not know
        if before != self._data:
            was, now = before["images"], self._data["images"]
            changed.append(f"the images of the data: {was}, now {now},")
        if changed:
            raise ValueError(
                f"{path} belongs to a run with another config "
                f"({', '.join(changed)} differ): choose another output folder, "
                f"or delete it to start anew."
            )
        modules = {"net": self.net, "ema": self.ema}
        restore_checkpoint(path, tensors, modules, self.optimizers)
        self.step = self.saved = meta["step"]
        if meta.get("patience"):
            self._start, self._best, self._stale = meta["patience"]
        return meta["seconds"]


def _fast_convolutions(device):
    """A GPU tries the ways to convolve once for each of the few sizes that come."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=True, deterministic=False, allow_tf32=True
    )


def _average(ema, net, decay, step):
    """Exponential moving average of the weights, short-sighted at first."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        inside: Any = torch
        inside._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - decay)
        for average, buffer in zip(ema.buffers(), net.buffers()):
            average.copy_(buffer)
