"""A data set of complex images from files of magnitudes, here or on a cluster."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import sigpy as sp
from tqdm.auto import tqdm

from sigpy_priors.app.augmented import Augment
from sigpy_priors.backend.validate import check_count
from sigpy_priors.data import DEFAULT_PRIOR
from sigpy_priors.io.atomic import remove_leftovers, write_atomic
from sigpy_priors.io.images import find_images
from sigpy_priors.io.lock import exclusive
from sigpy_priors.io.output import refuse_inputs
from sigpy_priors.priors.base import DenoiserPrior, Prior, check_kind
from sigpy_priors.priors.digest import prior_digest
from sigpy_priors.train.config import TrainConfig
from sigpy_priors.train.datasets import open_slices
from sigpy_priors.volume.cluster import Scheduler, connect, map_slices
from sigpy_priors.volume.inputs import fingerprint
from sigpy_priors.volume.made import check_older, record_run
from sigpy_priors.volume.store import SliceStore
from sigpy_priors.volume.worker import open_device, open_prior

__all__ = ["augment", "with_sampled_phases"]


def augment(
    magnitudes: str | Path,
    output: str | Path,
    prior: str | Path | Prior = DEFAULT_PRIOR,
    num_samples: int = 1,
    seed: int = 0,
    device: int = -1,
    min_signal: float = 0.05,
    restart: bool = False,
    scheduler: Scheduler = None,
    workers: int | None = None,
    show_pbar: bool = True,
) -> np.ndarray:
    """Draw phases for every slice of a folder or file, and write what ``train`` takes.

    A run that was interrupted goes on with the slice at which it was.

    Args:
        magnitudes (str or Path): file or folder of images, in a format of
            :mod:`sigpy_priors.io.images`; smaller slices are padded with zeros.
        output (str or Path): ``.npz`` file with ``img``, complex (N, H, W).
        prior (str, Path or Prior): bundled name, file, or the prior itself.
        num_samples (int): phases for each slice.
        seed (int): of the first slice, one more for each that follows.
        device (int): GPU number, or -1.
        min_signal (float): slices of less signal are left out, as by ``train``.
        restart (bool): discard slices of an unfinished run, and replace an output that
            was made otherwise.
        scheduler (str, Client or None): where, as of
            :func:`sigpy_priors.volume.cluster.connect`; None is here.
        workers (int or None): processes of the scheduler "local".
        show_pbar (bool): toggle progress bar.

    Returns:
        array: what was written: the samples of a slice one after the other.

    Raises:
        ValueError: if there is no image, the output cannot be written, or one that was
            made otherwise is there.
    """
    source, output = Path(magnitudes), Path(output)
    if output.suffix != ".npz" or not output.parent.is_dir():
        raise ValueError(
            f"{output}: expected the name of an .npz file in a folder that is there."
        )
    refuse_inputs(output, {"magnitudes": source, "prior": prior})
    check_count("num_samples", num_samples)
    images, scales = _slices(source, min_signal)
    prepare = functools.partial(_open, _resolved(prior))
    settings = {
        "images": fingerprint(np.stack(images)), "num_samples": num_samples,
        "seed": seed, "prior": prior_digest(prepare()),
    }  # fmt: skip
    with exclusive(output):
        remove_leftovers(output)
        store = SliceStore(output, settings, restart)
        if not (restart or store.begun):
            check_older(output, settings)
        function = functools.partial(_draw, num_samples, seed, device)
        missing = [i for i in range(len(images)) if i not in store]
        with connect(scheduler, workers) as client:
            results = map_slices(
                function, missing, lambda i: (images[i],), prepare, client
            )
            bar = tqdm(
                results, total=len(images), initial=len(images) - len(missing),
                unit="slice", desc="augment", disable=not show_pbar,
            )  # fmt: skip
            with bar, contextlib.closing(results):
                for i, drawn in bar:
                    store.save(i, drawn)
        made = np.concatenate([store.load(i) for i in range(len(images))])
        write_atomic(output, functools.partial(_write, made))
        record_run(output, settings)
        store.remove()
    return made


def with_sampled_phases(
    config: TrainConfig, data: str | Path, out: str | Path
) -> TrainConfig:
    """Draw the phases that a training config asks for, once, beside its run.

    Args:
        config (TrainConfig): with ``data.augment: sampled``.
        data (str or Path): folder of the training images, magnitudes.
        out (str or Path): folder of the run; phases of a run that goes on are there.

    Returns:
        TrainConfig: of the complex images, whose phases are kept.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    made: list[str] = []
    for k, file in enumerate(
        find_images([p for s in config.data.sources for p in s.patterns], data)
    ):
        path = (out / f"phases_{k:03d}.npz").resolve()
        if not path.exists():
            augment(file, path, config.data.augment_prior, seed=1000 * k)
        made.append(os.path.relpath(path, Path(data).resolve()))
    changes: dict[str, Any] = {"train": tuple(made), "add_phase": False}
    return config.model_copy(update={"data": config.data.model_copy(update=changes)})


def _slices(source: Path, min_signal: float) -> tuple[list[np.ndarray], np.ndarray]:
    root, pattern = (source, ".") if source.is_dir() else (source.parent, source.name)
    images, scales = open_slices([pattern], root, min_signal)
    if any(np.iscomplexobj(img) for img in images):
        raise ValueError(
            f"{source}: has complex images, expected magnitudes; train takes complex "
            f"ones as they are."
        )
    shape = tuple(max(n) for n in zip(*(img.shape for img in images)))
    # Interpolation leaves a few values below zero.
    return [
        sp.resize(np.maximum(img, 0).astype(np.float32), shape) for img in images
    ], scales


def _resolved(prior: str | Path | Prior) -> str | Prior:
    """A bundled name stays one; workers may run in another folder."""
    if isinstance(prior, str | Path):
        return str(Path(prior).resolve() if Path(prior).is_file() else prior)
    return prior


def _open(prior: str | Prior) -> Prior:
    found = open_prior(prior, "full")
    check_kind(found, DenoiserPrior)
    return found


def _draw(
    num_samples: int,
    seed: int,
    device: int,
    prior: DenoiserPrior,
    i: int,
    magnitude: np.ndarray,
) -> np.ndarray:
    app = Augment(
        magnitude, prior, num_samples, seed=seed + i, device=open_device(device),
        show_pbar=False,
    )  # fmt: skip
    return sp.to_device(app.run(), sp.cpu_device)


def _write(made: np.ndarray, tmp: Any) -> None:
    with open(tmp, "wb") as f:
        np.savez(f, img=made)
