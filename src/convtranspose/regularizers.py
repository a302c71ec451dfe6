"""Keras regularizers by name: penalties on weights and outputs, with their gradients.

A regularizer is called with an array and returns the penalty as a ``float`` (sums run in float64);
``gradient(x)`` is its derivative. Formulas are those of Keras (``keras.regularizers``); the tables at
the end say which names each generation accepts and where one name means different numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

from convtranspose._builtins import Builtin, Form, Registry
from convtranspose.dialects import KERAS3, Dialect

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "classes",
    "deserialize",
    "get",
    "serialize",
]

Array = np.ndarray[Any, np.dtype[Any]]


def _factor(value: Any, name: str, default: float) -> float:
    if value is None:
        return default
    if not isinstance(value, Real) or not isfinite(value) or value < 0:
        raise ValueError(
            f"{name} is not a valid regularization penalty number: expected a non-negative float. "
            f"Got {name}={value!r}."
        )
    return float(value)


def _float32(value: float) -> float:
    return float(np.float32(value))


def _total(values: Array) -> float:
    return float(np.sum(values, dtype=np.float64))


class Regularizer(Builtin):
    """Base class: a subclass gives ``__call__``, and ``gradient`` and ``get_config`` where needed.

    Examples
    --------
    >>> import numpy as np
    >>> class Largest(Regularizer):
    ...     def __call__(self, x):
    ...         return float(np.abs(x).max())
    >>> Largest()([1.0, -3.0])
    3.0
    """

    def __call__(self, x: Any) -> float:
        """Penalty of an array.

        Parameters
        ----------
        x : array_like

        Returns
        -------
        float
        """
        return 0.0

    def gradient(self, x: Any) -> Array:
        """Derivative of the penalty.

        Parameters
        ----------
        x : array_like

        Returns
        -------
        ndarray, shape of x
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement gradient().")

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as Keras 3 writes them."""
        if type(self) in _FORMS:
            return super().get_config()
        raise NotImplementedError(f"{type(self).__name__} does not implement get_config().")

    def __repr__(self) -> str:
        return super().__repr__() if type(self) in _FORMS else object.__repr__(self)


class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x^2)``.

    Parameters
    ----------
    l1, l2 : float, optional
        Not negative. The names ``"l1"``, ``"l2"`` (all generations) and ``"l1_l2"`` (tf.keras) mean
        0.01, the class means 0.

    Examples
    --------
    >>> penalty = L1L2(l1=0.5, l2=0.25)
    >>> penalty([-2.0, 4.0])
    8.0
    >>> penalty.gradient([-2.0, 4.0])
    array([-1.5,  2.5])
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = _factor(l1, "l1", 0.0)
        self.l2 = _factor(l2, "l2", 0.0)

    def __call__(self, x: Any) -> float:
        """Penalty of an array."""
        x = np.asarray(x)
        first = self.l1 * _total(np.abs(x)) if self.l1 else 0.0
        return first + (self.l2 * _total(np.square(x, dtype=np.float64)) if self.l2 else 0.0)

    def gradient(self, x: Any) -> Array:
        """Derivative of the penalty, ``l1 * sign(x) + 2 * l2 * x``."""
        x = np.asarray(x)
        return np.asarray(self.l1 * np.sign(x) + 2 * self.l2 * x)


class L1(L1L2):
    """``l1 * sum(|x|)``.

    Parameters
    ----------
    l1 : float, optional
        Not negative. Rounded to float32, as Keras does.

    Examples
    --------
    >>> L1(0.5)([-2.0, 4.0])
    3.0
    """

    def __init__(self, l1: float | None = 0.01) -> None:
        super().__init__(_float32(_factor(l1, "l1", 0.01)), 0.0)


class L2(L1L2):
    """``l2 * sum(x^2)``.

    Parameters
    ----------
    l2 : float, optional
        Not negative.

    Examples
    --------
    >>> L2(0.5)([-2.0, 4.0])
    10.0
    """

    def __init__(self, l2: float | None = 0.01) -> None:
        super().__init__(0.0, _factor(l2, "l2", 0.01))


class OrthogonalRegularizer(Regularizer):
    """Mean of the products between different rows (or columns) of a matrix, normalised to length 1.

    ``factor * mean(|<u, v>|)`` over all pairs.

    Parameters
    ----------
    factor : float, optional
        Not negative. Rounded to float32, as Keras does.
    mode : {"rows", "columns"}, optional
    signed : bool, optional
        Take the products with their signs, as tf.keras 2.9 does; later versions take absolute values.

    Examples
    --------
    >>> OrthogonalRegularizer(1.0)([[1.0, 0.0], [0.0, -3.0]])
    0.0
    >>> OrthogonalRegularizer(1.0)([[1.0, 0.0], [-2.0, 0.0]])
    1.0
    >>> OrthogonalRegularizer(1.0, signed=True)([[1.0, 0.0], [-2.0, 0.0]])
    -1.0
    """

    def __init__(self, factor: float | None = 0.01, mode: str = "rows", *, signed: bool = False) -> None:
        self.factor = _float32(_factor(factor, "factor", 0.01))
        if mode not in ("rows", "columns"):
            raise ValueError(
                f"Invalid value for argument mode: expected one of 'rows', 'columns'. Got mode={mode!r}."
            )
        self.mode = mode
        self.signed = signed

    def _parts(self, x: Any) -> tuple[Array, Array, Array]:
        """Vectors as rows, their lengths, and the signs of the products between different ones."""
        x = np.asarray(x)
        if x.ndim != 2:
            raise ValueError(
                "Inputs to OrthogonalRegularizer must have rank 2. "
                f"Got shape {x.shape} of rank {x.ndim}; reshape the kernel first."
            )
        rows = np.asarray(x if self.mode == "rows" else x.T, dtype=np.float64)
        lengths = np.sqrt(np.maximum(np.sum(np.square(rows), axis=1, keepdims=True), 1e-12))
        unit = rows / lengths
        signs = np.ones((len(rows), len(rows))) if self.signed else np.sign(unit @ unit.T)
        np.fill_diagonal(signs, 0)
        return unit, lengths, signs

    def __call__(self, x: Any) -> float:
        """Penalty of a matrix; 0 for a single row."""
        unit, _, signs = self._parts(x)
        pairs = len(unit) * (len(unit) - 1) / 2
        return self.factor * 0.5 * _total(signs * (unit @ unit.T)) / max(pairs, 1)

    def gradient(self, x: Any) -> Array:
        """Derivative of the penalty."""
        unit, lengths, signs = self._parts(x)
        pairs = len(unit) * (len(unit) - 1) / 2
        toward = self.factor * (signs @ unit) / max(pairs, 1)
        # Only the part across a vector changes its direction (vectors shorter than 1e-6 are not
        # normalised, there all of it counts).
        along = np.sum(unit * toward, axis=1, keepdims=True) * (lengths > 1e-6)
        slope: Array = (toward - unit * along) / lengths
        x = np.asarray(x)
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
        return (slope if self.mode == "rows" else slope.T).astype(dtype)


# --- which names exist where ---------------------------------------------------------------------


def _rounded(make: Callable[..., Regularizer], **defaults: float) -> Callable[..., Regularizer]:
    """Round the factors to float32 first, as tf.keras does for all classes."""

    def made(*arguments: Any, **keywords: Any) -> Regularizer:
        names = [*defaults][: len(arguments)]
        given = {**defaults, **dict(zip(names, arguments, strict=True)), **keywords}
        return make(**{k: _float32(v) if isinstance(v, (int, float)) else v for k, v in given.items()})

    return made


_signed = partial(OrthogonalRegularizer, signed=True)
_KERAS2: Mapping[str, Callable[..., Any]] = {
    "L1": L1,
    "L1L2": _rounded(L1L2, l1=0.0, l2=0.0),
    "L2": _rounded(L2, l2=0.01),
    "Regularizer": Regularizer,
    "l1": L1,
    "l1_l2": _rounded(L1L2, l1=0.01, l2=0.01),
    "l2": _rounded(L2, l2=0.01),
}
# In TensorFlow.js the names and the class alike mean 0.01, and there is no other class.
_TFJS_L1L2 = partial(L1L2, l1=0.01, l2=0.01)

_FORMS: Mapping[type, Form] = {
    L1: ("L1", "l1"),
    L1L2: ("L1L2", "l1 l2"),
    L2: ("L2", "l2"),
    OrthogonalRegularizer: ("OrthogonalRegularizer", "factor mode"),
}
_REGISTRY = Registry(
    what="regularizer",
    names={
        "keras3": {
            "L1": L1,
            "L1L2": L1L2,
            "L2": L2,
            "OrthogonalRegularizer": OrthogonalRegularizer,
            "Regularizer": Regularizer,
            "l1": L1,
            "l1l2": L1L2,
            "l2": L2,
            "orthogonal_regularizer": OrthogonalRegularizer,
            "regularizer": Regularizer,
        },
        "tf_keras_2_4": _KERAS2,
        "tf_keras_2_9": {**_KERAS2, "OrthogonalRegularizer": _signed, "orthogonal_regularizer": _signed},
        "tf_keras_2_21": {
            **_KERAS2,
            "OrthogonalRegularizer": OrthogonalRegularizer,
            "orthogonal_regularizer": OrthogonalRegularizer,
        },
        "tfjs": {"L1L2": _TFJS_L1L2, "l1l2": _TFJS_L1L2},
    },
    forms={
        "keras3": _FORMS,
        # tf.keras rounds every factor.
        "tf_keras": {
            **_FORMS,
            L1L2: ("L1L2", "l1~ l2~"),
            L2: ("L2", "l2~"),
        },
        "tfjs": dict.fromkeys((L1, L1L2, L2), ("L1L2", "l1 l2")),
    },
    classes_as_given=frozenset({"tf_keras"}),
)
Regularizer._registry = _REGISTRY

# tf_keras 2.21 hands an unknown name back, and fails where it is called.
_NAMES_PASS = frozenset({"tf_keras_2_21"})


def get(identifier: Any, dialect: Dialect = KERAS3) -> Any:
    """A regularizer from what Keras accepts as one.

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
        In the dialect of tf_keras 2.21 an unknown name comes back unchanged, as there.

    Raises
    ------
    ValueError
        If it is unknown in this generation.

    Examples
    --------
    >>> get("l2")
    L2(l2=0.01)
    """
    if dialect.name in _NAMES_PASS and isinstance(identifier, str):
        return (
            identifier
            if identifier not in _REGISTRY.names[dialect.name]
            else _REGISTRY.get(identifier, dialect)
        )
    return _REGISTRY.get(identifier, dialect)


def serialize(regularizer: Any, dialect: Dialect = KERAS3) -> Any:
    """What a generation writes for a regularizer inside the configuration of a layer.

    Examples
    --------
    >>> from convtranspose.dialects import TF_KERAS_2_9
    >>> serialize(L2(), TF_KERAS_2_9)
    {'class_name': 'L2', 'config': {'l2': 0.009999999776482582}}
    """
    return _REGISTRY.serialize(regularizer, dialect)


def deserialize(
    config: Any,
    custom_objects: Mapping[str, Callable[..., Any]] | None = None,
    *,
    dialect: Dialect = KERAS3,
) -> Any:
    """A regularizer from what :func:`serialize` wrote.

    Examples
    --------
    >>> deserialize({"class_name": "L1L2", "config": {"l1": 0.5}})
    L1L2(l1=0.5, l2=0.0)
    """
    return _REGISTRY.deserialize(config, custom_objects, dialect)


def classes(dialect: Dialect = KERAS3) -> Mapping[str, Callable[..., Any]]:
    """Everything a generation knows by name: name to what makes the object.

    >>> classes()["l2"](0.5).get_config()
    {'l2': 0.5}
    """
    return _REGISTRY.names[dialect.name]
