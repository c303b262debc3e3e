"""``spp.io``: short names, and no library before its format is used."""

import subprocess
import sys

import pytest

import sigpy_priors as spp


def test_names_exist_and_are_no_modules():
    for name in spp.io.__all__:
        assert callable(getattr(spp.io, name))
    with pytest.raises(AttributeError, match="no attribute 'read_mat'"):
        spp.io.read_mat  # noqa: B018


def test_atomic_files_need_no_library():
    code = (
        "import sys, sigpy_priors.io.atomic, sigpy_priors.io.cache\n"
        "print(sorted({'numpy', 'sigpy', 'h5py', 'ismrmrd'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert out.stdout.strip() == "[]"
