"""Random problems for the native tests: every method, tails of every tile, awkward geometry."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from convtranspose import reference

__all__ = ["Case", "random_case"]


class Case:
    """One problem with small-integer data, so that float32 sums are exact in any order."""

    def __init__(self, seed: int) -> None:
        pick = random.Random(seed)
        rank = pick.choice([1, 2, 2, 3])
        groups = pick.choice([1, 1, 1, 2, 3, 18])
        if groups == 18:  # depthwise, and pairs of channels
            c_in = c_out = 18 * pick.choice([1, 1, 2])
        else:
            c_in = groups * pick.choice([1, 2, 3, 5, 16, 19])
            c_out = groups * pick.choice([1, 2, 3, 8, 16, 17, 33, 40])
        lengths = [1, 2, 3, 5, 7, 13, 29] if rank < 3 else [1, 2, 3, 5, 6]
        sizes = tuple(pick.choice(lengths) for _ in range(rank))
        kernel = tuple(pick.randint(1, 5) for _ in range(rank))
        strides = tuple(pick.randint(1, 4) for _ in range(rank))
        dilation = tuple(pick.choice([1, 1, 2, 3]) for _ in range(rank))
        padding: Any = pick.choice(["valid", "same", "crop"])
        output_padding = None
        if padding == "crop":
            padding = tuple(
                (pick.randint(-3, 2), pick.randint(-3, 2)) if (i - 1) * s + (k - 1) * d > 3 else (-1, -2)
                for i, k, s, d in zip(sizes, kernel, strides, dilation, strict=True)
            )
        elif pick.random() < 0.5:
            output_padding = tuple(pick.randint(0, s - 1) for s in strides)
        self.seed = seed
        self.groups = groups
        self.sizes = sizes
        self.kernel_size = kernel
        self.dtype = pick.choice(["float32", "float64"])
        self.options = {
            "strides": strides,
            "padding": padding,
            "output_padding": output_padding,
            "data_format": pick.choice(["channels_last", "channels_first"]),
            "dilation_rate": dilation,
            "groups": groups,
        }
        rng = np.random.default_rng(seed)
        batch = pick.choice([1, 1, 2, 3, 17])
        last = self.options["data_format"] == "channels_last"
        self.x = self._integers(rng, (batch, *sizes, c_in) if last else (batch, c_in, *sizes))
        self.w = self._integers(rng, (*kernel, c_out // groups, c_in))
        self.b = self._integers(rng, (c_out,))
        y = reference.conv_transpose(self.x, self.w, **self.options)
        bias = self.b if last else self.b.reshape(-1, *[1] * rank)
        self.y = (y + bias).astype(self.dtype)
        self.dy = self._integers(rng, self.y.shape)

    def _integers(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(-3, 4, shape).astype(self.dtype)

    def adjoint(self) -> np.ndarray:
        return reference.conv(self.dy, self.w, self.sizes, **self.options).astype(self.dtype)

    def kernel_gradient(self) -> np.ndarray:
        return reference.kernel_gradient(self.x, self.dy, self.kernel_size, **self.options).astype(self.dtype)


def random_case(seed: int) -> Case:
    return Case(seed)
