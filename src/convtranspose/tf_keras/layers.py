"""``tf.keras.layers``: the transposed convolutions and ``Sequential`` of Keras 2.

The classes are those of :mod:`convtranspose.layers` under the record of TensorFlow 2.9; their
constructors take ``name``, ``dtype``, ``trainable``, ``input_shape``, ``batch_input_shape`` and
``weights`` beside the arguments of the page. What the pages say is computed even where the program
refuses it on a CPU: ``channels_first``, dilation, an even kernel with ``padding="same"`` and
``output_padding=0``.

>>> import numpy as np
>>> from convtranspose.tf_keras import layers
>>> layer = layers.Conv2DTranspose(2, 3, strides=2, name="up")
>>> layer(np.ones((1, 5, 7, 1), "float32")).shape, layer.weights[0].name
((1, 11, 15, 2), 'up/kernel:0')
"""

from __future__ import annotations

import functools
from types import SimpleNamespace

from convtranspose import layers as _layers
from convtranspose.dialects import TF_KERAS_2_9, Dialect
from convtranspose.layers import InputSpec, Model, serialize

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

Layer = _layers.Layer.in_dialect(TF_KERAS_2_9)
Conv1DTranspose = Convolution1DTranspose = _layers.Conv1DTranspose.in_dialect(TF_KERAS_2_9)
Conv2DTranspose = Convolution2DTranspose = _layers.Conv2DTranspose.in_dialect(TF_KERAS_2_9)
Conv3DTranspose = Convolution3DTranspose = _layers.Conv3DTranspose.in_dialect(TF_KERAS_2_9)
InputLayer = _layers.InputLayer.in_dialect(TF_KERAS_2_9)
Sequential = _layers.Sequential.in_dialect(TF_KERAS_2_9)
Input = functools.partial(_layers.Input, layer=InputLayer)
deserialize = functools.partial(_layers.deserialize, dialect=TF_KERAS_2_9)


def under(dialect: Dialect) -> SimpleNamespace:
    """The names of this module, as another generation has them."""
    found = SimpleNamespace()
    for name in __all__:
        value = globals()[name]
        if isinstance(value, type) and issubclass(value, _layers.Layer):
            value = value.in_dialect(dialect)
        setattr(found, name, value)
    found.Input = functools.partial(_layers.Input, layer=found.InputLayer)
    found.deserialize = functools.partial(_layers.deserialize, dialect=dialect)
    return found
