"""What the constructors of the transposed layers accept, generation by generation, and what shapes fit them.

Rule of this file: an argument that the constructor lets pass and the operation does not is refused by
``arguments.py`` at the call, with its message; nothing is checked twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from convtranspose import arguments as args
from convtranspose.dialects import Dialect

__all__ = ["filters", "groups", "output_padding", "padding", "per_axis", "rank", "strides_and_dilation"]


def per_axis(value: Any, rank: int, name: str, minimum: int, record: Dialect) -> tuple[Any, ...]:
    """One number per axis, as Keras' constructors take them.

    A float inside a tuple passes here, as it does there, and is refused where it is used.

    >>> from convtranspose.dialects import KERAS3
    >>> per_axis(2, 3, "strides", 1, KERAS3)
    (2, 2, 2)
    """
    rule = f"{name} must be an int or a tuple of {rank} ints. Got {name}={value!r}"
    if isinstance(value, Integral):
        numbers: tuple[Any, ...] = (value,) * rank
    else:
        if not isinstance(value, (Sequence, np.ndarray)):
            raise ValueError(f"{rule}.")
        numbers = tuple(value)
        if len(numbers) != rank:
            raise ValueError(f"{rule}, which has {len(numbers)}.")
        for number in numbers:
            try:
                int(number)
            except (TypeError, ValueError):
                raise ValueError(f"{rule}, where {number!r} is a {type(number).__name__}.") from None
    # Keras takes True for 1, but in Keras 2 not as a size of the kernel, which build refuses.
    kept: tuple[type, ...] = (bool,) if name == "kernel_size" else ()
    numbers = tuple(int(n) if isinstance(n, Integral) and not isinstance(n, kept) else n for n in numbers)
    if record.sizes_checked:
        for axis, number in enumerate(numbers):
            if isinstance(number, str):
                raise TypeError(f"{rule}, where {number!r} is a str.")
            if number < minimum:
                raise ValueError(
                    f"{name} must be at least {minimum} on every axis, but on axis {axis} it is {number}. "
                    f"Got {name}={value!r}."
                )
    elif name == "kernel_size" and 0 in numbers:
        raise ValueError(f"kernel_size must not be 0 on any axis. Got kernel_size={value!r}.")
    return numbers


def filters(value: Any, record: Dialect) -> Any:
    """Number of output channels."""
    if isinstance(value, float) and record.filters_truncated:
        value = int(value)
    if value is None:
        return value
    if not isinstance(value, Real):
        raise TypeError(f"filters must be an int, but {value!r} is a {type(value).__name__}.")
    if record.sizes_checked and value <= 0:
        raise ValueError(f"filters must be positive. Got filters={value}.")
    return int(value) if isinstance(value, np.integer) else value


def groups(value: Any, count: Any, record: Dialect) -> int:
    """Number of groups that the filters split into."""
    number = args.integers(value, 1, "groups", minimum=-args.MAX_ELEMENTS)[0]
    if not record.grouped:
        number = number or 1
    elif number < 1:
        raise ValueError(f"groups must be at least 1. Got groups={number}.")
    if isinstance(count, Real) and count % number:
        raise ValueError(
            f"groups must divide the filters, but {count} filters do not split into {number} groups. "
            f"Got filters={count}, groups={number}."
        )
    return number


def padding(value: Any, rank: int, record: Dialect) -> Any:
    """``"valid"``, ``"same"`` or, where the generation has them, one crop per axis."""
    if isinstance(value, str):
        name = value.lower()
        if name in ("valid", "same"):
            return name
        if name == "causal":
            raise ValueError(
                "padding must be 'valid' or 'same': 'causal' has no meaning for a transposed convolution. "
                f"Got padding={value!r}."
            )
    elif record.crops and isinstance(value, Sequence):
        return args.padding_rule(value, rank)
    accepted = f"'valid', 'same' or {rank} crops ((lo, hi), ...)" if record.crops else "'valid' or 'same'"
    raise ValueError(f"padding must be {accepted}. Got padding={value!r}.")


def strides_and_dilation(strides: tuple[Any, ...], dilation: tuple[Any, ...]) -> None:
    """Refuse a stride together with a dilation, as the documents of all generations do."""
    numbers = [n for n in (*strides, *dilation) if isinstance(n, Real)]
    if len(numbers) == 2 * len(strides) and max(strides) > 1 and max(dilation) > 1:
        raise ValueError(
            f"strides > 1 together with dilation_rate > 1 is not supported by Keras' layers. "
            f"Got strides={strides}, dilation_rate={dilation}. "
            f"convtranspose.layers compute it with allow_strided_dilation=True."
        )


def output_padding(value: Any, strides: tuple[Any, ...], record: Dialect) -> tuple[Any, ...] | None:
    """Samples added at the end, below the stride."""
    if value is None:
        return None
    numbers = per_axis(value, len(strides), "output_padding", 0, record)
    for axis, (op, stride) in enumerate(zip(numbers, strides, strict=True)):
        if not isinstance(op, Real):
            raise TypeError(f"output_padding must hold ints, but {op!r} is a {type(op).__name__}.")
        if isinstance(stride, Real) and op >= stride:
            raise ValueError(
                f"output_padding must be smaller than the stride on every axis, but on axis {axis} it is "
                f"{op} with stride {stride}. Got output_padding={value!r}, strides={strides}."
            )
    return numbers


def rank(layer: str, input_shape: Sequence[int | None], axes: int) -> None:
    """Refuse a shape of another number of axes than the layer of this name takes.

    >>> rank("up", (None, 7, 7, 3), 4)
    """
    if len(input_shape) != axes:
        raise ValueError(
            f"layer {layer!r}: input_shape must have {axes} axes, the batch first, but it has "
            f"{len(input_shape)}. Got input_shape={tuple(input_shape)}."
        )
