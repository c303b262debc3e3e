"""Write one model of every kind that TensorFlow has: run in its own Python.

    python tensorflow_models.py FOLDER

Weights are random with a fixed seed; the image is not square.
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf

H, W = 24, 32
# Options of spreco's networks; "N" and what follows belong to its processes.
SPRECO = {
    "nr_filters": 4, "nonlinearity": "elu", "affine_x": False, "data_chns": 2,
    "seed": 1, "batch_size": 1, "input_shape": [H, W, 2], "fourier_scale": 16,
    "attention": False, "body": "small", "reduce_mean": False, "N": 1000,
    "sigma_min": 0.01, "sigma_max": 1.0, "nr_levels": 5, "begin_sigma": 1.0,
    "end_sigma": 0.01, "anneal_power": 2,
}  # fmt: skip


def image():
    """A random image."""
    x = np.random.default_rng(0).standard_normal((1, H, W, 2))
    return x.astype(np.float32)


def keras_net(seed=0):
    """Smooths, the more the larger sigma, and adds a little of a random U-Net.

    So it does denoise, and has what real networks have; sizes must be even.
    """
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    x = keras.Input((None, None, 2), name="x")
    sigma = keras.Input((), name="sigma")
    s = layers.Reshape((1, 1, 1))(sigma)
    level = layers.Dense(8)(s)
    h = layers.Conv2D(8, 3, padding="same")(x)
    h = layers.Activation("silu")(layers.Add()([h, level]))
    d = layers.Conv2D(8, 3, strides=2, padding="same")(h)
    d = layers.Activation("silu")(layers.GroupNormalization(2)(d))
    u = layers.Conv2DTranspose(8, 2, strides=2)(d)
    y = layers.Conv2D(2, 3, padding="same")(layers.Concatenate()([h, u]))
    smooth = layers.Conv2D(2, 3, padding="same", use_bias=False)
    y = x + s / (s + 0.1) * (smooth(x) - x) - 0.02 * s * y
    binomial = np.outer([1, 2, 1], [1, 2, 1]) / 16
    smooth.set_weights([binomial[..., None, None] * np.eye(2)])
    return keras.Model([x, sigma], y, name="net")


def spreco(folder, kind):
    """A network of spreco with its own code, exported by its own code."""
    import tensorflow.compat.v1 as tf1
    import tensorflow.python.training as training
    from tensorflow.python.ops import gen_training_ops

    # TensorFlow has moved a module of the optimiser that spreco brings along.
    training.training_ops = gen_training_ops
    sys.modules["tensorflow.python.training.training_ops"] = gen_training_ops
    from importlib import import_module

    from spreco import bart_tf

    with tf1.Graph().as_default():
        tf1.set_random_seed(1)
        name = "ncsn" if kind == "ncsn" else "sde"
        model = getattr(import_module(f"spreco.model.{kind}"), name)(SPRECO)
        if kind == "ncsn":
            model.init(mode=2)
            output = model.output
        else:
            model.init(mode=2, batch_size=1, default_out=True, sigma_type=None)
            output = model.default_out
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            x, t = image(), np.array([2 if kind == "ncsn" else 0.5])
            y = session.run(output, {model.x: x, model.t: t})
            np.savez(f"{folder}.npz", input_0=x, input_1=t, output_0=y)
            bart_tf.tf1_export_graph(
                str(folder), session=session, name="net",
                inputs=[model.x, model.t], outputs=[output], attach_gradients=False,
            )  # fmt: skip


def frozen(path):
    """A frozen regulariser with BART's names: log density and its gradient."""
    import tensorflow.compat.v1 as tf1

    rng = np.random.default_rng(0)
    with tf1.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [1, H, W, 2], name="input_0")
        tf1.placeholder(tf.float32, [2], name="grad_ys_0")
        a, b = (
            tf1.constant(0.2 * rng.standard_normal(s).astype(np.float32))
            for s in ((3, 3, 2, 8), (3, 3, 8, 8))
        )
        h = tf.nn.elu(tf.nn.conv2d(x, a, 1, "SAME"))
        h = tf.nn.softplus(tf.nn.conv2d(h, b, [1, 2, 2, 1], "SAME"))
        loss = tf.reduce_mean(tf.tanh(h))
        y = tf.stack([loss, tf.zeros_like(loss)], name="output_0")
        grad = tf.identity(tf1.gradients(loss, x)[0], name="grad_0")
        with tf1.Session() as session:
            y, grad = session.run([y, grad], {x: image()})
        path.write_bytes(graph.as_graph_def().SerializeToString())
        np.savez(path.with_suffix(".npz"), input_0=image(), output_0=y, grad_0=grad)


def main(folder):
    """Write everything, and beside it the results for one image."""
    folder = Path(folder)
    net = keras_net()
    net.save(folder / "net.keras")
    net.save_weights(folder / "net.weights.h5")
    net.export(folder / "saved_model", verbose=False)
    import keras_layer

    keras_layer.build().save(folder / "own.keras")
    sigma = np.array([0.5], np.float32)
    y = net([image(), sigma]).numpy()
    np.savez(folder / "net.npz", x=image(), sigma=sigma, output_0=y)
    for kind in ("sde2", "ncsn"):
        spreco(folder / kind, kind)
    frozen(folder / "frozen.pb")


if __name__ == "__main__":
    main(sys.argv[1])
