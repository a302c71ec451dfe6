"""What a layer wants of its inputs, and the types it works in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from convtranspose import config as settings
from convtranspose.dialects import Dialect
from convtranspose.errors import MissingDependencyError

__all__ = ["InputSpec", "Policy", "Shape", "policy"]

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class InputSpec:
    """What a layer wants of its input; ``None`` wants nothing.

    Attributes
    ----------
    ndim, min_ndim, max_ndim : int or None
        Its number of axes.
    axes : dict of int to int
        Wanted lengths of axes.
    shape : tuple or None
        Wanted shape; ``None`` inside fits any length.
    dtype : str or None
        Wanted type.
    """

    ndim: int | None = None
    min_ndim: int | None = None
    max_ndim: int | None = None
    axes: dict[int, int] | None = None
    shape: Shape | None = None
    dtype: str | None = None

    def check(self, shape: Shape, layer: str) -> None:
        """Raise a ``ValueError`` if ``shape`` does not fit."""
        n = len(shape)
        got = f"Got inputs of shape {shape}."
        for wanted, fits, rule in (
            (self.ndim, n == self.ndim, "ndim="),
            (self.min_ndim, n >= (self.min_ndim or 0), "min_ndim="),
            (self.max_ndim, n <= (n if self.max_ndim is None else self.max_ndim), "max_ndim="),
        ):
            if wanted is not None and not fits:
                raise ValueError(f"layer {layer!r} expected {rule}{wanted}, found ndim={n}. {got}")
        for axis, length in (self.axes or {}).items():
            if shape[axis] not in (length, None):
                raise ValueError(
                    f"layer {layer!r} expected axis {axis} of its inputs to have the length {length}, but "
                    f"it has {shape[axis]}. {got}"
                )
        if self.shape is not None and (
            len(self.shape) != n
            or any(w is not None and w != s for w, s in zip(self.shape, shape, strict=True))
        ):
            raise ValueError(f"layer {layer!r} expected inputs of shape {self.shape}. {got}")


class Policy(NamedTuple):
    """A type by name, as weights are stored, as the layer computes."""

    name: str
    variable: np.dtype[Any]
    compute: np.dtype[Any]


def _numpy_dtype(name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        try:
            import ml_dtypes
        except ImportError:
            raise MissingDependencyError("ml_dtypes", "test", "for layers of type bfloat16") from None
        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found
    return np.dtype(name)


def policy(given: Any, dialect: Dialect) -> Policy:
    """The types that ``dtype`` asks for; the default of ``config.floatx`` where it is ``None``."""
    if given is None:
        given = settings.floatx()
    if isinstance(given, dict):
        given = given.get("config", {}).get("name")
    name = given if isinstance(given, str) else getattr(given, "name", None)
    if name is None and isinstance(given, type):
        name = np.dtype(given).name
    try:
        if not isinstance(name, str):
            raise TypeError
        mixed = name.removeprefix("mixed_")
        if mixed != name and dialect.mixed_precision and mixed in ("float16", "bfloat16"):
            return Policy(name, np.dtype(np.float32), _numpy_dtype(mixed))
        plain = _numpy_dtype(name)
    except TypeError:
        raise dialect.errors["dtype"](
            f"dtype must be the name of a floating-point type"
            f"{', mixed_float16 or mixed_bfloat16' if dialect.mixed_precision else ''}. Got {given!r}."
        ) from None
    return Policy(plain.name, plain, plain)
