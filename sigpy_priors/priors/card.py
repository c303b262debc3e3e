"""What a prior is, was trained on, and may be used for."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

__all__ = [
    "CARD",
    "CARD_DIGEST",
    "CARD_VERSION",
    "FORMAT",
    "PriorCard",
    "card_digest",
    "check_card",
]

CARD_VERSION = 1
# What the metadata of a file say: what it is, and under which key its card is.
FORMAT = "sigpy-priors"
CARD = "sigpy_priors.card"
# SHA-256 of the card, and with it, through the digest in the card, of the weights.
CARD_DIGEST = "sigpy_priors.card_sha256"


def card_digest(text: str) -> str:
    """SHA-256 of a card.

    Args:
        text (str): the card as it is stored.

    Returns:
        str: hexadecimal.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def check_card(text: str, digest: str | None, source: object) -> None:
    """Compare a card with its digest, where there is one: older files have none.

    Args:
        text (str): the card as it is stored.
        digest (str or None): from beside it.
        source (str or Path): named in the error.

    Raises:
        ValueError: if they differ.
    """
    if digest is not None and digest != card_digest(text):
        raise ValueError(
            f"{source}: the card is not the one that was written (SHA-256 differs): "
            f"the file is damaged or was altered; get it again."
        )


class PriorCard(BaseModel):
    """The card of a prior; travels in its file and in every export.

    Attributes:
        version (int): version of this format.
        name (str): short name.
        kind (str): "denoiser", "density", or "energy" for one that is known up to
            a factor.
        description (str): one paragraph.
        architecture, options, precond, precond_options: how to build the
            network (:mod:`sigpy_priors.models.registry`).
        package (str): package that registers the architecture, if not ours.
        sigma_range (tuple of float): trained noise levels, complex standard
            deviation in units of the image scale; None for a density.
        sigma (float): noise level of the images that a density is of, likewise.
        strength (float): calibrated factor on the prior's weight in
            reconstructions (:class:`sigpy_priors.priors.base.DenoiserPrior`).
        scale (str): what image magnitude counts as 1.
        weights_sha256 (str): digest of the weights that the card belongs to.
        parent (str): name and digest of the prior that it was made from, if any.
        license, data, config, commit, hours, hardware, validation, citation,
            notes: provenance.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = CARD_VERSION
    name: str = Field(min_length=1)
    kind: Literal["denoiser", "density", "energy"] = "denoiser"
    description: str = ""
    architecture: str
    options: dict[str, Any] = {}
    precond: str | None = "edm"
    precond_options: dict[str, Any] = {}
    package: str | None = None
    sigma_range: tuple[float, float] | None = None
    sigma: float = Field(0.0, ge=0, allow_inf_nan=False)
    strength: float = Field(1.0, gt=0, allow_inf_nan=False)
    scale: str = "99.8th percentile of the image magnitude is 1"
    weights_sha256: str = ""
    parent: str = ""
    license: str = ""
    data: list[dict[str, str]] = []
    config: dict[str, Any] = {}
    commit: str = ""
    hours: float | None = Field(None, ge=0, allow_inf_nan=False)
    hardware: str = ""
    validation: dict[str, Any] = {}
    citation: str = ""
    notes: str = ""

    @model_validator(mode="after")
    def _range(self):
        if self.kind != "denoiser":
            if self.sigma_range is not None or self.precond is not None:
                raise ValueError("a density has no sigma_range and no precond")
            return self
        if self.sigma_range is None or self.precond is None:
            raise ValueError("a denoiser needs sigma_range and precond")
        lo, hi = self.sigma_range
        if not 0 < lo < hi < math.inf:
            raise ValueError(f"sigma_range must be 0 < low < high, got {(lo, hi)}")
        return self

    @classmethod
    def parse(cls, text: str, source: str | Path) -> Any:
        """Read a card from JSON text.

        Args:
            text (str): JSON.
            source (str or Path): named in errors.

        Raises:
            ValueError: with one line for each field that is wrong.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as e:
            lines = []
            for err in e.errors():
                where = ".".join(map(str, err["loc"])) or "card"
                if where == "version":
                    lines.append(
                        f"version {err['input']!r}, but this release reads "
                        f"version {CARD_VERSION}: update sigpy-priors"
                    )
                else:
                    lines.append(f"{where}: {err['msg']}")
            text = f"{source}: the prior's card is not valid: {'; '.join(lines[:5])}"
            raise ValueError(text) from None
