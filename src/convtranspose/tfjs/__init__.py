"""TensorFlow.js: ``tf.layers.conv2dTranspose``, ``conv3dTranspose``, and the operations under them.

Configurations are dictionaries with the keys of TensorFlow.js. Arrays are NumPy's, and computed in
float32, the only floating-point type there. A plain ``Error`` of TensorFlow.js is a ``ValueError`` here.

>>> import numpy as np
>>> from convtranspose import tfjs
>>> layer = tfjs.layers.conv2dTranspose({"filters": 2, "kernelSize": 3, "strides": 2, "name": "up"})
>>> layer.apply(np.ones((1, 5, 7, 1))).shape
(1, 11, 15, 2)
>>> layer.getConfig()["kernelInitializer"]["config"]["mode"]
'fanAvg'
"""

from __future__ import annotations

from convtranspose.tfjs import layers
from convtranspose.tfjs.core import conv2dTranspose, conv3dTranspose
from convtranspose.tfjs.layers import sequential

__all__ = ["conv2dTranspose", "conv3dTranspose", "layers", "sequential"]
