"""What a training run is: one YAML file, validated before anything starts."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sigpy_priors.io.yaml_file import read_yaml
from sigpy_priors.models.registry import architectures

__all__ = ["TrainConfig", "load_config", "dump_config", "differences"]


_SHOWN = 10  # errors in a file that are told at once


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceConfig(_Strict):
    """Files of one kind, and how often they are drawn."""

    path: str | tuple[str, ...] = Field(description="patterns, of the data folder")
    weight: float = Field(gt=0, allow_inf_nan=False, description="share of the draws")
    balance: float = Field(
        1.0,
        ge=0,
        le=1,
        description="within: each source in the files' column `meta` is drawn by its "
        "number of slices to this power: 1 all slices alike, 0 all sources alike",
    )
    noise: bool = Field(True, description="may have noise; false where there is none")

    @property
    def patterns(self) -> tuple[str, ...]:
        """``path``, one or many."""
        return (self.path,) if isinstance(self.path, str) else self.path


class PhaseConfig(_Strict):
    """Random phase of magnitude images (:mod:`sigpy_priors.train.phase`).

    Ranges are of uniform draws. "Field of view": the longer side of a slice.
    """

    model: Literal["smooth", "measured"] = "smooth"
    strength: tuple[float, float] = Field(
        (0.2, 1.3),
        description="factor on all but the chemical shift: spin echo to "
        "gradient echo at long echo time",
    )
    shift: float = Field(
        1.0,
        ge=0,
        description="echo shift: std along each axis, cycles per field of view",
    )
    background: float = Field(
        1.2, ge=0, description="background field: mean std in radians, exponential"
    )
    decay: tuple[float, float] = Field(
        (2.5, 3.5), description="its spectrum's power law"
    )
    knee: tuple[float, float] = Field(
        (1.0, 3.0), description="which begins there, cycles per field of view"
    )
    fields: int = Field(128, ge=1, description="background fields in store")
    air: float = Field(
        8.0,
        ge=0,
        description="air's dipole field: mean phase jump in radians, exponential",
    )
    air_share: float = Field(0.7, ge=0, le=1, description="share of images with one")
    air_level: float = Field(0.08, ge=0, description="air is darker than this")
    chemical_share: float = Field(0.25, ge=0, le=1, description="with chemical shift")
    chemical_level: tuple[float, float] = Field(
        (0.5, 0.9), description="tissue brighter than this is shifted"
    )


class DataConfig(_Strict):
    """Images: glob patterns relative to the data folder, and augmentation."""

    train: tuple[str | SourceConfig, ...] = Field(
        min_length=1,
        description="patterns, whose slices are drawn alike, or {path, weight, ...}",
    )
    val: tuple[str, ...] = ()
    aside: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of each pattern's slices, its last ones, that is not trained "
        "on but validated on, in place of val",
    )
    noise_aware: bool = Field(
        False,
        description="estimate each slice's own noise and learn of the images without "
        "it (sigpy_priors.train.ambient)",
    )
    phase: PhaseConfig = Field(default_factory=lambda: PhaseConfig.model_validate({}))
    augment: Literal["random", "sampled"] = Field(
        "random",
        description="phases of magnitude images: random, as phase says, at every step; "
        "or drawn once from the complex prior augment_prior (sigpy-priors augment), "
        "before the training",
    )
    augment_prior: str = Field("", description="bundled name or file, for sampled")
    slices: int | None = Field(None, ge=1, description="use only the first so many")
    crop: tuple[Annotated[int, Field(ge=8)], ...] = Field(
        (64,), min_length=1, description="pixels; the run is shared among them evenly"
    )
    affine: float = Field(0.4, ge=0, le=1, description="P(rotation and zoom)")
    add_phase: bool = Field(True, description="smooth phase on complex data too")
    min_signal: float = Field(
        0.05, ge=0, lt=1, description="least fraction of pixels above 5 % of peak"
    )

    @model_validator(mode="after")
    def _all_or_none(self):
        if len({isinstance(t, str) for t in self.train}) > 1:
            raise ValueError("train: give all of the patterns a weight, or none")
        if (self.augment == "sampled") != bool(self.augment_prior):
            raise ValueError("augment: sampled and augment_prior go together")
        if self.aside and self.val:
            raise ValueError("give val, or aside, not both")
        return self

    @property
    def sources(self) -> tuple[SourceConfig, ...]:
        """``train`` with everything said; patterns without weights are one source."""
        weighted = tuple(t for t in self.train if not isinstance(t, str))
        plain = tuple(t for t in self.train if isinstance(t, str))
        return weighted or (
            SourceConfig.model_validate({"path": plain, "weight": 1.0}),
        )


class ModelConfig(_Strict):
    """Network and preconditioning, by their registered names."""

    architecture: str = "unet"
    options: dict[str, Any] = {}
    precond: str | None = Field("edm", description="none for a density")
    precond_options: dict[str, Any] = {}


class SigmaConfig(_Strict):
    """Training noise levels (complex standard deviation): log-normal, clipped.

    A density is of images with noise of the one level ``center``.
    """

    center: float = Field(0.08, gt=0)
    spread: float = Field(1.4, ge=0, description="std of ln(sigma)")
    min: float = Field(0.002, gt=0)
    max: float = Field(10.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self):
        if not self.min < self.max:
            raise ValueError(f"min must be below max, got {self.min} and {self.max}")
        return self


class OptimConfig(_Strict):
    """Optimiser, schedule and length."""

    steps: int = Field(20000, ge=1)
    minutes: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="time limit in place of steps, of all parts of the run together: "
        "checkpoint and prior are written before it",
    )
    batch_size: int = Field(16, ge=1, description="images per step, all processes")
    patience: int | None = Field(
        None,
        ge=1,
        description="end after so many validations without a better mean; the prior is "
        "that of the best, and none is written unless it is better than the start",
    )
    lr: float = Field(5e-3, gt=0, description="convolution kernels (Muon)")
    lr_rest: float = Field(1e-3, gt=0, description="all other weights (AdamW)")
    warmup: int = Field(100, ge=0, description="steps of linear warm-up")
    clip: float = Field(10.0, gt=0, description="gradient norm")
    ema: float = Field(0.999, ge=0, lt=1, description="decay of averaged weights")
    precision: Literal["float32", "bfloat16"] = "float32"


class CardConfig(_Strict):
    """What the prior's card says beyond what the run itself knows."""

    description: str = ""
    license: str = ""
    data: tuple[dict[str, str], ...] = Field((), description="source and licence")
    package: str | None = Field(None, description="has the architecture, if not ours")
    citation: str = ""
    notes: str = ""
    strength: float | None = Field(
        None, gt=0, description="calibrated factor on lamda [init's, else 1]"
    )
    parent: str = Field("", description="prior it was made from, and its digest [init]")


