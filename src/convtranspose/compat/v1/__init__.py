"""``tf.compat.v1``: the layers that name and share their variables by scopes.

>>> import numpy as np
>>> from convtranspose.compat import v1
>>> x = np.ones((1, 5, 7, 3), "float32")
>>> with v1.Graph().as_default():
...     with v1.variable_scope("decoder", reuse=v1.AUTO_REUSE):
...         y = v1.layers.conv2d_transpose(x, 2, 3, name="up")
...         z = v1.layers.conv2d_transpose(x, 2, 3, name="up")
...     [v.name for v in v1.global_variables()], bool((y == z).all())
(['decoder/up/kernel:0', 'decoder/up/bias:0'], True)
"""

from __future__ import annotations

from convtranspose.compat.v1 import layers
from convtranspose.compat.v1.scopes import (
    AUTO_REUSE,
    Graph,
    VariableScope,
    get_regularization_losses,
    global_variables,
    reset_default_graph,
    trainable_variables,
    variable_scope,
)

__all__ = [
    "AUTO_REUSE",
    "Graph",
    "VariableScope",
    "get_regularization_losses",
    "global_variables",
    "layers",
    "reset_default_graph",
    "trainable_variables",
    "variable_scope",
]
