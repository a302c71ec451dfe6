"""One record per generation of the API: the same operation under the names, defaults, checks and
serialized forms of its time. A generation is data here, never a second implementation.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DIALECTS", "KERAS3", "TFJS", "TF_KERAS_2_4", "TF_KERAS_2_9", "TF_KERAS_2_21", "Dialect"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """A generation of the API.

    Parameters
    ----------
    name : str
        Short name, also what files record.
    family : {"keras3", "tf_keras", "tfjs"}
        Which line it belongs to.
    """

    name: str
    family: str


KERAS3 = Dialect(name="keras3", family="keras3")
TF_KERAS_2_4 = Dialect(name="tf_keras_2_4", family="tf_keras")
TF_KERAS_2_9 = Dialect(name="tf_keras_2_9", family="tf_keras")
TF_KERAS_2_21 = Dialect(name="tf_keras_2_21", family="tf_keras")
TFJS = Dialect(name="tfjs", family="tfjs")

DIALECTS = {d.name: d for d in (KERAS3, TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21, TFJS)}
