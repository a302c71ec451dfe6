"""Random arrays and calls of small integers: every sum of products is exact in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convtranspose import reference

Array = np.ndarray[Any, np.dtype[Any]]


def whole(seed: int, shape: tuple[int, ...], dtype: Any = "float32") -> Array:
    """Whole numbers from -4 to 4."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


@dataclass(frozen=True)
class Call:
    """Sizes and options of a call; sizes are unequal primes, so a swapped axis cannot hide."""

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    options: dict[str, Any]
    c_in: int = 3
    c_out: int = 5
    batch: int = 2

    @property
    def groups(self) -> int:
        return int(self.options.get("groups", 1))

    def arrays(self, dtype: Any = "float32") -> tuple[Array, Array, Array]:
        """Inputs, kernel, bias."""
        first = self.options.get("data_format") == "channels_first"
        ci, co = self.c_in * self.groups, self.c_out
        x_shape = (self.batch, ci, *self.sizes) if first else (self.batch, *self.sizes, ci)
        w_shape = (*self.kernel, co, ci)
        return whole(1, x_shape, dtype), whole(2, w_shape, dtype), whole(3, (co * self.groups,), dtype)

    def outputs(self) -> Array:
        """The definition's answer."""
        x, w, b = self.arrays("float64")
        return reference.conv_transpose(x, w, **self.options, bias=b)

    def __str__(self) -> str:
        return f"{self.sizes} {self.kernel} {self.options}".replace("'", "")


CALLS = [
    Call((7,), (3,), {}),
    Call((7,), (3,), {"strides": 2, "padding": "same"}),
    Call((7,), (2,), {"strides": 5}),  # gaps that no tap reaches
    Call((7,), (2,), {"strides": 5, "padding": "same", "dilation_rate": 2}),
    Call((5,), (4,), {"strides": 3, "dilation_rate": 2, "padding": ((3, -2),)}),
    Call((7,), (5,), {"strides": 3, "padding": "same", "output_padding": 0, "data_format": "channels_first"}),
    Call((5, 3), (3, 2), {"strides": (2, 3)}),
    Call((5, 3), (4, 4), {"strides": 2, "padding": "same"}),
    Call((5, 3), (5, 3), {"strides": (3, 2), "dilation_rate": (1, 2), "output_padding": (2, 1)}),
    Call((5, 3), (3, 3), {"padding": ((2, 1), (-3, 1)), "strides": (1, 2), "data_format": "channels_first"}),
    Call((3, 5), (2, 3), {"groups": 3, "strides": 2, "padding": "same"}),
    Call((3, 5), (3, 1), {"groups": 2, "data_format": "channels_first", "strides": (1, 3)}),
    Call((7, 5), (3, 3), {"groups": 7, "padding": "same"}, c_in=1, c_out=1),
    Call((7, 5), (4, 4), {"strides": 2, "padding": "same"}, c_in=17, c_out=3, batch=1),
    Call((1, 1), (4, 4), {"strides": 2}, c_in=19, c_out=33),
    Call((2, 3, 5), (3, 2, 1), {"strides": (1, 2, 3)}),
    Call((2, 3, 5), (2, 2, 2), {"strides": 2, "padding": "same", "data_format": "channels_first"}),
    Call((3, 2, 5), (3, 1, 2), {"dilation_rate": (2, 1, 3), "strides": (2, 1, 1), "groups": 2}),
]
"""Calls of all kinds, for tests that want a few rather than a random one."""
