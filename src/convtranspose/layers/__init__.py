"""Layers in the words of Keras 3, on NumPy alone.

>>> import numpy as np
>>> from convtranspose.layers import Conv2DTranspose
>>> Conv2DTranspose(4, 3, strides=2, padding="same")(np.ones((1, 5, 7, 2), "float32")).shape
(1, 10, 14, 4)
"""

from convtranspose.layers.activating import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from convtranspose.layers.base import Gradients, InputSpec, Layer, SymbolicTensor
from convtranspose.layers.conv_transpose import (
    Conv1DTranspose,
    Conv2DTranspose,
    Conv3DTranspose,
    ConvTransposeGradients,
)
from convtranspose.layers.convolution import Conv1D, Conv2D, Conv3D
from convtranspose.layers.dense import Dense
from convtranspose.layers.functional import Functional, Model
from convtranspose.layers.identities import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    Identity,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from convtranspose.layers.naming import clear_session, name_scope
from convtranspose.layers.normalization import BatchNormalization
from convtranspose.layers.sequential import Input, InputLayer, Sequential
from convtranspose.layers.serialization import deserialize, serialize
from convtranspose.layers.shaping import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Flatten,
    Reshape,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from convtranspose.layers.variable import Variable

Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose

__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "BatchNormalization",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvTransposeGradients",
    "Convolution1DTranspose",
    "Convolution2DTranspose",
    "Convolution3DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Dense",
    "Dropout",
    "Flatten",
    "Functional",
    "GaussianDropout",
    "GaussianNoise",
    "Gradients",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "Layer",
    "LeakyReLU",
    "Model",
    "PReLU",
    "ReLU",
    "Reshape",
    "Sequential",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "SymbolicTensor",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "Variable",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "clear_session",
    "deserialize",
    "name_scope",
    "serialize",
]
