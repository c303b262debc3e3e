"""Finished slices of an unfinished run, in a folder beside its output."""

from __future__ import annotations

import glob
import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.io.files import FileError, load_npy, read_text, reading
from sigpy_priors.io.output import write_image
from sigpy_priors.volume.inputs import fingerprint

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
        if restart:
            self._discard()
        self._compare()

    def _compare(self) -> None:
        if not self._settings_file.is_file():
            return
        settings = self.settings
        advice = "begin anew with restart=True (--restart)"
        with reading(self._settings_file, "settings of a run", advice):
            old = dict(json.loads(read_text(self._settings_file)))
        changed = [k for k in settings if old.get(k) != settings[k]]
        if changed:
            was = ", ".join(f"{k} {old.get(k)}, now {settings[k]}" for k in changed)
            raise ValueError(
                f"{self.folder} holds an unfinished run with other settings "
                f"({was}); repeat that run, or begin anew with restart=True "
                f"(--restart)."
            )

    @property
    def begun(self) -> bool:
        """bool: whether slices of an unfinished run with these settings are there."""
        return self._settings_file.is_file()

    def _file(self, i: int) -> Path:
        return self.folder / f"{i:05d}.npy"

    def _digest_file(self, i: int) -> Path:
        return self.folder / f"{i:05d}.json"

    def __contains__(self, i: int) -> bool:
        files = self._settings_file, self._digest_file(i), self._file(i)
        return all(f.is_file() for f in files)

    def save(self, i: int, image: np.ndarray) -> None:
        """Keep the finished slice ``i``, an array (H, W) or (samples, H, W)."""
        self._compare()  # with what another run may have left meanwhile
        if not self._settings_file.is_file():  # always before the first slice
            self.remove()  # what is there is of nobody knows what
            self.folder.mkdir()
            text = json.dumps(self.settings)
            write_atomic(self._settings_file, lambda p: p.write_text(text))
        text = json.dumps(fingerprint(image))
        write_atomic(self._digest_file(i), lambda p: p.write_text(text))
        write_image(self._file(i), image)

    def load(self, i: int) -> np.ndarray:
        """The finished slice ``i``.

        Raises:
            FileError: if it is not what was saved.
        """
        file = self._file(i)
        image = np.array(load_npy(file))
        saved = read_text(self._digest_file(i)) if self._digest_file(i).exists() else ""
        if json.dumps(fingerprint(image)) != saved:
            raise FileError(
                f"{file}: is not the slice that was saved; remove it, to have it computed "
                f"again."
            )
        return image

    def remove(self) -> None:
        """Delete all slices: at once, whenever this process is killed."""
        if self.folder.exists():
            name = f".{self.output.name}.{secrets.token_hex(8)}.tmp"
            shutil.rmtree(self.folder.rename(self.output.with_name(name)))

    def _discard(self) -> None:
        """Delete all slices, and the samples of slices that were begun."""
        self.remove()
        pattern = checkpoint_file(glob.escape(str(self.output)), "*").name
        for file in self.output.parent.glob(pattern):
            file.unlink()
