"""Priors on the Hugging Face Hub: a safetensors file and its card, nothing else.

``load_prior("hf:owner/name")`` takes ``prior.safetensors`` of the repository, or what
stands behind a colon, ``hf:owner/name@revision:other.safetensors``. It is kept in the Hub's
own cache, and needs no network afterwards. No code of a repository is run.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from sigpy_priors.backend.extras import require
from sigpy_priors.priors.card import PriorCard
from sigpy_priors.priors.saving import save_prior

__all__ = ["FILE", "Shareable", "fetch", "is_hub_name"]

FILE = "prior.safetensors"
_PREFIX = "hf:"
_NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?(?::([\w./-]+\.safetensors))?")


def is_hub_name(name: str | Path) -> bool:
    """Whether a name is meant to be of the Hub.

    Args:
        name (str or Path): what was given to :func:`sigpy_priors.load_prior`.

    Returns:
        bool: it begins with "hf:".
    """
    return str(name).startswith(_PREFIX)


def fetch(name: str) -> Path:
    """The file of a prior, downloaded unless the cache has it.

    Args:
        name (str): ``hf:owner/name``, with ``@revision`` and ``:file`` or without.

    Returns:
        Path: in the Hub's cache.

    Raises:
        ValueError: if the name is none, or there is no such repository, revision or
            file, or no network and nothing in the cache.
        ImportError: without huggingface_hub.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(
            f"name: expected hf:owner/name, hf:owner/name@revision or "
            f"hf:owner/name@revision:file.safetensors, got {name!r}."
        )
    repo, revision, file = found.groups()
    (hub,) = require("huggingface_hub", extra="hub")
    try:
        return Path(hub.hf_hub_download(repo, file or FILE, revision=revision))
    except (hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError) as e:
        reason = str(e).strip().splitlines()[-1]
        raise ValueError(
            f"{name}: {file or FILE} of {repo} could not be had: {reason} Expected a "
            f"repository that push_to_hub made, and a network the first time."
        ) from e


class Shareable:
    """Mixin of priors that are a network with a card."""

    model: Any
    card: PriorCard | None

    def push_to_hub(
        self,
        repo: str,
        revision: str | None = None,
        private: bool = False,
        dtype: str = "float16",
        token: str | None = None,
    ) -> str:
        """Publish the prior; ``load_prior("hf:owner/name")`` loads it.

        Args:
            repo (str): owner/name, made if there is none.
            revision (str or None): branch; None is the main one.
            private (bool): of a new repository.
            dtype (str): storage, as of :func:`sigpy_priors.save_prior`.
            token (str or None): of an account; None is that of ``hf auth login``.

        Returns:
            str: the name for ``load_prior``.

        Raises:
            ValueError: if the prior has no card, or one without a licence.
            ImportError: without huggingface_hub.
        """
        name = f"{_PREFIX}{repo}" + (f"@{revision}" if revision else "")
        if not _NAME.fullmatch(name):
            raise ValueError(f"repo: expected owner/name, got {repo!r}.")
        if self.card is None or not self.card.license:
            raise ValueError(
                f"{self!r} has no card with a licence, expected one: others must know "
                f"what they may do with it."
            )
        (hub,) = require("huggingface_hub", extra="hub")
        api = hub.HfApi(token=token)
        api.create_repo(repo, private=private, exist_ok=True)
        if revision:
            api.create_branch(repo, branch=revision, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            card = save_prior(Path(folder) / FILE, self.model, self.card, dtype)
            (Path(folder) / "README.md").write_text(_readme(name, card), "utf-8")
            api.upload_folder(
                repo_id=repo,
                folder_path=folder,
                revision=revision,
                allow_patterns=[FILE, "README.md"],
                commit_message=f"Prior {card.name}",
            )
        return name


def _readme(name: str, card: PriorCard) -> str:
    """The Hub's page: what the card says, and the line that loads it."""
    data = "".join(
        f"- {', '.join(str(v) for v in source.values())}\n" for source in card.data
    )
    return (
        "---\nlibrary_name: sigpy-priors\nlicense: other\ntags: [mri, image-prior]\n---\n"
        f"# {card.name}\n\n{card.description}\n\n"
        f"```python\nprior = spp.load_prior({name!r})\n```\n\n"
        f"Licence: {card.license}\n\nTrained on\n\n{data or '- not said'}\n"
    )
