"""Wrong arguments of the public API: an error that names them, or a finite result."""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import misuse
from sigpy_priors.backend import validate

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """How all calls of the table end."""
    folder = tmp_path_factory.mktemp("misuse")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(folder)  # some wrong names are names of files all the same
        return misuse.count(folder)


@pytest.mark.slow
def test_every_error_names_its_argument(ends):
    count, bad = ends
    assert sum(count.values()) > 600
    assert not bad


@pytest.mark.slow
def test_no_result_has_nan_without_an_error(ends):
    assert not [text for text in ends[1] if ": NaN: " in text]


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(),
    st.text(), st.binary(), st.lists(st.integers()), st.dictionaries(st.text(), st.none()),
    st.just(np.float32(2)), st.just(np.array(3.0)), st.just(np.ones(3)), st.just(object),
)  # fmt: skip
CHECKS = {
    "number": lambda v: validate.check_number("argument", v),
    "positive": lambda v: validate.check_number("argument", v, strict=True),
    "count": lambda v: validate.check_count("argument", v),
    "shape": lambda v: validate.check_shape("argument", v),
    "path": lambda v: validate.check_path("argument", v),
    "choice": lambda v: validate.check_choice("argument", v, ("a", "b")),
    "image": lambda v: validate.check_image("argument", v),
}


@pytest.mark.parametrize("check", CHECKS)
@given(value=ANYTHING)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_checks_take_anything(check, value):
    """What passes is of the type that is wanted; all else is told by name."""
    try:
        out = CHECKS[check](value)
    except ValueError as e:
        assert str(e).startswith("argument")
        assert "\n" not in str(e)
        return
    if check in ("number", "positive"):
        assert np.isfinite(out)
        assert out > 0 or check == "number"
    if check == "count":
        assert isinstance(out, int) and out >= 1


def test_the_good_message_is_not_wrapped(smooth_prior):
    """SigPy would raise RuntimeError: Exceptions from <...>."""
    from sigpy_priors.prox import DenoiserReg

    reg = DenoiserReg((16, 16), smooth_prior, 0.1)
    x = np.zeros((16, 16), complex)
    with pytest.raises(ValueError, match="alpha must be >= 0"):
        reg(-1, x)
    with pytest.raises(ValueError, match="input: expected a complex image of shape"):
        reg(1, x[:4])
    with pytest.raises(ValueError, match="input has NaN"):
        reg(1, x * np.nan)
    with pytest.raises(ValueError, match=r"shape: .* is made for images \(16, 16\)"):
        DenoiserReg((8, 8), smooth_prior, 0.1)
