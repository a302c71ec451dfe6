"""A weight: an array that is replaced as a whole, and counts how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Variable"]

Array = np.ndarray[Any, np.dtype[Any]]


class Variable:
    """A weight of a layer.

    Its value is a read-only array. :meth:`assign` replaces it and raises ``version`` by one, so that
    a layer that has packed its weights sees that they are new.

    Parameters
    ----------
    value : array_like
        The first value; copied.
    name : str, default "variable"
        Its name.
    path : str, optional
        Its name with that of its layer; the name where it is left out.
    trainable : bool, default True
        Whether an optimizer changes it.
    regularizer : callable, optional
        From the value to a penalty.
    constraint : callable, optional
        From the value to the nearest allowed one; see :meth:`constrain`.
    dtype : dtype, optional
        Its type; that of ``value`` where it is left out.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Variable
    >>> v = Variable(np.zeros(2, "float32"), name="bias")
    >>> v.assign([1, 2])
    >>> v.value, v.version
    (array([1., 2.], dtype=float32), 1)
    """

    __slots__ = ("_value", "constraint", "name", "path", "regularizer", "trainable", "version")

    def __init__(
        self,
        value: Any,
        name: str = "variable",
        path: str | None = None,
        trainable: bool = True,
        regularizer: Callable[[Array], Any] | None = None,
        constraint: Callable[[Array], Array] | None = None,
        dtype: Any = None,
    ) -> None:
        self._value = _frozen(value, dtype)
        self.name = name
        self.path = name if path is None else path
        self.trainable = trainable
        self.regularizer = regularizer
        self.constraint = constraint
        self.version = 0

    @property
    def value(self) -> Array:
        """The array, read-only."""
        return self._value

    def numpy(self) -> Array:
        """The array, read-only."""
        return self._value

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self._value.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its type."""
        return self._value.dtype

    @property
    def ndim(self) -> int:
        """Its number of axes."""
        return self._value.ndim

    def assign(self, value: Any) -> None:
        """Replace the value by a copy of ``value`` in the variable's type.

        Raises
        ------
        ValueError
            If the shape differs; nothing has changed then.
        """
        new = _frozen(value, self.dtype)
        if new.shape != self.shape:
            raise ValueError(
                f"a variable keeps its shape, but {self.path!r} has {self.shape} and the new value "
                f"has {new.shape}."
            )
        self._value = new
        self.version += 1

    def constrain(self) -> None:
        """Apply the constraint, if there is one: what an optimizer calls after an update."""
        if self.constraint is not None:
            self.assign(self.constraint(self._value))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if dtype is None or np.dtype(dtype) == self.dtype:
            return self._value.copy() if copy else self._value
        if copy is False:
            raise ValueError(f"{self.path!r} is {self.dtype}: as {np.dtype(dtype)} it must be copied.")
        return self._value.astype(dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and pickles of an array forget that it is read-only; the constructor does not.
        return Variable, (
            *(self._value, self.name, self.path, self.trainable, self.regularizer, self.constraint),
        )

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"


def _frozen(value: Any, dtype: Any) -> Array:
    array = np.array(value, dtype=dtype, order="C")
    array.flags.writeable = False
    return array
