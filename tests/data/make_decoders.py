"""Makes the recorded decoders of this folder: ``python make_decoders.py keras`` and ``... tf_keras``.

Needs the framework it is called with. Every weight and every input is random, so that nothing is left at
a value that hides a mistake; ``<name>.npz`` holds an input and the outputs that the framework computes.
"""

import os
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = Path(__file__).parent


def dcgan(keras):
    """The generator of the DCGAN tutorial of TensorFlow, with a fraction of its channels."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((11,)),
            layers.Dense(7 * 7 * 4, use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Reshape((7, 7, 4)),
            layers.Conv2DTranspose(5, (5, 5), strides=(1, 1), padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Conv2DTranspose(3, (5, 5), strides=(2, 2), padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Conv2DTranspose(
                1, (5, 5), strides=(2, 2), padding="same", use_bias=False, activation="tanh"
            ),
        ],
        name="generator",
    )


def vae(keras):
    """The decoder of the variational auto-encoder of keras.io, with a fraction of its channels."""
    layers = keras.layers
    latent = keras.Input((2,), name="latent")
    x = layers.Dense(7 * 7 * 5, activation="relu")(latent)
    x = layers.Reshape((7, 7, 5))(x)
    x = layers.Conv2DTranspose(5, 3, activation="relu", strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(3, 3, activation="relu", strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(1, 3, activation="sigmoid", padding="same")(x)
    return keras.Model(latent, x, name="decoder")


def volumes(keras):
    """A decoder of volumes with the other layers that decoders are made of."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((2, 3, 2, 5)),
            layers.Conv3DTranspose(3, (2, 3, 2), strides=(1, 2, 1), output_padding=(0, 1, 0)),
            layers.PReLU(shared_axes=(1, 2, 3)),
            layers.UpSampling3D((2, 1, 1)),
            layers.Conv3D(2, 3, padding="same", strides=(1, 2, 1), activation="elu"),
            layers.Dropout(0.3),
            layers.ZeroPadding3D(((0, 1), (1, 0), (1, 1))),
            layers.Cropping3D((1, (0, 1), 0)),
            layers.Activation("softplus"),
        ],
        name="volumes",
    )


def randomize(model, seed):
    random = np.random.default_rng(seed)
    values = []
    for weight in model.weights:
        scale = 1 / np.sqrt(max(np.prod(weight.shape[:-1]), 1)) if len(weight.shape) > 1 else 0.3
        value = scale * random.standard_normal(tuple(weight.shape))
        variance = "variance" in (getattr(weight, "path", None) or weight.name)
        values.append(np.abs(value) + 0.5 if variance else value)
    model.set_weights(values)
    shape = [3, *(n or 5 for n in model.input_shape[1:])]
    return random.standard_normal(shape).astype("float32")


def main(which):
    if which == "keras":
        import keras
    else:
        import tf_keras as keras
    kinds = {
        "keras": {dcgan: [".keras"], vae: [".keras", ".h5", ".weights.h5"], volumes: [".keras"]},
        "tf_keras": {dcgan: [".h5"], vae: [".keras", ".h5"], volumes: [".keras"]},
    }
    for seed, (make, endings) in enumerate(kinds[which].items()):
        model = make(keras)
        inputs = randomize(model, seed)
        outputs = np.asarray(model(inputs, training=False))
        stem = HERE / f"{make.__name__}_{which}"
        np.savez_compressed(f"{stem}.npz", inputs=inputs, outputs=outputs)
        for ending in endings:
            if ending == ".weights.h5":
                model.save_weights(f"{stem}{ending}")
            else:
                model.save(f"{stem}{ending}")


if __name__ == "__main__":
    main(sys.argv[1])
