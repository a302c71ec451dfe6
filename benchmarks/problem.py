"""The problems: what a layer is, its sizes, its arrays, its arithmetic.

Sizes come from the package's own geometry. Arrays are drawn from the name of the problem, so that
every process makes the same ones without sending them around. ``shape`` and ``array`` speak
channels-last and the kernel order ``(*k, c_out // groups, c_in)``.
"""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from convtranspose import geometry

OPERATIONS = ("forward", "adjoint", "kernel-gradient")
LAYOUTS = ("channels_last", "channels_first")


def _per_axis(value: Any, rank: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,) * rank


@dataclass(frozen=True)
class Problem:
    """One layer: a transposed convolution with its sizes."""

    name: str
    input: tuple[int, ...]
    c_in: int
    c_out: int
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str
    batch: int
    dilation: tuple[int, ...]
    groups: int = 1
    changing: bool = False
    quick: bool = False

    @classmethod
    def make(cls, record: dict[str, Any]) -> Problem:
        """From a record of the problem file, or from what ``asdict`` gave."""
        rank = len(record["input"])
        axes = {n: _per_axis(record.get(n, 1), rank) for n in ("kernel", "strides", "dilation")}
        return cls(**{**record, "input": tuple(record["input"]), **axes})

    def record(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.input)

    @cached_property
    def geometry(self) -> geometry.Geometry:
        """Lengths and crops of a call."""
        return geometry.geometry(
            self.input, self.kernel, self.strides, self.padding, dilation_rate=self.dilation
        )

    @property
    def flops(self) -> int:
        """Useful operations of a call; all three operations have the same number."""
        return 2 * self.batch * prod(self.input) * prod(self.kernel) * self.c_in * self.c_out // self.groups

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of inputs ``x``, kernel ``w`` and outputs ``y``."""
        return {
            "x": (self.batch, *self.input, self.c_in),
            "w": (*self.kernel, self.c_out // self.groups, self.c_in),
            "y": (self.batch, *self.geometry.output_sizes, self.c_out),
        }

    def array(self, which: str) -> np.ndarray:
        """Array ``x``, ``w`` or ``y``: uniform in -0.5 .. 0.5, float32."""
        shape = self.shapes[which]
        seed = zlib.crc32(f"{self.name} {which} {shape}".encode())
        return np.random.default_rng(seed).random(shape, np.float32) - np.float32(0.5)

    def at(self, length: int) -> Problem:
        """The same layer with another length of the last axis."""
        return Problem.make({**self.record(), "input": (*self.input[:-1], length)})

    def calls(self) -> Iterator[Problem]:
        """The problem of every next call; only where lengths change are they different.

        Steps of the golden ratio visit the range evenly and repeat late, whatever the number of
        calls is that a program has time for.
        """
        low, span = self.input[-1] * 3 // 4, self.input[-1] // 2
        step = round(span * 0.618)
        at = 0
        while True:
            yield self.at(low + at) if self.changing else self
            at = (at + step) % (span + 1)

    def arguments(self) -> dict[str, Any]:
        """The options of ``convtranspose.conv_transpose``."""
        return {
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation,
            "groups": self.groups,
        }

    def describe(self) -> str:
        """One short line: sizes, channels, kernel, stride and what is special."""
        text = "×".join(map(str, self.input)) + f"×{self.c_in}→{self.c_out}"
        for letter, value, usual in (
            ("k", self.kernel, None),
            ("s", self.strides, None),
            ("d", self.dilation, {1}),
        ):
            if set(value) != usual:
                text += f" {letter}" + (str(value[0]) if len(set(value)) == 1 else "×".join(map(str, value)))
        text += f" g{self.groups}" if self.groups > 1 else ""
        text += f" n{self.batch}" if self.batch > 1 else ""
        return text + (" changing" if self.changing else "")


def operands(operation: str) -> tuple[tuple[str, ...], str]:
    """Names of the arrays that a call takes besides constant weights, and of the one it gives."""
    return {"forward": (("x",), "y"), "adjoint": (("y",), "x"), "kernel-gradient": (("x", "y"), "w")}[
        operation
    ]


def to_layout(array: np.ndarray, layout: str) -> np.ndarray:
    """A channels-last array in another layout, contiguous."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 1)) if layout == "channels_first" else array


def load(path: Path, pattern: str = "*", quick: bool = False) -> list[Problem]:
    """Problems of a file whose names match any of the comma-separated patterns."""
    records = tomllib.loads(path.read_text(encoding="utf-8"))["problem"]
    problems = [Problem.make(r) for r in records]
    patterns = pattern.split(",")
    return [p for p in problems if any(fnmatch(p.name, one) for one in patterns) and (p.quick or not quick)]
