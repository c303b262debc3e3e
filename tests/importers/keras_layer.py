"""A layer of a user's own, which Keras finds once this module is imported."""

import keras


@keras.saving.register_keras_serializable("tests")
class Twice(keras.layers.Layer):
    """Doubles an image."""

    def call(self, x):
        return 2 * x


def build():
    """A network of that layer alone."""
    x = keras.Input((None, None, 2), name="x")
    return keras.Model(x, Twice()(x))
