"""Random geometries with small whole numbers in them, for any property of the operation."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

from convtranspose import geometry

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Case:
    """Options of a call with its inputs, its kernel and a gradient to its outputs."""

    options: dict[str, Any]
    x: Array
    w: Array
    dy: Array

    @property
    def sizes(self) -> tuple[int, ...]:
        first = self.options["data_format"] == "channels_first"
        return self.x.shape[2:] if first else self.x.shape[1:-1]


def per_axis(element: st.SearchStrategy[int], rank: int) -> st.SearchStrategy[Any]:
    """One number for all axes, or one for each."""
    return element | st.tuples(*[element] * rank)


@st.composite
def cases(draw: st.DrawFn, dtype: Any = "float32") -> Case:
    """Any legal call in 1 to 3 dimensions whose definition has at most a few ten thousand products."""
    rank = draw(st.integers(1, 3))
    most = {1: 17, 2: 7, 3: 4}[rank]
    sizes = draw(st.tuples(*[st.integers(1, most)] * rank))
    kernel = draw(st.tuples(*[st.integers(1, {1: 9, 2: 5, 3: 3}[rank])] * rank))
    strides = draw(per_axis(st.integers(1, 4), rank))
    dilation = draw(per_axis(st.integers(1, 3), rank))
    all_strides = (strides,) * rank if isinstance(strides, int) else strides
    all_dilations = (dilation,) * rank if isinstance(dilation, int) else dilation
    crops = st.tuples(*[st.tuples(st.integers(-3, 4), st.integers(-3, 4))] * rank)
    padding = draw(st.sampled_from(["valid", "same"]) | crops)
    extra = draw(st.none() | st.tuples(*(st.integers(0, s - 1) for s in all_strides)))
    made = geometry.geometry(sizes, kernel, all_strides, padding, extra, all_dilations)
    if any(axis.o < 0 for axis in made):  # a crop of more than there is
        padding, extra = "valid", None
        made = geometry.geometry(sizes, kernel, all_strides, padding, extra, all_dilations)
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    # Around the widths of vectors, so that every kind of tail turns up.
    channels = st.integers(1, 5) | st.sampled_from([8, 15, 16, 17, 33])
    ci, co = draw(channels), draw(channels)
    batch = draw(st.integers(1, 3))
    layout = draw(st.sampled_from(["channels_last", "channels_first"]))

    def shape(spatial: tuple[int, ...], c: int) -> tuple[int, ...]:
        return (batch, *spatial, c) if layout == "channels_last" else (batch, c, *spatial)

    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x_shape, w_shape = shape(sizes, ci * groups), (*kernel, co, ci * groups)
    y_shape = shape(made.output_sizes, co * groups)
    # Sums stay below 2**24, so float32 is exact.
    assert 4 * 4 * max(prod(x_shape), prod(y_shape)) * prod(w_shape) < 2**40
    return Case(
        {
            "strides": strides,
            "padding": padding,
            "output_padding": extra,
            "data_format": layout,
            "dilation_rate": dilation,
            "groups": groups,
        },
        *(rng.integers(-4, 5, s).astype(dtype) for s in (x_shape, w_shape, y_shape)),
    )
