"""Which run an output is of, kept beside it: one of another run is not written over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sigpy_priors.io.atomic import write_atomic
from sigpy_priors.io.files import FileError, read_text
from sigpy_priors.volume.inputs import fingerprint

__all__ = ["check_older", "record_file", "record_run"]


def record_file(output: str | Path) -> Path:
    """Where the settings of the run that made an output are.

    Args:
        output (str or Path): the output.

    Returns:
        Path: a hidden file beside it.
    """
    output = Path(output)
    return output.with_name(f".{output.name}.made.json")


def record_run(output: str | Path, settings: dict[str, Any]) -> None:
    """Keep what an output was made with.

    Args:
        output (str or Path): the output, written.
        settings (dict): JSON-able; what decides the result.
    """
    text = json.dumps({"settings": settings, "content": _content(output)})
    write_atomic(record_file(output), lambda tmp: tmp.write_text(text))


def check_older(output: str | Path, settings: dict[str, Any]) -> None:
    """Refuse to write over what is not of this very run, before anything is computed.

    Args:
        output (str or Path): the output.
        settings (dict): as of :func:`record_run`.

    Raises:
        ValueError: if a file is there that was made otherwise, or by nobody knows whom.
    """
    output = Path(output)
    if not output.exists():
        return
    old = _recorded(output)
    if old is None:
        why = "and was not written by this command"
    elif changed := [k for k in settings if old.get(k) != settings[k]]:
        was = ", ".join(f"{k} {old.get(k)}, now {settings[k]}" for k in changed)
        why = f"and was made with other settings ({was})"
    else:
        return
    raise ValueError(
        f"{output}: is there already, {why}; choose another name, or replace it with "
        f"restart=True (--restart)."
    )


def _recorded(output: Path) -> dict[str, Any] | None:
    """Settings of the run that made a file; None if it is another file since."""
    try:
        record = json.loads(read_text(record_file(output)))
        known = record["content"] == _content(output)
        return dict(record["settings"]) if known else None
    except (FileError, ValueError, KeyError, TypeError):
        return None


def _content(output: str | Path) -> Any:
    """Size and digest; the name may change."""
    return (fingerprint(Path(output)) or [])[1:]
