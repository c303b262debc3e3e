"""JAX and Flax to ONNX: the numbers stay those of the original function."""

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
    if ":" in model:
        session, meta = convert(model, framework="jax")
    else:
        session, meta = convert(
            jax_models / model, framework="jax", builder=f"jax_net:build_{kind}"
        )
    assert float(meta["sigpy_priors.parity"]) <= 1e-5
    x, sigma = session.get_inputs()
    assert x.shape == ["N", free, free.replace("H", "W"), 2]
    assert sigma.shape == ["N"]


def test_weights_in_the_file_are_used(jax_models, convert, builders):
    """Not those that the builder starts with."""
    import numpy as np

    feeds = {"x": np.ones((1, 8, 12, 2), np.float32), "sigma": np.ones(1, np.float32)}
    results = [
        convert(model, framework="jax", **options)[0].run(None, feeds)[0]
        for model, options in (
            (jax_models / "nnx.safetensors", {"builder": "jax_net:build_nnx"}),
            ("jax_net:build_nnx", {"builder_options": {"seed": 0}}),
            ("jax_net:build_nnx", {}),
        )
    ]
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)
    assert np.abs(results[0] - results[2]).max() > 1e-2


def test_weights_alone(jax_models, convert):
    with pytest.raises(ConversionError, match="name what builds it with --builder"):
        convert(jax_models / "linen.msgpack")
