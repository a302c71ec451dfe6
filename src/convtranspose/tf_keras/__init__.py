"""The layers as ``tf.keras`` of TensorFlow 2 has them: one face, three recorded generations.

``convtranspose.tf_keras.layers`` follows the pages of TensorFlow 2.9. :func:`generation` gives the
same face under the record of another one: constructor checks, names and configurations are its own.

>>> from convtranspose import tf_keras
>>> layer = tf_keras.layers.Conv2DTranspose(2, 3, strides=2)
>>> tf_keras.generation("2.21").layers.Conv2DTranspose(2, 3).get_config()["bias_initializer"]["module"]
'keras.initializers'
"""

from __future__ import annotations

from dataclasses import dataclass

from convtranspose.dialects import TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21, Dialect
from convtranspose.tf_keras import layers

__all__ = ["Generation", "generation", "layers"]

_RECORDS = {"2.4": TF_KERAS_2_4, "2.9": TF_KERAS_2_9, "2.21": TF_KERAS_2_21}


@dataclass(frozen=True)
class Generation:
    """The face of one generation.

    Attributes
    ----------
    dialect : Dialect
        Its record.
    layers : Layers
        The names of :mod:`convtranspose.tf_keras.layers` under that record.
    """

    dialect: Dialect
    layers: layers.Layers


def generation(version: str) -> Generation:
    """The face of one generation.

    Parameters
    ----------
    version : {"2.4", "2.9", "2.21"}
        TensorFlow 2.4, TensorFlow 2.9, tf_keras 2.21.

    Returns
    -------
    Generation
        With ``layers`` and ``dialect``.

    Raises
    ------
    ValueError
        If there is no record of that version.

    Examples
    --------
    >>> from convtranspose import tf_keras
    >>> tf_keras.generation("2.4").layers.Conv2DTranspose(2, 3).name.startswith("conv2d_transpose")
    True
    """
    if version not in _RECORDS:
        raise ValueError(f"version must be one of {', '.join(_RECORDS)}. Got {version!r}.")
    record = _RECORDS[version]
    return Generation(record, layers.Layers(record))
