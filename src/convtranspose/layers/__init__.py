"""Layers in the words of Keras 3, on NumPy alone.

>>> import numpy as np
>>> from convtranspose.layers import Conv2DTranspose
>>> Conv2DTranspose(4, 3, strides=2, padding="same")(np.ones((1, 5, 7, 2), "float32")).shape
(1, 10, 14, 4)
"""

from convtranspose.layers.base import Gradients, InputSpec, Layer, SymbolicTensor
from convtranspose.layers.conv_transpose import (
    Conv1DTranspose,
    Conv2DTranspose,
    Conv3DTranspose,
    ConvTransposeGradients,
)
from convtranspose.layers.naming import clear_session, name_scope
from convtranspose.layers.sequential import Input, InputLayer, Model, Sequential
from convtranspose.layers.serialization import deserialize, serialize
from convtranspose.layers.variable import Variable

Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose

__all__ = [
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "ConvTransposeGradients",
    "Convolution1DTranspose",
    "Convolution2DTranspose",
    "Convolution3DTranspose",
    "Gradients",
    "Input",
    "InputLayer",
    "InputSpec",
    "Layer",
    "Model",
    "Sequential",
    "SymbolicTensor",
    "Variable",
    "clear_session",
    "deserialize",
    "name_scope",
    "serialize",
]
