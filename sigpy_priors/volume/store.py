"""Finished slices of an unfinished run, in a folder beside its output."""

from __future__ import annotations

import glob
import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

import numpy as np

from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.io.output import write_image

try:
    import fcntl
except ImportError:  # not on Windows, where two runs are not told apart
    fcntl = None

__all__ = ["SliceStore", "checkpoint_file"]


def checkpoint_file(output: str | Path, i: int | str) -> Path:
    """Where the samples of slice ``i`` are kept while they are drawn.

    Args:
        output (str or Path): the output that all slices will become.
        i (int or str): the slice.

    Returns:
        Path: a hidden file beside the output.
    """
    output = Path(output)
    number = i if isinstance(i, str) else f"{i:05d}"
    return output.with_name(f".{output.stem}.{number}.samples.npz")


class SliceStore:
    """Slices on disk, each written at once; ``i in store`` tells what is there.

    Args:
        output (str or Path): the output that they will become.
        settings (dict): JSON-able; slices of other settings are never mixed.
        restart (bool): discard what is there.

    Raises:
        ValueError: if slices of other settings are there.
    """

    def __init__(
        self, output: str | Path, settings: dict[str, Any], restart: bool = False
    ) -> None:
        self.output = Path(output)
        self.folder = self.output.with_name(self.output.name + ".part")
        self.settings = settings
        self._settings_file = self.folder / "settings.json"
        self._lock: IO[str] | None = None
        if restart:
            self.lock()
            self._discard()
        self._compare()

    def lock(self) -> None:
        """Keep other runs from this output, until :meth:`close` or this process ends.

        Raises:
            ValueError: if another run has it.
        """
        if self._lock is not None or fcntl is None:
            return
        path = self.output.with_name(f".{self.output.name}.lock")
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        file = os.fdopen(os.open(path, flags, 0o644), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise ValueError(
                f"{self.output}: another run is writing it; wait for its end, or choose "
                f"another output."
            ) from None
        self._lock = file
        self._compare()  # with what another run may have left meanwhile

    def close(self) -> None:
        """Let other runs have the output; what is unfinished stays."""
        if self._lock is not None:
            self.output.with_name(f".{self.output.name}.lock").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def _compare(self) -> None:
        if not self._settings_file.is_file():
            return
        settings = self.settings
        old = json.loads(self._settings_file.read_text())
        changed = [k for k in settings if old.get(k) != settings[k]]
        if changed:
            was = ", ".join(f"{k} {old.get(k)}, now {settings[k]}" for k in changed)
            raise ValueError(
                f"{self.folder} holds an unfinished run with other settings "
                f"({was}); repeat that run, or begin anew with restart=True "
                f"(--restart)."
            )

    def _file(self, i: int) -> Path:
        return self.folder / f"{i:05d}.npy"

    def __contains__(self, i: int) -> bool:
        return self._file(i).is_file()

    def save(self, i: int, image: np.ndarray) -> None:
        """Keep the finished slice ``i``, an array (H, W) or (samples, H, W)."""
        self.lock()
        self.folder.mkdir(exist_ok=True)
        if not self._settings_file.is_file():  # always before the first slice
            text = json.dumps(self.settings)
            write_atomic(self._settings_file, lambda p: p.write_text(text))
        write_image(self._file(i), image)

    def load(self, i: int) -> np.ndarray:
        """The finished slice ``i``."""
        return np.load(self._file(i))

    def remove(self) -> None:
        """Delete all slices."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _discard(self) -> None:
        """Delete all slices, and the samples of slices that were begun."""
        self.remove()
        pattern = checkpoint_file(glob.escape(str(self.output)), "*").name
        for file in self.output.parent.glob(pattern):
            file.unlink()
