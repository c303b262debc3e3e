"""Priors as files that an unmodified BART loads: a denoiser as a prox, a density as
a loss, a denoiser for a sampler. What the graphs hold is told in
:mod:`~bart_plugin.graph.proximal`, :mod:`~bart_plugin.graph.loss` and
:mod:`~bart_plugin.graph.sampler`, and the default noise levels in
:mod:`~bart_plugin.algorithms`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from bart_plugin.algorithms import (
    DENSITY_MAX_ITER,
    PUBLISHED_LAMDA,
    Algorithm,
    Numbers,
    as_numbers,
    default_levels,
    get_algorithm,
)
from bart_plugin.graph import contract
from bart_plugin.graph.loss import DensityLoss, loss_graph
from bart_plugin.graph.proximal import prox_graph
from bart_plugin.graph.sampler import sample_graph, sample_script
from sigpy_priors.backend.validate import (
    check_count,
    check_number,
    check_path,
    check_shape,
)
from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, Prior, check_kind

__all__ = ["Exported", "GraphSpec", "export", "write_graph"]


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


@dataclass(frozen=True)
class GraphSpec:
    """What a graph is to be, besides the prior: arguments of :func:`export`.

    Raises:
        ValueError: if the kind is unknown, or a size or the peak is out of range.
    """

    shape: tuple[int, ...]
    kind: str = "pics"
    sigma: tuple[float, ...] | None = None
    relaxation: tuple[float, ...] | None = None
    slices: int = 1
    maps: int = 1
    peak: float = 1.0
    algorithm: str | Algorithm | None = None

    def __post_init__(self) -> None:
        if self.kind not in contract.KINDS:
            raise ValueError(
                f"kind must be one of {contract.KINDS}, got {self.kind!r}."
            )
        check_number("peak", self.peak, strict=True)
        check_count("slices", self.slices)
        check_count("maps", self.maps)
        self.image_shape()

    def image_shape(self) -> tuple[int, ...]:
        """Shape of the graph's image (:mod:`~bart_plugin.graph.contract`)."""
        if self.kind == "sample":
            return contract.sample_shape(self.shape)
        return contract.image_shape(self.shape, self.slices, self.maps)

    def numbers(self) -> dict[str, Any]:
        """What was asked for, for the card beside the graph."""
        full = contract.image_shape(self.shape, self.slices, self.maps)
        return {
            "kind": self.kind,
            "image": list(full[-3:-1]),
            contract.IMAGE: list(self.image_shape()),
            "bart_dims": list(contract.bart_dims(full)),
        }


def export(
    prior: Prior,
    path: str | Path,
    shape: Sequence[int],
    sigma: Numbers = None,
    kind: str = "pics",
    slices: int = 1,
    maps: int = 1,
    peak: float = 1.0,
    relaxation: Numbers = None,
    algorithm: str | Algorithm | None = None,
) -> Exported:
    """Write a prior as a graph for BART, its card and the command to use.

    Neither TensorFlow nor BART is needed.

    Args:
        prior (Prior): with a torch module: a network, its density, or a Gaussian.
            Of a density the loss is written with its gradient.
        path (str or Path): where to write, without ending; ``sample`` writes
            TorchScript if it ends on ".pt".
        shape (sequence of int): (H, W), as SigPy has the image; BART's
            dimensions are then (W, H).
        sigma (float, sequence of float or None): standard deviation of the
            complex noise at the prior's image scale; a sequence is a schedule,
            one level per iteration. Default: that of the algorithm.
            ``sample`` takes none.
        kind (str): "pics", "nlinv" or "sample".
        slices (int): slices in BART's dimension 13.
        maps (int): sets of ESPIRiT maps.
        peak (float): greatest magnitude of an image at the prior's scale.
        relaxation (float, sequence of float or None): how far a proximal step goes
            from the image to the denoised one, in (0, 1], one or one per level;
            default 1, or that of the default schedule.
        algorithm (str, Admm, Fista or None): of ``pics``, "admm" (default), "fista"
            or "ist" or an object of :mod:`bart_plugin.algorithms`; sets the
            default schedule and the command.

    Returns:
        Exported: files and command line.

    Raises:
        ValueError: for sizes, levels or kinds that do not fit.
        TypeError: if the prior has no graph.
        UntranslatedOperator: naming operators without translation.
    """
    check_kind(prior)
    path = check_path("path", path)
    spec = GraphSpec(
        check_shape("shape", shape),
        kind,
        as_numbers("sigma", sigma),
        as_numbers("relaxation", relaxation),
        slices,
        maps,
        peak,
        algorithm,
    )
    return write_graph(prior, prior.module(), path, spec)


