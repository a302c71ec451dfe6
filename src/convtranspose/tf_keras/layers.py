"""``tf.keras.layers``: the transposed convolutions and ``Sequential`` of Keras 2.

The classes are those of :mod:`convtranspose.layers` under the record of TensorFlow 2.9; their
constructors take ``name``, ``dtype``, ``trainable``, ``input_shape``, ``batch_input_shape`` and
``weights`` beside the arguments of the page. What the pages say is computed even where the program
refuses it on a CPU: ``channels_first``, dilation, an even kernel with ``padding="same"`` and
``output_padding=0``. Every other layer of :mod:`convtranspose.layers` is found here by its name too.

>>> import numpy as np
>>> from convtranspose.tf_keras import layers
>>> layer = layers.Conv2DTranspose(2, 3, strides=2, name="up")
>>> layer(np.ones((1, 5, 7, 1), "float32")).shape, layer.weights[0].name
((1, 11, 15, 2), 'up/kernel:0')
"""

from __future__ import annotations

import functools
from typing import Any

from convtranspose import layers as _layers
from convtranspose.dialects import TF_KERAS_2_9, Dialect

__all__ = [
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "Convolution1DTranspose",
    "Convolution2DTranspose",
    "Convolution3DTranspose",
    "Input",
    "InputLayer",
    "InputSpec",
    "Layer",
    "Model",
    "Sequential",
    "deserialize",
    "serialize",
]


def named(name: str, dialect: Dialect) -> Any:
    """What ``tf.keras.layers`` calls ``name``, in a generation."""
    if name == "Input":
        return functools.partial(_layers.Input, layer=_layers.InputLayer.in_dialect(dialect))
    if name == "deserialize":
        return functools.partial(_layers.deserialize, dialect=dialect)
    value = getattr(_layers, name) if name in _layers.__all__ else None
    if value is None:
        raise AttributeError(f"tf_keras.layers has no {name!r}. It has: {', '.join(_layers.__all__)}.")
    if isinstance(value, type) and issubclass(value, _layers.Layer):
        return value.in_dialect(dialect)
    return value


class Layers:
    """The names of this module, as another generation has them."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return named(name, self.dialect)

    def __dir__(self) -> list[str]:
        return list(_layers.__all__)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return named(name, TF_KERAS_2_9)


Layer = _layers.Layer.in_dialect(TF_KERAS_2_9)
Conv1DTranspose = Convolution1DTranspose = _layers.Conv1DTranspose.in_dialect(TF_KERAS_2_9)
Conv2DTranspose = Convolution2DTranspose = _layers.Conv2DTranspose.in_dialect(TF_KERAS_2_9)
Conv3DTranspose = Convolution3DTranspose = _layers.Conv3DTranspose.in_dialect(TF_KERAS_2_9)
InputLayer = _layers.InputLayer.in_dialect(TF_KERAS_2_9)
InputSpec = _layers.InputSpec
Model = named("Model", TF_KERAS_2_9)
Sequential = _layers.Sequential.in_dialect(TF_KERAS_2_9)
Input = named("Input", TF_KERAS_2_9)
deserialize = named("deserialize", TF_KERAS_2_9)
serialize = _layers.serialize