class TrainConfig(_Strict):
    """One training run.

    Args of the YAML file: see ``sigpy-priors train --print-config``.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    kind: Literal["denoiser", "density", "energy"] = "denoiser"
    seed: int = Field(0, ge=0, lt=2**31)
    data: DataConfig
    model: ModelConfig = Field(default_factory=lambda: ModelConfig.model_validate({}))
    init: str | None = Field(None, description="prior to start from, name or file")
    sigma: SigmaConfig = Field(default_factory=lambda: SigmaConfig.model_validate({}))
    optim: OptimConfig = Field(default_factory=lambda: OptimConfig.model_validate({}))
    val_every: int = Field(1000, ge=1, description="steps between validations")
    val_images: int = Field(16, ge=1)
    checkpoint_every: int = Field(250, ge=1)
    weight_dtype: Literal["float32", "float16"] = "float16"
    card: CardConfig = Field(default_factory=lambda: CardConfig.model_validate({}))

    @model_validator(mode="after")
    def _kinds(self):
        if self.name == "checkpoint":
            raise ValueError("name: checkpoint.safetensors is the state of the run")
        if self.kind != "denoiser" and (self.sigma.spread or self.model.precond):
            raise ValueError(
                "a density is of one noise level and has no preconditioning: set "
                "sigma.spread: 0 and model.precond: null"
            )
        if self.kind == "denoiser" and not (self.sigma.spread and self.model.precond):
            raise ValueError("a denoiser needs sigma.spread > 0 and a model.precond")
        if self.optim.patience and not (self.data.val or self.data.aside):
            raise ValueError("optim.patience needs data.val or data.aside")
        if self.kind != "denoiser" and self.data.noise_aware:
            raise ValueError(
                "a density is trained on the noisy images themselves: set "
                "data.noise_aware: false"
            )
        return self


def load_config(path: str | Path, **overrides: Any) -> Any:
    """Read and validate a YAML config.

    Args:
        path (str or Path): YAML file.
        **overrides: values that replace the file's, as ``optim__steps=10``.

    Returns:
        TrainConfig: validated config.

    Raises:
        ValueError: naming the file, the field, what was got and expected.
    """
    path = Path(path)
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ValueError(
            f"{path}: expected a mapping of fields, got {type(raw).__name__}."
        )
    for key, value in overrides.items():
        *parents, last = key.split("__")
        target = raw
        for parent in parents:
            if not isinstance(target.get(parent), dict):
                target[parent] = {}
            target = target[parent]
        target[last] = value
    try:
        return TrainConfig.model_validate(raw)
    except ValidationError as e:
        lines = [_line(err) for err in e.errors()[:_SHOWN]]
        more = e.error_count() - len(lines)
        lines += [f"and {more} more"] if more > 0 else []
        raise ValueError(f"{path}: invalid config: {'; '.join(lines)}") from None


def _line(err):
    where = ".".join(map(str, err["loc"])) or "(file)"
    got = repr(err.get("input"))
    got = got if len(got) < 100 else f"{got[:96]} ..."
    got = "" if err["type"] == "missing" else f", got {got}"
    return f"{where}: {err['msg']}{got}"


def _with_options(config):
    """The config as plain values, with the network's own defaults filled in."""
    from sigpy_priors.models.precond import PRECONDS

    raw = config.model_dump(mode="json")
    model = raw["model"]
    if model["architecture"] in architectures():
        module, _, name = architectures()[model["architecture"]].partition(":")
        builder = getattr(import_module(module), name)
        model["options"] = _defaults(builder) | model["options"]
    if model["precond"] in PRECONDS:
        builder = PRECONDS[model["precond"]]
        model["precond_options"] = _defaults(builder) | model["precond_options"]
    return raw


def _defaults(builder):
    plain = (bool, int, float, str, tuple, list, type(None))
    found = {
        name: p.default
        for name, p in inspect.signature(builder).parameters.items()
        if p.default is not p.empty and isinstance(p.default, plain)
    }
    return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}


def dump_config(config: Any) -> str:
    """The whole config as YAML text, every default included.

    Args:
        config (TrainConfig): validated config.

    Returns:
        str: what :func:`load_config` reads back as the same run.
    """
    return yaml.safe_dump(_with_options(config), sort_keys=False)


def differences(config: Any, other: dict) -> Any:
    """Fields in which two configs make different runs; the card makes none.

    Args:
        config (TrainConfig): one config.
        other (dict): plain values of another one, as in a checkpoint.

    Returns:
        list of str: dotted names, empty if both describe the same run.
    """
    try:
        valid = TrainConfig.model_validate(other)
    except ValidationError as e:
        return [".".join(map(str, err["loc"])) for err in e.errors()]
    a, b = (_flat(_with_options(c)) for c in (config, valid))
    changed = [k for k in {**a, **b} if a.get(k, ...) != b.get(k, ...)]
    return [k for k in changed if not k.startswith("card.")]


def _flat(values, prefix=""):
    flat = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
