"""How far a run is, in steps or in minutes, and the time that it has taken.

With a time limit the schedule follows the clock, so that the same config is a whole run
on every machine. What must be written at the end is rehearsed at the beginning, and that
time is kept back.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from sigpy_priors.train.config import OptimConfig
    from sigpy_priors.train.distributed import Processes

__all__ = ["Length"]

# Kept back: so many times what the rehearsal took, so many of the slowest steps, and
# seconds for the process to end.
_REHEARSALS = 1.5
_STEPS = 2.0
_SECONDS = 1.0
_FORGET = 0.95  # a step, of what a slow one took: the first are much slower


class Length:
    """The clock of a run.

    Args:
        config (OptimConfig): steps, or minutes.
        procs (Processes): all of them go by the first one's clock.
        begun (float): ``time.monotonic()`` when this part of the run began.
        before (float): seconds that earlier parts took.

    Attributes:
        timed (bool): whether minutes count, in place of steps.
    """

    def __init__(
        self, config: OptimConfig, procs: Processes, begun: float, before: float
    ) -> None:
        self._config, self._procs = config, procs
        self._begun, self._before = begun, before
        self.timed = config.minutes is not None
        self._kept = self._slowest = 0.0
        self._last: float | None = None

    @property
    def seconds(self) -> float:
        """Time so far, earlier parts of the run included."""
        return self._before + time.monotonic() - self._begun

    def rehearsed(self, seconds: float) -> None:
        """What is to be written at the end has been written once, in this time."""
        self._kept = _REHEARSALS * seconds

    def done(self, step: int) -> float:
        """Part of the run that is done before a step; 1 or more: it is finished.

        Args:
            step (int): steps done.
        """
        if self._config.minutes is None:
            return step / self._config.steps
        now = self.seconds
        if self._last is not None:
            self._slowest = max(_FORGET * self._slowest, now - self._last)
        self._last = now
        kept = self._kept + _STEPS * self._slowest + _SECONDS
        end = 60 * self._config.minutes - kept
        part = now / end if end > 0 else math.inf
        if self._procs.size > 1:
            mine = part if self._procs.lead else 0.0
            value = torch.tensor(mine, dtype=torch.float64, device=self._procs.device)
            part = self._procs.mean(value).item() * self._procs.size
        return part
