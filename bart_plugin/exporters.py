r"""Priors as files that an unmodified BART loads.

For ``pics`` and ``nlinv`` the graph holds

.. math:: G(u) = \eta\,(u - D(c u, \sigma_k) / c)

with u = x / max|x| as BART feeds it, D the denoiser, c the scale at which the
prior sees an image whose maximum is 1 (``peak``), and :math:`\eta` the
strength. BART returns :math:`x - \tau \lambda\, s\, G(u)`, so with
:math:`\tau \lambda = 1` every proximal step is exactly x <- D(x): plug-and-play.
That is lambda = rho in ADMM (``-m -u rho``) and ``-s 1``, lambda 1 in FISTA.

Annealing. A schedule of noise levels needs the iteration number, which BART
does not pass on. Here it is a TensorFlow variable inside the graph: the node
``save/restore_all``, which BART runs once after loading, sets it to zero, and
each evaluation of the gradient adds one, unless the image is still all zeros,
as in the first step of a cold start. Beyond its end the schedule stays at its
last level.

The default is ADMM, which solves for the data between two denoisers as
``PriorRecon`` does, with that one's last coupling throughout, while
:math:`\sigma_k` falls geometrically. BART's ``-i`` counts its steps of conjugate
gradients (``-C`` each time at most), not its iterations. FISTA does one gradient
step where ADMM solves, so a coarse denoiser at full strength undoes more than
the data term restores: its schedule starts weak,
:math:`\eta_k = \min(1, c / \sigma_k)`.

PSNR in dB on real 8-coil data, Poisson R = 4 / Poisson R = 8 / 1-D R = 4, bundled
prior, BART 1.0.00 (``tests/benchmarks/bart_pics.py``):

    the default                                      36.09 / 33.26 / 32.33
    BART's wavelets, best lambda in hindsight        35.11 / 32.25 / 30.95
    PriorRecon                                       36.26 / 33.33 / 32.31

Other ways, Poisson R = 8 (``--ways``, same run):

    ADMM, counted (the default)                      33.26
    ADMM, one level, 0.028                           33.28
    FISTA, counted, strength rising                  32.97
    FISTA, 5 calls of pics with -W                   32.81
    FISTA, level from the image, strength 0.6        32.69
    FISTA, counted, without momentum (-I)            32.09
    FISTA, one level, 0.01                           31.76
    FISTA, counted, strength 1                       31.56
    PriorRecon                                       33.33

With ADMM the last level does the work: at the nominal coupling it hardly matters
how one gets there. A level estimated from the image is its mean absolute Haar
detail.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bart_plugin.graph import contract
from bart_plugin.graph.loss import loss_module
from bart_plugin.graph.nodes import PEAK, loss_graph, prox_graph, sample_graph, strengths

__all__ = ["Exported", "export", "annealed"]


# ADMM: the coupling and last level (where prior and data have their nominal
# weights at a noise of 1 % of the image) are those of PriorRecon.
ANNEALING = (0.3, 0.028)
STEPS = 16
RHO = 0.11
CG_ITER = 4
# FISTA: measured on undersampled brain data, see tests/benchmarks/bart_pics.py.
FISTA_ANNEALING = (0.3, 0.008)
FISTA_STRENGTH = 0.0035
FISTA_STEPS = 30
# Of densities, by the real numbers of a pixel: magnitude, complex (Luo et al. 2020).
PUBLISHED_LAMDA = {1: 0.1, 2: 0.6}


class Exported(NamedTuple):
    """What :func:`export` wrote.

    Attributes:
        graph (Path): the ``.pb`` or ``.pt`` file.
        card (Path): JSON with the prior's card and how it was exported.
        command (str): the BART command line to use.
    """

    graph: Path
    card: Path
    command: str


def annealed(start, end, steps):
    """Noise levels that fall geometrically.

    Args:
        start, end (float): first and last level, start >= end > 0.
        steps (int): number of levels.

    Returns:
        tuple of float: the schedule, for :func:`export`.
    """
    if not (np.isfinite(start) and start >= end > 0) or steps < 1:
        raise ValueError(
            f"expected start >= end > 0 and steps >= 1, got {start}, {end}, {steps}."
        )
    return tuple(float(s) for s in np.geomspace(start, end, steps))


def _levels(prior, sigma):
    levels = np.atleast_1d(np.asarray(sigma, dtype=np.float64))
    good = np.isfinite(levels) & (levels > 0)
    if levels.ndim != 1 or not levels.size or not good.all():
        raise ValueError(
            f"sigma: expected one noise level > 0 or a sequence of them, got {sigma}."
        )
    low, high = prior.sigma_range
    if levels.min() < low or levels.max() > high:
        raise ValueError(
            f"sigma: {prior!r} knows noise levels from {low:.3g} to {high:.3g} (image "
            f"scale 1), got {levels.min():.3g} to {levels.max():.3g}."
        )
    return levels.astype(np.float32)


def export(
    prior, path, shape, sigma=None, kind="pics", slices=1, maps=1, peak=None,
    strength=None, steps=None, algorithm="admm",
):  # fmt: skip
    """Write a prior as a graph for BART, its card and the command to use.

    Neither TensorFlow nor BART is needed.

    Args:
        prior (Prior or str): a network or Gaussian prior, or its name. Of a
            density the loss is written with its gradient
            (:mod:`bart_plugin.graph.loss`).
        path (str or Path): where to write, without ending; ``sample`` writes
            TorchScript if it ends on ".pt".
        shape (sequence of int): (H, W), as SigPy has the image; BART's
            dimensions are then (W, H).
        sigma (float, sequence of float or None): standard deviation of the
            complex noise at the prior's image scale; a sequence is a schedule,
            one level per iteration. Default: :func:`default_schedule`.
            ``sample`` takes none.
        kind (str): "pics", "nlinv" or "sample".
        slices (int): slices in BART's dimension 13.
        maps (int): sets of ESPIRiT maps.
        peak (float or None): greatest magnitude of an image at the prior's
            scale, default ``PEAK``.
        strength (float, sequence of float or None): factor of the gradient, in
            (0, 1], one or one per level; default 1, or that of the default
            schedule.
        steps (int or None): iterations of the default schedule, default
            ``STEPS`` or ``FISTA_STEPS``.
        algorithm (str): of ``pics``, "admm" or "fista"; sets the default
            schedule and the command.

    Returns:
        Exported: files and command line.

    Raises:
        ValueError: for sizes, levels or kinds that do not fit.
        TypeError: if the prior has no graph.
        UnsupportedOperator: naming operators without translation.
    """
    from sigpy_priors.priors.module import as_module
    from bart_plugin.graph.torchscript import write_torchscript
    from sigpy_priors.priors.base import DenoiserPrior

    if isinstance(prior, (str, Path)):
        from sigpy_priors.priors.file import load_prior

        prior = load_prior(prior)
    if kind not in contract.KINDS:
        raise ValueError(f"kind must be one of {contract.KINDS}, got {kind!r}.")
    if algorithm not in contract.ALGORITHMS:
        raise ValueError(
            f"algorithm must be one of {list(contract.ALGORITHMS)}, got {algorithm!r}."
        )
    peak = PEAK if peak is None else float(peak)
    if not 0 < peak < float("inf"):
        raise ValueError(f"peak must be > 0, got {peak}.")
    path = Path(path)
    full = contract.image_shape(shape, slices, maps)
    shape = tuple(int(n) for n in shape)
    density = not isinstance(prior, DenoiserPrior)
    module = loss_module(prior, peak) if density else as_module(prior)
    how = {"kind": kind, "image": list(shape), "input_0": list(full)}
    if kind == "sample":
        if density:
            raise ValueError("bart sample takes denoisers, and this is a density.")
        if sigma is not None or (slices, maps) != (1, 1):
            raise ValueError("bart sample sets sigma itself, and takes one slice.")
        torchscript = path.suffix == ".pt"
        if not torchscript and any(getattr(m, "batch", None) for m in module.modules()):
            raise ValueError(
                f"{prior!r} takes batches of one size only, but bart sample draws any "
                f"number: export it as TorchScript, with a path that ends on .pt."
            )
        file = path if torchscript else _with_ending(path, ".pb")
        _make_folder(file)
        if torchscript:
            write_torchscript(module, file, shape)
        else:
            _write(file, sample_graph(module, shape))
        how["input_0"] = [-1, *shape, 2]
    elif density:
        if sigma is not None or strength is not None:
            raise ValueError("a density has neither sigma nor strength to export.")
        file = _with_ending(path, ".pb")
        _make_folder(file)
        _write(file, loss_graph(module, full))
        lamda = PUBLISHED_LAMDA[prior.numbers]
        how |= {"peak": peak, "loss": "bits per real number", "lamda": lamda}
    else:
        if sigma is None:
            sigma, usual = default_schedule(prior, steps, algorithm)
            strength = usual if strength is None else strength
        levels = _levels(prior, sigma)
        strength = strengths(1.0 if strength is None else strength, levels)
        file = _with_ending(path, ".pb")
        _make_folder(file)
        _write(file, prox_graph(module, full, levels, peak, strength))
        how |= {"sigma": levels.tolist(), "peak": peak, "strength": strength.tolist()}
    name = file if file.suffix == ".pt" else file.with_suffix("")
    how["bart_dims"] = list(contract.bart_dims(full))
    how["command"] = command_line(kind, name, how, algorithm)
    card = Path(f"{file}.json")
    prior_card = prior.card.model_dump(mode="json") if prior.card else None
    text = json.dumps({"bart": how, "prior": prior_card}, indent=1)
    _write(card, text.encode())
    return Exported(file, card, how["command"])


def _with_ending(path, ending):
    return path if path.suffix == ending else Path(f"{path}{ending}")


def _make_folder(file):
    file.parent.mkdir(parents=True, exist_ok=True)


def _write(path, data):
    # A reader, perhaps a BART running now, sees the old or the new file.
    import os

    part = Path(f"{path}.{os.getpid()}.part")
    part.write_bytes(data)
    os.replace(part, path)


def default_schedule(prior, steps=None, algorithm="admm"):
    """Noise levels and strengths of a default export (see the module).

    Args:
        prior (Prior): its range bounds the levels.
        steps (int or None): iterations.
        algorithm (str): "admm", or "fista" (and "ist").

    Returns:
        tuple of array: levels and strengths, each of shape (steps,).
    """
    admm = algorithm == "admm"
    steps = steps or (STEPS if admm else FISTA_STEPS)
    ends = ANNEALING if admm else FISTA_ANNEALING
    levels = np.clip(annealed(*ends, steps), *prior.sigma_range)
    return levels, np.ones(steps) if admm else np.minimum(1, FISTA_STRENGTH / levels)


def command_line(kind, name, how, algorithm="admm"):
    """The BART command that uses a graph as it was exported."""
    if kind == "sample":
        return (
            f"bart sample --external-graph {name} "
            f"--posterior kspace=kspace,sens=maps samples"
        )
    if kind == "nlinv":
        lamda = how.get("lamda", 1)
        return f"bart nlinv -R TF:{{{name}}}:{lamda} kspace image coils"
    if "loss" in how:
        return f"bart pics -S -i 100 -R TF:{{{name}}}:{how['lamda']} kspace maps image"
    steps = len(how["sigma"]) if len(how["sigma"]) > 1 else None
    options = pics_options(algorithm, steps)
    lamda = RHO if algorithm == "admm" else 1
    return f"bart pics -S {options} -R TF:{{{name}}}:{lamda:g} kspace maps image"


def pics_options(algorithm, steps=None, step=1.0, rho=RHO, cg_iter=CG_ITER):
    """Options of ``pics`` for a number of iterations of an algorithm."""
    if algorithm == "admm":
        # BART goes on until it has done more than -i steps.
        total = (steps or STEPS) * cg_iter - 1
        return f"-m -u {rho:g} -C {cg_iter} -i {max(total, 1)}"
    ist = "-I " if algorithm == "ist" else ""
    return f"{ist}-i {steps or FISTA_STEPS} -s {step:g}"
