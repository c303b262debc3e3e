"""Optional packages: what is there is imported, what is not names its extra."""

import json
import sys
from importlib import metadata

import pytest

from sigpy_priors.backend.extras import require


def test_modules_come_in_the_order_of_their_names():
    [decoder, encoder] = require("json.decoder", "json.encoder", extra="train")
    assert (decoder, encoder) == (json.decoder, json.encoder)


def test_what_is_missing_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ImportError, match=r"json and nibabel .*'\.\[train\]'"):
        require("json", "nibabel", extra="train")


def test_a_package_that_is_broken_inside_says_why(tmp_path, monkeypatch):
    """Installed, but its own import fails: reinstalling the extra is the advice too."""
    (tmp_path / "broken_reader.py").write_text("import missing_half")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="missing_half") as e:
        require("broken_reader", extra="train")
    assert e.value.name == "missing_half"


def test_extras_that_messages_may_name_exist():
    extras = metadata.metadata("sigpy-priors").get_all("Provides-Extra")
    assert {"train", "cluster", "cuda", "onnx"} <= set(extras)
