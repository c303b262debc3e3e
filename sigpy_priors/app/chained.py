"""How PosteriorSampling runs Markov chains: progress, interruption, convergence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sigpy as sp
from tqdm.auto import tqdm

from sigpy_priors.app.recon import PriorRecon
from sigpy_priors.backend.validate import check_count
from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.io.files import load_npz
from sigpy_priors.posterior.chains import Chains
from sigpy_priors.posterior.draws import Draws
from sigpy_priors.posterior.log_posterior import LogPosterior
from sigpy_priors.priors.base import DensityPrior
from sigpy_priors.scan.problem import Problem

__all__ = ["ChainRun", "OPTIONS"]

OPTIONS = {"chains": 4, "warmup": 60, "max_gradients": 2000}
_SAVE_EVERY = 10  # rounds


class ChainRun:
    """Chains of one posterior, and the file from which they go on.

    Args:
        problem (Problem): at the prior's scale and of unit gain, of images (H, W).
        prior (DensityPrior): the prior.
        seed (int): of all random numbers.
        draws (Draws): what the samples become.
        chains (int): how many, in one batch.
        warmup (int): trajectories that adapt the step, and are thrown away.
        max_gradients (int): of the density for each chain; then they end, converged
            or not.

    Attributes:
        chains (Chains): their state and what is known of their convergence.
    """

    def __init__(
        self,
        problem: Problem,
        prior: DensityPrior,
        seed: int,
        draws: Draws,
        chains: int = OPTIONS["chains"],
        warmup: int = OPTIONS["warmup"],
        max_gradients: int = OPTIONS["max_gradients"],
    ) -> None:
        if len(problem.shape) != 2:
            raise ValueError(
                f"hmc: expected an operator from images (H, W), got one from "
                f"{problem.shape}."
            )
        check_count("chains", chains, low=2)
        check_count("warmup", warmup)
        check_count("max_gradients", max_gradients)
        self.problem, self.prior, self.draws = problem, prior, draws
        target = LogPosterior(problem, prior, problem.support)
        self.chains = Chains(target, chains, warmup, max_gradients, seed)
        self._begun = False

    def load(self, device: Any) -> None:
        """Go on from the checkpoint of the draws, if there is one.

        Args:
            device (Device): where the chains are.

        Raises:
            ValueError: if it is no checkpoint, or that of something else.
        """
        path = self.draws.checkpoint
        saved = load_npz(path) if path is not None and path.exists() else {}
        if "numbers" not in saved:
            self.draws.load(device)
            return
        if str(saved.get("fingerprint")) != self.draws.fingerprint:
            raise ValueError(
                f"{path}: written for other data, prior or settings; remove it, or "
                f"name another file."
            )
        self.chains.restore(saved, lambda a: sp.to_device(a, device))
        self._begun = True

    def run(
        self, wanted: int, finish: Callable[[Any], Any], show_pbar: bool = True
    ) -> None:
        """Run until the chains agree and there are as many independent samples.

        Args:
            wanted (int): number of samples.
            finish (function): brings samples to the units of the image.
            show_pbar (bool): toggle progress bar.
        """
        if len(self.draws) >= wanted:
            return
        chains = self.chains
        with tqdm(
            total=chains.max_gradients,
            initial=chains.spent,
            desc="PosteriorSampling (hmc)",
            unit="gradient",
            disable=not show_pbar,
        ) as bar:
            if not self._begun:
                bar.set_postfix_str("maximum of the posterior")
                app = PriorRecon.of(
                    self.problem, self.prior, solver="LBFGS", show_pbar=False
                )
                chains.begin(app.run())
                self._begun = True
            while not chains.diagnose(wanted):
                before = chains.spent
                chains.run_round()
                bar.update(chains.spent - before)
                warm = chains.round <= chains.warmup
                bar.set_postfix_str(
                    "warm-up" if warm else f"{len(chains.draws) * chains.count} draws"
                )
                if chains.round % _SAVE_EVERY == 0:
                    self._save(self.draws.checkpoint)
        self.draws.add(finish(chains.samples(wanted)))
        self.draws.save()
        self._say()

    def diagnostics(self) -> dict[str, np.ndarray]:
        """R-hat and effective sample size of all draws, NaN where there are no data.

        Returns:
            dict: "rhat" and "ess", (H, W).
        """
        support = sp.to_device(self.problem.support, sp.cpu_device)
        maps = {name: np.full(support.shape, np.nan) for name in ("rhat", "ess")}
        for name, values in maps.items():
            values[support] = getattr(self.chains, name)
        return maps

    def _say(self) -> None:
        chains = self.chains
        if not chains.converged:
            with np.errstate(invalid="ignore"):
                share = float(np.mean(chains.rhat < 1.05))
            warnings.warn(
                f"hmc has not converged after {chains.spent} gradients: R-hat is below "
                f"1.05 in {share:.0%} of the pixels, where 95 % were expected; take more "
                f"max_gradients.",
                stacklevel=3,
            )

    def _save(self, path: Path | None) -> None:
        if path is None:
            return
        arrays = {"fingerprint": self.draws.fingerprint, **self.chains.state()}

        def write(tmp: Path) -> None:
            with open(tmp, "wb") as f:
                np.savez(f, **arrays)

        write_atomic(path, write)
