"""What a training run shows while it runs: progress bar, CSV and TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from sigpy_priors.io.atomic import write_atomic, writing

__all__ = ["Bar", "Log"]


class Bar:
    """Progress bar that counts images.

    Args:
        config (TrainConfig): names the run and its length.
        start (int): steps done before.
        show (bool): False for no bar.
    """

    def __init__(self, config: Any, start: int, show: bool) -> None:
        self._batch = config.optim.batch_size
        timed = config.optim.minutes is not None
        self._tqdm = tqdm(
            desc=config.name,
            total=None if timed else config.optim.steps * self._batch,
            initial=start * self._batch,
            unit="img",
            disable=None if show else True,
            mininterval=1,
        )

    def update(self, loss: Any, figures: Any = None) -> None:
        """One step is done; ``figures``: name and text of the last validation."""
        post = {"loss": f"{loss:.3f}"}
        if figures:
            post[figures[0]] = figures[1]
        self._tqdm.set_postfix(post, refresh=False)
        self._tqdm.update(self._batch)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._tqdm.close()


class Log:
    """Scalars by step, as TensorBoard events and as a CSV that needs none.

    A run that continues at ``start`` drops what it had logged beyond, since
    those steps are done again: no step appears twice.

    Args:
        out (Path): folder of the run.
        start (int): steps done before.
        active (bool): False to log nothing, as all processes but one do.
    """

    def __init__(self, out: Path, start: int, active: bool) -> None:
        self._file = self._board = None
        if not active:
            return
        path = out / "log.csv"
        rows = path.read_text().splitlines() if path.exists() else []
        kept = [row for row in rows if _is_done(row, start)]
        text = "".join(f"{row}\n" for row in ["name,step,value", *kept])
        write_atomic(path, lambda p: p.write_text(text))
        self._file = path.open("a")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._board = SummaryWriter(out / "tensorboard", purge_step=start + 1)

    def scalar(self, name: Any, value: Any, step: Any) -> None:
        """Log one value."""
        if self._file:
            with writing(self._file.name):
                self._file.write(f"{name},{step},{value!r}\n")
                self._file.flush()
        if self._board:
            self._board.add_scalar(name, value, step)

    def flush(self) -> None:
        """Write everything now, so that no checkpoint is ahead of its log."""
        if self._board:
            self._board.flush()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: Any) -> None:
        for f in (self._file, self._board):
            if f:
                f.close()


def _is_done(row, start):
    """Whether a row is whole, and of a step that is not done again."""
    cells = row.split(",")
    return len(cells) == 3 and cells[1].isdigit() and int(cells[1]) <= start
