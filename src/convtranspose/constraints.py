"""Keras constraints by name: functions that project a weight after an update.

A constraint is called with the weight and returns the projected one in its own type. Formulas are
those of Keras (``keras.constraints``), equal in all generations; the table at the end says which
names each generation accepts. For kernels ``(*k, filters, in_channels)`` of transposed convolutions
the norm of one filter is taken over the spatial axes and the last one: ``axis=(0, 1, 3)`` in 2-D.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from convtranspose._builtins import Builtin, Form, Registry
from convtranspose.dialects import KERAS3, Dialect

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "RadialConstraint",
    "UnitNorm",
    "classes",
    "deserialize",
    "get",
    "serialize",
]

Array = np.ndarray[Any, np.dtype[Any]]
Axis = int | Sequence[int]

_EPSILON = 1e-7  # keras.config.epsilon()


def _norms(w: Array, axis: Axis) -> Array:
    over = axis if isinstance(axis, int) else tuple(axis)
    norms: Array = np.sqrt(np.sum(np.square(w), axis=over, keepdims=True))
    return norms


class Constraint(Builtin):
    """Base class, and the constraint that leaves the weight as it is.

    Examples
    --------
    >>> import numpy as np
    >>> Constraint()(np.array([-1.0, 2.0]))
    array([-1.,  2.])
    """

    def __call__(self, w: Any) -> Array:
        """Project a weight.

        Parameters
        ----------
        w : array_like

        Returns
        -------
        ndarray, shape of w
        """
        return np.asarray(w)


class MaxNorm(Constraint):
    """Norms of at most ``max_value``: ``w * clip(norm, 0, max_value) / (1e-7 + norm)``.

    Parameters
    ----------
    max_value : float, optional
    axis : int or sequence of int, optional
        The axes over which a norm is taken.

    Examples
    --------
    >>> MaxNorm(5.0)([[6.0, 3.0], [8.0, 4.0]]).round(3)
    array([[3., 3.],
           [4., 4.]])
    """

    def __init__(self, max_value: float = 2, axis: Axis = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Array:
        """Scale down what is too long."""
        w = np.asarray(w)
        norms = _norms(w, self.axis)
        scaled: Array = w * (np.clip(norms, 0, self.max_value) / (_EPSILON + norms))
        return scaled


class NonNeg(Constraint):
    """Negative values become 0.

    Examples
    --------
    >>> NonNeg()([-1.0, 2.0])
    array([0., 2.])
    """

    def __call__(self, w: Any) -> Array:
        """Cut off what is negative."""
        w = np.asarray(w)
        return np.where(w >= 0, w, np.zeros((), w.dtype))


class UnitNorm(Constraint):
    """Norms of 1: ``w / (1e-7 + norm)``.

    Parameters
    ----------
    axis : int or sequence of int, optional
        The axes over which a norm is taken.

    Examples
    --------
    >>> UnitNorm()([[3.0], [4.0]]).round(3)
    array([[0.6],
           [0.8]])
    """

    def __init__(self, axis: Axis = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Array:
        """Scale to length 1."""
        w = np.asarray(w)
        scaled: Array = w / (_EPSILON + _norms(w, self.axis))
        return scaled


class MinMaxNorm(Constraint):
    """Norms between two bounds, or moved a part of the way there.

    ``w * (rate * clip(norm, min_value, max_value) + (1 - rate) * norm) / (1e-7 + norm)``.

    Parameters
    ----------
    min_value, max_value : float, optional
    rate : float, optional
        The part of the way, from 0 (nothing happens) to 1.
    axis : int or sequence of int, optional
        The axes over which a norm is taken.

    Examples
    --------
    >>> MinMaxNorm(10.0, 20.0)([[3.0], [4.0]]).round(3)
    array([[6.],
           [8.]])
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axis = 0
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Array:
        """Scale what is too long or too short."""
        w = np.asarray(w)
        norms = _norms(w, self.axis)
        wanted = self.rate * np.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        scaled: Array = w * (wanted / (_EPSILON + norms))
        return scaled


