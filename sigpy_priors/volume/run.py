"""The same with every slice of a volume, here or on a cluster.

Slices that are finished are kept on disk until the output is written, so that
a run goes on where it was interrupted, with or without a cluster.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from sigpy_priors.backend.validate import check_count
from sigpy_priors.data import DEFAULT_PRIOR
from sigpy_priors.io.atomic import remove_leftovers
from sigpy_priors.io.geometry import Geometry
from sigpy_priors.io.lock import exclusive
from sigpy_priors.io.output import check_output, refuse_inputs, write_image
from sigpy_priors.io.slices import Source
from sigpy_priors.priors.base import Prior
from sigpy_priors.priors.digest import prior_digest
from sigpy_priors.volume.cluster import Scheduler, connect, map_slices
from sigpy_priors.volume.inputs import Inputs, fingerprint
from sigpy_priors.volume.made import check_older, record_run
from sigpy_priors.volume.store import SliceStore
from sigpy_priors.volume.worker import (
    Computed,
    Preparation,
    compute_slices,
    open_device,
    open_prior,
)

__all__ = ["Finished", "Job"]

# What decides the result of every job, beside its own options.
_NUMBERS = ("precision", "noise_std", "calib_width", "coils", "shape")
_SOURCES = ("kspace", "maps", "weights", "coord", "noise")
TOGETHER = 16
"""int: slices that go together on a GPU, as many as samples of one by default; fewer
where memory runs out."""


class Finished(NamedTuple):
    """A whole volume.

    Attributes:
        numbers (sequence of int): the slices that were chosen.
        images (array): what was computed of them, stacked.
        is_volume (bool): whether the k-space has an axis of slices.
        maps_seconds (float): what the maps of a slice took, of those that were
            computed now.
        joint (int): slices, of those that were computed now, whose maps were found
            together with the image.
        geometry (Geometry or None): where they lie.
    """

    numbers: Sequence[int]
    images: np.ndarray
    is_volume: bool
    maps_seconds: float = 0.0
    joint: int = 0
    geometry: Geometry | None = None


@dataclass(frozen=True, eq=False)
class Job:
    """What to do with the slices of a volume.

    :func:`sigpy_priors.volume.recon` and :func:`sigpy_priors.volume.sample` make
    one. Nothing is read before it is run.

    Args:
        kspace (str, Path or array): (coils, H, W) or (slices, coils, H, W), zero
            where not sampled; a file in a format of
            :mod:`sigpy_priors.io.slices`.
        compute (callable): ``compute(prior, i, y, mps, noise_std=..., weights=...,
            coord=..., device=..., coil_batch_size=..., checkpoint=...,
            show_pbar=..., **options)`` gives the array of slice i. It is pickled
            for a cluster.
        prior (str, Path or Prior): bundled name, file, or the prior itself, which
            then travels to a cluster with each slice.
        maps (str, Path, array or None): coil maps, shaped like the k-space; None
            estimates them.
        weights (str, Path, array or None): of data consistency, shaped like the
            samples of one coil.
        coord (str, Path, array or None): non-Cartesian coordinates (..., 2).
        slices (slice): those to compute.
        noise_std (float or None): standard deviation of the complex k-space
            noise; None estimates it.
        calib_width (int): greatest width of the calibration region of estimated
            maps.
        coils (int or None): virtual coils that the measured ones are compressed to,
            before maps are estimated; None for
            :data:`sigpy_priors.scan.virtual.COILS` of scans with more.
        noise (str, Path, array or None): how the coils' noise differs: covariance
            (coils, coils), deviations (coils,) or samples of a noise scan (coils,
            ...); None is the noise scan of the file, if it has one.
        shape (tuple of int or None): H and W of the image, with ``coord`` and
            estimated maps; None is the nominal size of the trajectory.
        precision (str): of the network, one of ``NetworkPrior``'s.
        device (int): GPU number, or -1.
        coil_batch_size (int or None): coils at a time.
        options (dict): of ``compute``; they decide the result.
        samples (bool): whether slices become (samples, H, W), not (H, W).
        compute_many (callable or None): ``compute_many(prior, slices, weights=...,
            coord=..., device=..., coil_batch_size=..., **options)`` gives what
            ``compute`` gives for each of several (y, mps, noise_std), together.
        together (int or None): as many slices go together, if there is such a function;
            None is :data:`TOGETHER` on a GPU, and one on a CPU.
    """

    kspace: Source
    compute: Callable[..., Any]
    prior: str | Path | Prior = DEFAULT_PRIOR
    maps: Source | None = None
    weights: Source | None = None
    coord: Source | None = None
    slices: slice = field(default_factory=lambda: slice(None))
    noise_std: float | None = None
    calib_width: int = 24
    coils: int | None = None
    noise: Source | None = None
    shape: tuple[int, int] | None = None
    precision: str = "full"
    device: int = -1
    coil_batch_size: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    samples: bool = False
    compute_many: Callable[..., Any] | None = None
    together: int | None = None

    def run(
        self,
        scheduler: Scheduler = None,
        workers: int | None = None,
        show_pbar: bool = True,
    ) -> Generator[tuple[int, np.ndarray], None, None]:
        """Compute the slices, each when it is asked for.

        Args:
            scheduler (str, Client or None): where, as of
                :func:`sigpy_priors.volume.cluster.connect`; None is here.
            workers (int or None): processes of the scheduler "local".
            show_pbar (bool): toggle the progress bar.

        Yields:
            tuple: number of a slice and its array, in the order in which slices
            are finished.

        Raises:
            ValueError: if an input is damaged, does not fit, or is out of range.
        """
        inputs = self._open(scheduler)
        results = self._compute(
            inputs, inputs.numbers, None, scheduler, workers, show_pbar
        )
        with contextlib.closing(results):
            for i, result in results:
                yield i, result.image

    def write(
        self,
        output: str | Path,
        restart: bool = False,
        scheduler: Scheduler = None,
        workers: int | None = None,
        show_pbar: bool = True,
    ) -> np.ndarray:
        """Compute what is missing of the slices, then write all of them.

        A run that was interrupted goes on with the slice at which it was.

        Args:
            output (str or Path): file, in a format of :mod:`sigpy_priors.io.output`.
            restart (bool): discard slices of an unfinished run, and replace an output
                that was made otherwise.
            scheduler (str, Client or None): as of :meth:`run`.
            workers (int or None): as of :meth:`run`.
            show_pbar (bool): toggle the progress bar.

        Returns:
            array: what was written.

        Raises:
            ValueError: as :meth:`run`, or if an unfinished run with other inputs
                or options is in the way, or an output that is not of this run.
        """
        with self.finished(output, restart, scheduler, workers, show_pbar) as volume:
            image = volume.images if volume.is_volume else volume.images[0]
            write_image(output, image, self.samples, volume.geometry)
        return image

    def check_output(self, output: str | Path) -> None:
        """Check a name for what is computed, before anything is.

        Args:
            output (str or Path): file, in a format of :mod:`sigpy_priors.io.output`.

        Raises:
            ValueError: if it cannot be written, or is one of the inputs.
        """
        check_output(output)
        refuse_inputs(output, {n: getattr(self, n) for n in (*_SOURCES, "prior")})

    @contextlib.contextmanager
    def finished(
        self,
        output: str | Path,
        restart: bool = False,
        scheduler: Scheduler = None,
        workers: int | None = None,
        show_pbar: bool = True,
    ) -> Iterator[Finished]:
        """As :meth:`write`, with the writing left to the body of a ``with``.

        Args:
            output (str or Path): as of :meth:`write`.
            restart (bool): as of :meth:`write`.
            scheduler (str, Client or None): as of :meth:`run`.
            workers (int or None): as of :meth:`run`.
            show_pbar (bool): toggle the progress bar.

        Yields:
            Finished: all slices. What was kept of the run is removed after the
            body, if nothing was raised.
        """
        self.check_output(output)
        inputs = self._open(scheduler)
        with exclusive(output):
            remove_leftovers(output)
            settings = self._settings()
            store = SliceStore(output, settings, restart)
            if not (restart or store.begun):
                check_older(output, settings)
            yield from self._finished(inputs, store, scheduler, workers, show_pbar)

    def _finished(
        self,
        inputs: Inputs,
        store: SliceStore,
        scheduler: Scheduler,
        workers: int | None,
        show_pbar: bool,
    ) -> Iterator[Finished]:
        missing = [i for i in inputs.numbers if i not in store]
        results = self._compute(
            inputs, missing, store.output, scheduler, workers, show_pbar
        )
        seconds, joint = [], 0
        with contextlib.closing(results):
            for i, result in results:
                store.save(i, result.image)
                seconds.append(result.maps_seconds)
                joint += result.joint
        images = np.stack([store.load(i) for i in inputs.numbers])
        average = float(np.mean(seconds)) if seconds else 0.0
        place = inputs.kspace.geometry
        if place is not None:
            place = place.take(inputs.numbers)
        yield Finished(
            inputs.numbers, images, inputs.kspace.volume, average, joint, place
        )
        if store.output.exists():  # a body may have written under other names
            record_run(store.output, store.settings)
        store.remove()

    def _open(self, scheduler: Scheduler) -> Inputs:
        """Check everything that is given, before anything is computed."""
        if scheduler in (None, "local"):
            open_device(self.device)
        if self.together is not None:
            check_count("together", self.together)
        return Inputs.open(
            self.kspace, self.maps, self.weights, self.coord, self.slices,
            self.noise, self.shape,
        )  # fmt: skip

    def _prepare(self) -> Callable[[], Prior]:
        """What loads the prior, in this process or in a worker."""
        prior = self.prior
        if isinstance(prior, str | Path):
            # A bundled name stays one; workers may run in another folder.
            prior = str(Path(prior).resolve() if Path(prior).is_file() else prior)
        return functools.partial(open_prior, prior, self.precision)

    def _settings(self) -> dict[str, Any]:
        """What decides the result: slices of runs that differ must not be mixed."""
        prior = self._prepare()()
        settings = {**self.options}
        settings |= {name: getattr(self, name) for name in _NUMBERS}
        settings |= {name: fingerprint(getattr(self, name)) for name in _SOURCES}
        settings["prior"] = prior_digest(prior)
        return json.loads(json.dumps(settings, default=repr))

    def _function(
        self, inputs: Inputs, output: Path | None, show_pbar: bool
    ) -> Callable[..., list[Computed]]:
        """What computes slices; pickled for a cluster."""
        preparation = Preparation(
            self.calib_width,
            self.coils,
            inputs.kspace.noise if inputs.noise is None else inputs.noise,
            inputs.noise is not None,
            self.shape,
            inputs.kspace.image_shape,
        )
        return functools.partial(
            compute_slices,
            self.compute,
            self.compute_many,
            str(inputs.kspace.path),
            preparation,
            output,
            dict(
                noise_std=self.noise_std,
                weights=inputs.weights,
                coord=inputs.coord,
                device=self.device,
                coil_batch_size=self.coil_batch_size,
                show_pbar=show_pbar,
                **self.options,
            ),
        )

    def _compute(
        self,
        inputs: Inputs,
        missing: Sequence[int],
        output: Path | None,
        scheduler: Scheduler,
        workers: int | None,
        show_pbar: bool,
    ) -> Generator[tuple[int, Computed], None, None]:
        if scheduler not in (None, "local"):
            output = None  # workers elsewhere may not see this folder
        function = self._function(inputs, output, show_pbar and scheduler is None)
        if scheduler == "local" and self.device >= 0:
            workers = workers or 1  # they would share the GPU
        with connect(scheduler, workers) as client:
            if client is not None and show_pbar and scheduler != "local":
                tqdm.write(f"Dask dashboard: {client.dashboard_link}", file=sys.stderr)
            groups = self._groups(missing)
            results = map_slices(
                function, groups, inputs.load_all, self._prepare(), client
            )
            bar = tqdm(
                total=len(inputs.numbers),
                initial=len(inputs.numbers) - len(missing),
                unit="slice",
                disable=not show_pbar,
            )
            with bar, contextlib.closing(results):
                for group, computed in results:
                    for i, result in zip(group, computed):
                        bar.update()
                        yield i, result

    def _groups(self, numbers: Sequence[int]) -> list[tuple[int, ...]]:
        """The slices that go together."""
        n = self.together or (1 if self.device < 0 else TOGETHER)
        if self.compute_many is None:
            n = 1
        return [tuple(numbers[k : k + n]) for k in range(0, len(numbers), n)]
