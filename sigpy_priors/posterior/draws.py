"""Samples as they come: their moments, and a file from which a run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import sigpy as sp

from sigpy_priors.backend.arrays import Array
from sigpy_priors.io.atomic import remove_leftovers, write_atomic
from sigpy_priors.io.files import load_npz
from sigpy_priors.io.output import check_writable
from sigpy_priors.posterior.statistics import OnlineMoments

__all__ = ["Draws"]


class Draws:
    """The samples drawn so far.

    Args:
        keep (bool): False keeps mean and variance only.
        checkpoint (str, Path or None): ``.npz`` file that :meth:`save` writes.
        fingerprint (str): of everything that the samples depend on.

    Attributes:
        moments (OnlineMoments): mean and variance.
    """

    def __init__(
        self,
        keep: bool = True,
        checkpoint: str | Path | None = None,
        fingerprint: str = "",
    ) -> None:
        self.keep = keep
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.fingerprint = fingerprint
        self.moments = OnlineMoments()
        self._chunks = []

    def __len__(self) -> Any:
        return self.moments.count

    def add(self, chunk: Any) -> None:
        """Add samples (N, H, W)."""
        self.moments.update(chunk)
        if self.keep:
            self._chunks.append(chunk)

    @property
    def samples(self) -> Array:
        """array: samples so far (S, H, W).

        Raises:
            ValueError: if they were not kept, or there are none.
        """
        if not self.keep:
            raise ValueError("samples were not kept: use keep_samples=True.")
        if not self._chunks:
            raise ValueError("no samples yet: call run().")
        if len(self._chunks) > 1:
            xp = sp.get_array_module(self._chunks[0])
            self._chunks = [xp.concatenate(self._chunks)]
        return self._chunks[0]

    @property
    def mean(self) -> Array:
        """array: mean of the samples (H, W).

        Raises:
            ValueError: if there are none.
        """
        if self.moments.mean is None:
            raise ValueError("no samples yet: call run().")
        return self.moments.mean

    def save(self) -> None:
        """Write the checkpoint, if it has a name."""
        if self.checkpoint is None:
            return
        arrays = {"fingerprint": self.fingerprint, **self.moments.state()}
        if self.keep:
            arrays["samples"] = self.samples
        for name in ("mean", "m2", "samples"):
            if name in arrays:
                arrays[name] = sp.to_device(arrays[name], sp.cpu_device)

        def write(tmp):
            with open(tmp, "wb") as f:
                np.savez(f, **arrays)

        write_atomic(self.checkpoint, write)

    def load(self, device: Any = sp.cpu_device) -> None:
        """Go on from the checkpoint, if there is one.

        Args:
            device (Device): where the samples are put.

        Raises:
            ValueError: if it is no checkpoint, that of something else, or cannot be
                written.
        """
        if self.checkpoint is None:
            return
        check_writable(self.checkpoint)
        remove_leftovers(self.checkpoint)
        if not self.checkpoint.exists():
            return
        saved = load_npz(self.checkpoint)
        if str(saved.get("fingerprint")) != self.fingerprint:
            raise ValueError(
                f"{self.checkpoint}: written for other data, prior or settings; "
                f"remove it, or name another file."
            )
        self._check(saved)
        state = {k: sp.to_device(saved[k], device) for k in ("mean", "m2")}
        self.moments.restore(state | {"count": int(saved["count"])})
        if self.keep:
            self._chunks = [sp.to_device(saved["samples"], device)]

    def _check(self, saved: dict[str, np.ndarray]) -> None:
        """What is in a checkpoint belongs together."""
        names = ("count", "mean", "m2") + (("samples",) if self.keep else ())
        wrong = [
            n for n in names if n not in saved or saved[n].dtype.kind not in "iufc"
        ]
        if not wrong:
            wrong = [n for n in names if not np.isfinite(saved[n]).all()]
        if not wrong and (saved["count"].shape or not saved["count"] > 0):
            wrong = ["count"]
        if not wrong and saved["mean"].shape != saved["m2"].shape:
            wrong = ["m2"]
        if not wrong and self.keep:
            expected = (int(saved["count"]), *saved["mean"].shape)
            wrong = ["samples"] if saved["samples"].shape != expected else []
        if wrong:
            raise ValueError(
                f"{self.checkpoint}: damaged: {wrong[0]!r} is missing, not finite or "
                f"does not belong to the rest; remove it to start anew."
            )
