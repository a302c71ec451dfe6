"""The whole operation in NumPy, for machines without the native module.

The same phases as the native kernels: every phase is a sum of a few matrix products over shifted
windows of the input, written once to its places in the output. The classes here and those of
``_core`` have the same methods; :mod:`convtranspose.plans` chooses between them.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from convtranspose.geometry import Axis, Geometry, phases

__all__ = ["Operator", "kernel_gradient"]

Array = np.ndarray[Any, np.dtype[Any]]


def _channels_last(a: Array, layout: str) -> Array:
    return np.moveaxis(a, 1, -1) if layout == "channels_first" else a


def _quiet() -> np.errstate:
    """Infinities and NaN pass through silently, as they do in the native kernels."""
    return np.errstate(over="ignore", invalid="ignore")


def _windows(axis: Axis) -> list[tuple[int, int, slice, slice, int]]:
    """For every phase and tap of one axis: ``(first, count, positions, inputs, tap)``."""
    rows = []
    for phase in phases(axis.k, axis.s, axis.d):
        first, q, count = axis.outputs(phase)
        for tap in phase.taps:
            start, stop = axis.valid(q, count, tap)
            source = slice(q + start - tap.shift, q + stop - tap.shift)
            rows.append((first, count, slice(start, stop), source, tap.index))
    return rows


class Operator:
    """A transposed convolution (``"forward"``) or its adjoint with a fixed kernel.

    Parameters
    ----------
    kind : {"forward", "adjoint"}
        Which of the two.
    kernel : ndarray, shape (*k, c_out // groups, c_in)
        float32 or float64.
    strides, dilations : tuple of int
        One number per axis.
    groups : int
        Channel groups.
    layout : {"channels_last", "channels_first"}
        Where the channels of inputs and outputs stand.
    algorithm, once, half
        Have no meaning here: matrix products form the sums, of a copy of the weights.
    """

    def __init__(
        self,
        kind: str,
        kernel: Array,
        strides: tuple[int, ...],
        dilations: tuple[int, ...],
        groups: int,
        layout: str,
        algorithm: str = "auto",
        once: bool = False,
        half: str = "",
    ) -> None:
        co, ci = kernel.shape[-2], kernel.shape[-1] // groups
        split = kernel.reshape(*kernel.shape[:-2], co, groups, ci)
        # (*k, groups, from, to): one product per tap serves all groups
        order = (-2, -1, -3) if kind == "forward" else (-2, -3, -1)
        lead = tuple(range(kernel.ndim - 2))
        self._weights = split.transpose(*lead, *(split.ndim + n for n in order)).copy()
        self._kind = kind
        self._groups = groups
        self._layout = layout

    def workspace_bytes(self, geometry: Geometry, batch: int, threads: int) -> int:
        """Scratch memory of a run: one phase and its products, for one image."""
        sizes = geometry.output_sizes if self._kind == "forward" else geometry.input_sizes
        per_phase = 1
        for size, s in zip(sizes, geometry.strides, strict=True):
            per_phase *= -(-size // s) if self._kind == "forward" else size
        return int(2 * per_phase * self._weights.shape[-1] * self._groups * self._weights.itemsize)

    def explain(self, geometry: Geometry, batch: int) -> str:
        """One line: what runs and why."""
        return "NumPy path: one matrix product per tap (the native module is absent or switched off)"

    def run(self, x: Array, out: Array, geometry: Geometry, bias: Array | None, threads: int) -> None:
        """Compute ``out`` from ``x``; both have their final shapes."""
        if not out.size:
            return
        x, out = _channels_last(x, self._layout), _channels_last(out, self._layout)
        with _quiet():
            for image, result in zip(x, out, strict=True):  # bounds the scratch memory
                if self._kind == "forward":
                    self._forward(image, result, geometry)
                else:
                    self._adjoint(image, result, geometry)
            if bias is not None:
                out += bias

    def _split(self, a: Array) -> Array:
        return a.reshape(*a.shape[:-1], self._groups, 1, a.shape[-1] // self._groups)

    def _forward(self, x: Array, out: Array, geometry: Geometry) -> None:
        out[...] = 0  # phases without taps, and zeros that a negative crop adds
        x = self._split(x)
        by_phase: dict[tuple[int, ...], list[Any]] = {}
        for row in product(*(_windows(axis) for axis in geometry)):
            by_phase.setdefault(tuple(r[0] for r in row), []).append(row)
        for first, rows in by_phase.items():
            counts = tuple(r[1] for r in rows[0])
            acc = np.zeros((*counts, self._groups, 1, self._weights.shape[-1]), out.dtype)
            for row in rows:
                acc[tuple(r[2] for r in row)] += (
                    x[tuple(r[3] for r in row)] @ self._weights[tuple(r[4] for r in row)]
                )
            places = tuple(slice(f, None, a.s) for f, a in zip(first, geometry, strict=True))
            out[places] = acc.reshape(*counts, out.shape[-1])

    def _adjoint(self, y: Array, out: Array, geometry: Geometry) -> None:
        y = self._split(y)
        acc = np.zeros((*geometry.input_sizes, self._groups, 1, self._weights.shape[-1]), out.dtype)
        for row in product(*(_windows(axis) for axis in geometry)):
            target = tuple(r[3] for r in row)
            source = tuple(
                slice(f + p.start * a.s, f + (p.stop - 1) * a.s + 1 if p.stop > p.start else 0, a.s)
                for (f, _, p, _, _), a in zip(row, geometry, strict=True)
            )
            if all(p.stop > p.start for _, _, p, _, _ in row):
                acc[target] += y[source] @ self._weights[tuple(r[4] for r in row)]
        out[...] = acc.reshape(out.shape)


def kernel_gradient(
    x: Array, y: Array, out: Array, geometry: Geometry, groups: int, layout: str, threads: int
) -> None:
    """Gradient to the kernel from inputs ``x`` and output gradients ``y``, into ``out``."""
    x, y = _channels_last(x, layout), _channels_last(y, layout)
    out[...] = 0
    ci, co = x.shape[-1] // groups, y.shape[-1] // groups
    for row in product(*(_windows(axis) for axis in geometry)):
        if any(p.stop <= p.start for _, _, p, _, _ in row):
            continue
        source = tuple(r[3] for r in row)
        target = tuple(
            slice(f + p.start * a.s, f + (p.stop - 1) * a.s + 1, a.s)
            for (f, _, p, _, _), a in zip(row, geometry, strict=True)
        )
        xs = x[(slice(None), *source)].reshape(-1, groups, ci)
        ys = y[(slice(None), *target)].reshape(-1, groups, co)
        tap = tuple(r[4] for r in row)
        with _quiet():
            for g in range(groups):
                out[tap][:, g * ci : (g + 1) * ci] += ys[:, g].T @ xs[:, g]
