"""Errors inside SigPy's operators, and those that are none of SigPy's."""

import numpy as np
import pytest
import sigpy as sp

from sigpy_priors.backend.errors import describe, unwrap


class Failing(sp.linop.Linop):
    def __init__(self):
        super().__init__((2,), (2,))

    def _apply(self, input):
        raise ValueError("sigma must be > 0")


def test_composed_operators_are_unwrapped():
    """Also tells when SigPy's words change."""
    A = sp.linop.Identity((2,)) * Failing()
    with pytest.raises(RuntimeError, match="Exceptions from") as e:
        A(np.ones(2))
    assert str(unwrap(e.value)) == "sigma must be > 0"


def test_other_errors_stay():
    """One of ours says more than its cause does."""
    ours = ValueError("ksp.npy: cut short (EOF)")
    ours.__cause__ = EOFError("EOF")
    other = RuntimeError("CUDA error")
    other.__cause__ = OSError("driver")
    for error in (ours, other, RuntimeError("Exceptions from <A>.")):
        assert unwrap(error) is error


class TestDescribe:
    def test_ours_are_as_they_are_in_one_line(self):
        assert describe(ValueError("card:\n  sigma\tbad")) == "card: sigma bad"
        assert "No such file" in describe(FileNotFoundError(2, "No such file", "a"))

    def test_others_have_their_type(self):
        assert describe(KeyError("maps")) == "KeyError: 'maps'"
        assert describe(ValueError()) == "ValueError"
        assert describe(MemoryError()) == "out of memory"

    def test_the_cause_and_where_it_was(self):
        cause = TypeError("no longdouble")
        cause.add_note("ksp.npy, slice 3")
        error = RuntimeError("Exceptions from <Multiply Linop>.")
        error.__cause__ = cause
        assert describe(error) == "ksp.npy, slice 3: TypeError: no longdouble"
