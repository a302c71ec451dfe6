"""The layers as ``tf.keras`` of TensorFlow 2 has them: one face, three recorded generations.

``convtranspose.tf_keras.layers`` follows the pages of TensorFlow 2.9. :func:`generation` gives the
same face under the record of another one: constructor checks, names and configurations are its own.

>>> from convtranspose import tf_keras
>>> layer = tf_keras.layers.Conv2DTranspose(2, 3, strides=2)
>>> tf_keras.generation("2.21").layers.Conv2DTranspose(2, 3).get_config()["bias_initializer"]["module"]
'keras.initializers'
"""

from __future__ import annotations

import functools
from types import SimpleNamespace

from convtranspose.dialects import TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21
from convtranspose.tf_keras import layers

__all__ = ["generation", "layers"]

_RECORDS = {"2.4": TF_KERAS_2_4, "2.9": TF_KERAS_2_9, "2.21": TF_KERAS_2_21}


@functools.cache
def generation(version: str) -> SimpleNamespace:
    """The face of one generation.

    Parameters
    ----------
    version : {"2.4", "2.9", "2.21"}
        TensorFlow 2.4, TensorFlow 2.9, tf_keras 2.21.

    Returns
    -------
    namespace
        With ``layers`` and ``dialect``.

    Raises
    ------
    ValueError
        If there is no record of that version.
    """
    if version not in _RECORDS:
        raise ValueError(f"version must be one of {', '.join(_RECORDS)}. Got {version!r}.")
    record = _RECORDS[version]
    return SimpleNamespace(dialect=record, layers=layers.under(record))
