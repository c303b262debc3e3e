"""Small denoisers of JAX and Flax, as a user's own module has them.

python jax_net.py FOLDER      writes their weights and results there
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx


def binomial(*_):
    """Kernel of a convolution that smooths both channels."""
    k = jnp.array([1.0, 2.0, 1.0]) / 4
    return jnp.outer(k, k)[..., None, None] * jnp.eye(2)


def denoise(x, sigma, smoothed, y):
    """Smooth the more the larger sigma, and add a little of a random network."""
    sigma = sigma[:, None, None, None]
    return x + sigma / (sigma + 0.1) * (smoothed - x) - 0.02 * sigma * y


class Linen(linen.Module):
    """A U-Net with one strided level: sizes must be even."""

    @linen.compact
    def __call__(self, x, sigma):
        level = linen.Dense(8)(sigma[:, None])[:, None, None, :]
        h = linen.silu(linen.Conv(8, (3, 3))(x) + level)
        d = linen.Conv(8, (3, 3), strides=(2, 2))(h)
        d = linen.silu(linen.GroupNorm(2)(d))
        u = linen.ConvTranspose(8, (2, 2), strides=(2, 2))(d)
        y = linen.Conv(2, (3, 3))(jnp.concatenate([h, u], -1))
        smooth = linen.Conv(2, (3, 3), use_bias=False, kernel_init=binomial)
        return denoise(x, sigma, smooth(x), y)


class NNX(nnx.Module):
    """A residual network in Flax's other style: any size."""

    def __init__(self, rngs):
        self.enter = nnx.Conv(2, 8, (3, 3), rngs=rngs)
        self.embed = nnx.Linear(1, 8, rngs=rngs)
        self.blocks = nnx.List([nnx.Conv(8, 8, (3, 3), rngs=rngs) for _ in range(2)])
        self.leave = nnx.Conv(8, 2, (3, 3), rngs=rngs)
        self.smooth = nnx.Conv(
            2, 2, (3, 3), use_bias=False, kernel_init=binomial, rngs=rngs
        )

    def __call__(self, x, sigma):
        h = self.enter(x) + self.embed(sigma[:, None])[:, None, None, :]
        for block in self.blocks:
            h = h + nnx.silu(block(h))
        return denoise(x, sigma, self.smooth(x), self.leave(h))


def build_linen():
    """The network without its weights."""
    return Linen()


def build_nnx(seed=1):
    """The network with weights of another seed than those in the file."""
    return NNX(nnx.Rngs(seed))


def plain(weights, x, sigma):
    """A network without Flax."""
    smoothed, y = (
        jax.lax.conv_general_dilated(
            x, weights[k], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        for k in ("smooth", "conv")
    )
    return denoise(x, sigma, smoothed, jnp.tanh(y))


def build_plain():
    """The function itself; its weights are the first argument."""
    return plain


def variables(rng=0):
    """Weights of the linen network."""
    x, sigma = jnp.zeros((1, 8, 8, 2)), jnp.zeros((1,))
    return Linen().init(jax.random.key(rng), x, sigma)


def main(folder):
    """Write the weights, as msgpack, safetensors and by Orbax, and results."""
    import orbax.checkpoint as ocp
    from flax.serialization import to_bytes
    from flax.traverse_util import flatten_dict
    from safetensors.numpy import save_file

    folder = Path(folder).absolute()
    (folder / "linen.msgpack").write_bytes(to_bytes(variables()))
    state = flatten_dict(nnx.to_pure_dict(nnx.state(NNX(nnx.Rngs(0)))))
    flat = {".".join(map(str, k)): np.array(v) for k, v in state.items()}
    save_file(flat, folder / "nnx.safetensors")
    conv = 0.2 * jax.random.normal(jax.random.key(2), (3, 3, 2, 2))
    weights = {"conv": conv, "smooth": binomial()}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "plain", weights)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 20, 28, 2)).astype(np.float32)
    sigma = rng.uniform(0.1, 0.9, 2).astype(np.float32)
    results = {
        "linen": Linen().apply(variables(), x, sigma),
        "nnx": NNX(nnx.Rngs(0))(x, sigma),
        "plain": plain(weights, x, sigma),
    }
    np.savez(folder / "expected.npz", x=x, sigma=sigma, **results)


if __name__ == "__main__":
    main(sys.argv[1])