class RadialConstraint(Constraint):
    """One value per ring of a square 2-D kernel (tf.keras only).

    Ring ``r`` counts from the middle outwards. The values are read from the diagonal as tf.keras
    reads them, which is not where its page draws them: for size 4 the middle 2 x 2 block takes
    ``w[1, 1]`` and the border ``w[3, 3]``; for size 3 the middle takes ``w[0, 0]`` and the border
    ``w[1, 1]``.

    Examples
    --------
    >>> import numpy as np
    >>> RadialConstraint()(np.arange(9.0).reshape(3, 3, 1, 1))[:, :, 0, 0]
    array([[4., 4., 4.],
           [4., 0., 4.],
           [4., 4., 4.]])
    """

    def __call__(self, w: Any) -> Array:
        """Make the kernel equal on each ring."""
        w = np.asarray(w)
        if w.ndim != 4:
            raise ValueError(
                "RadialConstraint needs a kernel of rank 4, (kh, kw, filters, in_channels). "
                f"Got shape {w.shape} of rank {w.ndim}."
            )
        size = w.shape[0]
        if w.shape[1] != size or size < 2:
            raise ValueError(
                f"RadialConstraint needs a square kernel of at least 2 x 2. Got {size} x {w.shape[1]} "
                f"in shape {w.shape}."
            )
        # Distance of every tap to the middle, in rings.
        half, odd = size // 2, size % 2
        offset = np.abs(2 * np.arange(size) - (size - 1)) // 2
        ring = np.maximum(offset[:, None], offset[None, :])
        source = np.concatenate([[half - 1], half + np.arange(1 - odd, half)])
        values = w[source, source]
        result: Array = values[ring]
        return result


# --- which names exist where ---------------------------------------------------------------------

_CLASSES = {
    "Constraint": Constraint,
    "MaxNorm": MaxNorm,
    "MinMaxNorm": MinMaxNorm,
    "NonNeg": NonNeg,
    "UnitNorm": UnitNorm,
}
_FUNCTIONS = {"max_norm": MaxNorm, "min_max_norm": MinMaxNorm, "non_neg": NonNeg, "unit_norm": UnitNorm}
_KERAS2: Mapping[str, Callable[..., Any]] = {
    **_CLASSES,
    **_FUNCTIONS,
    "RadialConstraint": RadialConstraint,
    "maxnorm": MaxNorm,
    "nonneg": NonNeg,
    "radial_constraint": RadialConstraint,
    "unitnorm": UnitNorm,
}
_FORMS: Mapping[type, Form] = {
    Constraint: ("Constraint", ""),
    MaxNorm: ("MaxNorm", "max_value axis"),
    MinMaxNorm: ("MinMaxNorm", "min_value max_value rate axis"),
    NonNeg: ("NonNeg", ""),
    UnitNorm: ("UnitNorm", "axis"),
}
_REGISTRY = Registry(
    what="constraint",
    names={
        "keras3": {**_CLASSES, **_FUNCTIONS, "constraint": Constraint},
        "tf_keras_2_4": _KERAS2,
        "tf_keras_2_9": _KERAS2,
        "tf_keras_2_21": _KERAS2,
        "tfjs": {
            "MaxNorm": MaxNorm,
            "MinMaxNorm": MinMaxNorm,
            "NonNeg": NonNeg,
            "UnitNorm": UnitNorm,
            "maxNorm": MaxNorm,
            "minMaxNorm": MinMaxNorm,
            "nonNeg": NonNeg,
            "unitNorm": UnitNorm,
        },
    },
    forms={
        "keras3": _FORMS,
        "tf_keras": {**_FORMS, RadialConstraint: ("RadialConstraint", "")},
        "tfjs": _FORMS,
    },
    classes_as_given=frozenset({"tf_keras"}),
)
Constraint._registry = _REGISTRY


def get(identifier: Any, dialect: Dialect = KERAS3) -> Any:
    """A constraint from what Keras accepts as one.

    Parameters
    ----------
    identifier : None, str, dict, class or callable
        ``None`` stays ``None``; a name of this generation; a configuration; a class is instantiated
        (not in tf.keras, as there); a callable is returned as it is.
    dialect : Dialect, optional
        The generation whose names count.

    Returns
    -------
    callable or None

    Raises
    ------
    ValueError
        If it is unknown in this generation.

    Examples
    --------
    >>> get("max_norm")
    MaxNorm(max_value=2, axis=0)
    """
    return _REGISTRY.get(identifier, dialect)


def serialize(constraint: Any, dialect: Dialect = KERAS3) -> Any:
    """What a generation writes for a constraint inside the configuration of a layer.

    Examples
    --------
    >>> from convtranspose.dialects import TFJS
    >>> serialize(MaxNorm(3.0), TFJS)
    {'className': 'MaxNorm', 'config': {'maxValue': 3.0, 'axis': 0}}
    """
    return _REGISTRY.serialize(constraint, dialect)


def deserialize(
    config: Any,
    custom_objects: Mapping[str, Callable[..., Any]] | None = None,
    *,
    dialect: Dialect = KERAS3,
) -> Any:
    """A constraint from what :func:`serialize` wrote.

    Examples
    --------
    >>> deserialize({"class_name": "UnitNorm", "config": {"axis": 1}})
    UnitNorm(axis=1)
    """
    return _REGISTRY.deserialize(config, custom_objects, dialect)


def classes(dialect: Dialect = KERAS3) -> Mapping[str, Callable[..., Any]]:
    """Everything a generation knows by name: name to what makes the object.

    >>> classes()["max_norm"](3).get_config()
    {'max_value': 3, 'axis': 0}
    """
    return _REGISTRY.names[dialect.name]
