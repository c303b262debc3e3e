"""Which ending is read by whom: the one door for priors, by name or file."""

from __future__ import annotations

from pathlib import Path

from sigpy_priors.backend.validate import check_choice, check_path
from sigpy_priors.data import DEFAULT_PRIOR
from sigpy_priors.priors.base import Prior
from sigpy_priors.priors.card import PriorCard
from sigpy_priors.priors.file import bundled, load_file, open_file
from sigpy_priors.priors.hub import fetch, is_hub_name

__all__ = ["load_prior", "read_card"]


def read_card(name: str | Path) -> PriorCard:
    """The card of a prior, without its weights.

    Args:
        name (str or Path): bundled name or file.

    Returns:
        PriorCard: validated card.

    Raises:
        ValueError: as :func:`load_prior`.
    """
    path = _path(name)
    if path.suffix == ".onnx":
        from sigpy_priors.onnx.load import card_of, read_onnx

        return card_of(read_onnx(path), path)
    return open_file(path)[1]


def _path(name: str | Path) -> Path:
    """The file of a bundled name or of one of the Hub, or the file itself."""
    if is_hub_name(name):
        return fetch(str(name))
    return bundled().get(str(name)) or check_path("name", name)


def load_prior(name: str | Path = DEFAULT_PRIOR, runtime: str = "auto") -> Prior:
    """Load a prior.

    Args:
        name (str or Path): a bundled name (:func:`sigpy_priors.bundled`) or a
            file, ``.safetensors`` or ``.onnx`` (:mod:`sigpy_priors.onnx`), or
            ``hf:owner/name`` of the Hub (:mod:`sigpy_priors.priors.hub`); default the
            bundled prior for any scan (:data:`sigpy_priors.data.DEFAULT_PRIOR`).
        runtime (str): what a network denoiser runs with on the CPU: "auto",
            the faster of those installed, or "torch".

    Returns:
        Prior: ready for :class:`sigpy_priors.app.PriorRecon`.

    Raises:
        ValueError: if there is no such file, it is damaged, of another format
            or version, its architecture is not installed, card and weights do
            not belong together, or the runtime is unknown.
    """
    check_choice("runtime", runtime, ("auto", "torch"))
    path = _path(name)
    if path.suffix == ".onnx":
        from sigpy_priors.onnx.load import load_onnx

        return load_onnx(path)
    if runtime == "torch":
        return load_file(path)
    from sigpy_priors.onnx.accelerate import accelerate

    return load_file(path, accelerate)
