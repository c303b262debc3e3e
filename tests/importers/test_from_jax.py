"""JAX and Flax to ONNX: the numbers stay those of the original function."""

import numpy as np
import pytest

from sigpy_priors.importers import ConversionError


@pytest.mark.parametrize(
    "model, kind, free",
    [
        ("linen.msgpack", "linen", "2*H"),
        ("nnx.safetensors", "nnx", "H"),
        ("plain", "plain", "H"),
        ("jax_net:build_nnx", "nnx", "H"),
    ],
)
def test_parity(model, kind, free, jax_models, convert, builders):
    """With the weights in the file, not those that the builder starts with."""
    if ":" in model:
        options = {"builder_options": {"seed": 0}}
    else:
        model, options = jax_models / model, {"builder": f"jax_net:build_{kind}"}
    session, meta = convert(model, framework="jax", **options)
    assert float(meta["sigpy_priors.parity"]) <= 1e-5
    x, sigma = session.get_inputs()
    assert x.shape == ["N", free, free.replace("H", "W"), 2]
    assert sigma.shape == ["N"]
    expected = np.load(jax_models / "expected.npz")
    [y] = session.run(None, {"x": expected["x"], "sigma": expected["sigma"]})
    np.testing.assert_allclose(y, expected[kind], atol=1e-5)


def test_weights_alone(jax_models, convert):
    with pytest.raises(ConversionError, match="name what builds it with --builder"):
        convert(jax_models / "linen.msgpack")