def write_graph(
    prior: Prior, module: nn.Module, path: Path, spec: GraphSpec
) -> Exported:
    """The same, where the module of the prior is there already.

    Args:
        prior (Prior): what it is.
        module (torch.nn.Module): of ``prior.module()``.
        path (Path): where to write.
        spec (GraphSpec): what to write.

    Returns:
        Exported: files and command line.
    """
    size = getattr(module, "size", None)
    if size and size != tuple(spec.shape):
        raise ValueError(
            f"shape: {prior!r} is made for images {size}, got {tuple(spec.shape)}."
        )
    if spec.kind == "sample":
        made = _sampler(prior, module, path, spec)
    elif isinstance(prior, DenoiserPrior):
        made = _prox(prior, module, path, spec)
    else:
        assert isinstance(prior, DensityPrior)
        made = _loss(prior, module, path, spec)
    file, data, numbers, command = made
    how = spec.numbers() | numbers | {"command": command}
    prior_card = prior.card.model_dump(mode="json") if prior.card else None
    text = json.dumps({"bart": how, "prior": prior_card}, indent=1)
    card = Path(f"{file}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, lambda p: p.write_bytes(data))
    write_atomic(card, lambda p: p.write_text(text))
    return Exported(file, card, command)


class _Made(NamedTuple):
    file: Path
    data: bytes
    numbers: dict[str, Any]
    command: str


def _graph_file(path: Path) -> Path:
    return path if path.suffix == ".pb" else Path(f"{path}.pb")


def _option(file: Path, lamda: float) -> str:
    """The regularization option of ``pics`` and ``nlinv``."""
    return f"-R TF:{{{file.with_suffix('')}}}:{lamda:g}"


def _prox(
    prior: DenoiserPrior, module: nn.Module, path: Path, spec: GraphSpec
) -> _Made:
    algorithm = get_algorithm(spec.algorithm, density=False)
    sigma, factors = default_levels(prior, algorithm, spec.sigma, spec.relaxation)
    levels = _levels(prior, sigma or ())
    relaxation = _relaxations(factors or (1.0,), levels)
    shape = spec.image_shape()
    data = prox_graph(module, shape, levels, relaxation, spec.peak)
    file = _graph_file(path)
    if len(levels) > 1:
        algorithm = replace(algorithm, max_iter=len(levels))
    command = f"bart nlinv {_option(file, 1)} kspace image coils"
    if spec.kind == "pics":
        option = _option(file, algorithm.bart_lamda(1))
        command = f"bart pics -S {algorithm.options()} {option} kspace maps image"
    numbers = {
        "sigma": levels.tolist(),
        "relaxation": relaxation.tolist(),
        "peak": spec.peak,
    }
    return _Made(file, data, numbers, command)


def _loss(prior: DensityPrior, module: nn.Module, path: Path, spec: GraphSpec) -> _Made:
    if spec.sigma is not None or spec.relaxation is not None:
        raise ValueError("a density has neither sigma nor relaxation to export.")
    loss = DensityLoss(module, prior.channels, spec.peak)
    data = loss_graph(loss, spec.image_shape())
    file = _graph_file(path)
    lamda = PUBLISHED_LAMDA[prior.channels]
    command = f"bart nlinv {_option(file, lamda)} kspace image coils"
    if spec.kind == "pics":
        option = _option(file, lamda)
        command = f"bart pics -S -i {DENSITY_MAX_ITER} {option} kspace maps image"
    numbers = {"peak": spec.peak, "loss": "bits per real number", "lamda": lamda}
    return _Made(file, data, numbers, command)


def _sampler(prior: Prior, module: nn.Module, path: Path, spec: GraphSpec) -> _Made:
    if not isinstance(prior, DenoiserPrior):
        raise ValueError("bart sample takes denoisers, and this is a density.")
    if (spec.sigma, spec.relaxation, spec.slices, spec.maps) != (None, None, 1, 1):
        raise ValueError("bart sample sets sigma itself, and takes one slice.")
    size = spec.image_shape()[-3:-1]
    posterior = "--posterior kspace=kspace,sens=maps samples"
    if path.suffix == ".pt":
        data = sample_script(module, size)
        return _Made(path, data, {}, f"bart sample --external-graph {path} {posterior}")
    # Networks in ONNX files may fix the number of images.
    if any(getattr(m, "batch", None) for m in module.modules()):
        raise ValueError(
            f"{prior!r} takes batches of one size only, but bart sample draws any "
            f"number: export it as TorchScript, with a path that ends on .pt."
        )
    file = _graph_file(path)
    name = file.with_suffix("")
    data = sample_graph(module, size)
    return _Made(file, data, {}, f"bart sample --external-graph {name} {posterior}")


def _levels(prior: DenoiserPrior, sigma: tuple[float, ...]) -> np.ndarray:
    levels = np.asarray(sigma, dtype=np.float64)
    if not (np.isfinite(levels) & (levels > 0)).all():
        raise ValueError(f"sigma: expected noise levels > 0, got {sigma}.")
    low, high = prior.sigma_range
    if levels.min() < low or levels.max() > high:
        raise ValueError(
            f"sigma: {prior!r} knows noise levels from {low:.3g} to {high:.3g} (image "
            f"scale 1), got {levels.min():.3g} to {levels.max():.3g}."
        )
    return levels.astype(np.float32)


def _relaxations(relaxation: tuple[float, ...], levels: np.ndarray) -> np.ndarray:
    """Factors of the gradient, one for each noise level."""
    factors = np.asarray(relaxation, dtype=np.float32)
    if factors.size not in (1, levels.size):
        raise ValueError(
            f"relaxation: expected one value or {levels.size} like sigma, got "
            f"{factors.size}."
        )
    if not ((factors > 0) & (factors <= 1)).all():
        raise ValueError(f"relaxation must be in (0, 1], got {relaxation}.")
    return np.ascontiguousarray(np.broadcast_to(factors, levels.shape))
