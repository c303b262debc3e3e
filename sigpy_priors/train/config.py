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


class DataConfig(_Strict):
    """Images: glob patterns relative to the data folder, and augmentation."""

    train: tuple[str, ...] = Field(min_length=1)
    val: tuple[str, ...] = ()
    slices: int | None = Field(None, ge=1, description="use only the first so many")
    crop: tuple[Annotated[int, Field(ge=8)], ...] = Field(
        (64,), min_length=1, description="pixels; the run is shared among them evenly"
    )
    affine: float = Field(0.4, ge=0, le=1, description="P(rotation and zoom)")
    add_phase: bool = Field(True, description="smooth phase on complex data too")
    min_signal: float = Field(
        0.05, ge=0, lt=1, description="least fraction of pixels above 5 % of peak"
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
    batch_size: int = Field(16, ge=1, description="images per step, all processes")
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
    strength: float = Field(1.0, gt=0, description="calibrated factor on lamda")


class TrainConfig(_Strict):
    """One training run.

    Args of the YAML file: see ``sigpy-priors train --print-config``.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    kind: Literal["denoiser", "density"] = "denoiser"
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
        if self.kind == "density" and (self.sigma.spread or self.model.precond):
            raise ValueError(
                "a density is of one noise level and has no preconditioning: set "
                "sigma.spread: 0 and model.precond: null"
            )
        if self.kind == "denoiser" and not (self.sigma.spread and self.model.precond):
            raise ValueError("a denoiser needs sigma.spread > 0 and a model.precond")
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
