"""The definition, as loops over taps in float64: the oracle of every test.

Rule of this file: it shares no helper with the code that it judges (no geometry, no plan, no
native module), and it is written to be read, not to be fast.

For every spatial axis, with input sample ``i``, tap ``t``, stride ``s``, dilation ``d`` and crop
``lo``, the transposed convolution is

    ``y[i * s + t * d - lo] += x[i] * kernel[t]``.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

__all__ = ["conv", "conv_transpose", "kernel_gradient"]

Array = np.ndarray[Any, np.dtype[Any]]


def _crop_and_length(n: int, k: int, s: int, d: int, padding: Any, op: int | None) -> tuple[int, int]:
    """First kept sample of the full output, and the output length (Keras 3's table)."""
    ke = 1 + d * (k - 1)
    if padding == "valid":
        return 0, n * s + max(ke - s, 0) if op is None else (n - 1) * s + ke + op
    if padding == "same":
        length = n * s if op is None else (n - 1) * s + ke - 2 * (ke // 2) + op
        surplus = (n - 1) * s + ke - length
        return (surplus // 2 if surplus > 0 else 0), length
    lo, hi = padding
    return lo, (n - 1) * s + ke - lo - hi + (op or 0)


def _tuple(value: Any, rank: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank


def _terms(
    sizes: tuple[int, ...],
    kernel_sizes: tuple[int, ...],
    strides: Any,
    padding: Any,
    output_padding: Any,
    dilation_rate: Any,
) -> tuple[list[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]], tuple[int, ...]]:
    """For every tap: its index, the input samples it meets, the outputs they go to."""
    rank = len(sizes)
    strides, dilations = _tuple(strides, rank), _tuple(dilation_rate, rank)
    paddings = padding if isinstance(padding, (tuple, list)) else (padding,) * rank
    extras = _tuple(output_padding, rank)
    axes = [
        _crop_and_length(*a)
        for a in zip(sizes, kernel_sizes, strides, dilations, paddings, extras, strict=True)
    ]
    terms = []
    for taps in product(*(range(k) for k in kernel_sizes)):
        sources, targets = [], []
        for t, n, s, d, (lo, length) in zip(taps, sizes, strides, dilations, axes, strict=True):
            kept = [i for i in range(n) if 0 <= i * s + t * d - lo < length]
            if not kept:
                break
            first = kept[0] * s + t * d - lo
            sources.append(slice(kept[0], kept[-1] + 1))
            targets.append(slice(first, first + (len(kept) - 1) * s + 1, s))
        else:
            terms.append((taps, tuple(sources), tuple(targets)))
    return terms, tuple(length for _, length in axes)


def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
    *,
    groups: int = 1,
    bias: Any = None,
) -> Array:
    """Transposed convolution by its definition, in float64.

    >>> conv_transpose(np.ones((1, 2, 1)), np.ones((3, 1, 1)), 2)[0, :, 0]
    array([1., 1., 2., 1., 1.])
    """
    x, w = np.asarray(inputs, np.float64), np.asarray(kernel, np.float64)
    if data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    terms, sizes = _terms(x.shape[1:-1], w.shape[:-2], strides, padding, output_padding, dilation_rate)
    ci, co = w.shape[-1] // groups, w.shape[-2]
    y = np.zeros((x.shape[0], *sizes, co * groups))
    for taps, source, target in terms:
        for g in range(groups):
            i, o = slice(g * ci, (g + 1) * ci), slice(g * co, (g + 1) * co)
            y[(slice(None), *target, o)] += x[(slice(None), *source, i)] @ w[taps][:, i].T
    if bias is not None:
        y += np.asarray(bias, np.float64)
    return np.moveaxis(y, -1, 1) if data_format == "channels_first" else y


def conv(
    inputs: Any,
    kernel: Any,
    sizes: tuple[int, ...],
    strides: Any = 1,
    padding: Any = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
    *,
    groups: int = 1,
) -> Array:
    """The adjoint by its definition: from an output back to an input of spatial ``sizes``."""
    y, w = np.asarray(inputs, np.float64), np.asarray(kernel, np.float64)
    if data_format == "channels_first":
        y = np.moveaxis(y, 1, -1)
    terms, _ = _terms(sizes, w.shape[:-2], strides, padding, output_padding, dilation_rate)
    ci, co = w.shape[-1] // groups, w.shape[-2]
    x = np.zeros((y.shape[0], *sizes, ci * groups))
    for taps, source, target in terms:
        for g in range(groups):
            i, o = slice(g * ci, (g + 1) * ci), slice(g * co, (g + 1) * co)
            x[(slice(None), *source, i)] += y[(slice(None), *target, o)] @ w[taps][:, i]
    return np.moveaxis(x, -1, 1) if data_format == "channels_first" else x


def kernel_gradient(
    inputs: Any,
    outputs: Any,
    kernel_sizes: tuple[int, ...],
    strides: Any = 1,
    padding: Any = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
    *,
    groups: int = 1,
) -> Array:
    """Gradient of ``sum(conv_transpose(inputs, kernel) * outputs)`` to the kernel."""
    x, y = np.asarray(inputs, np.float64), np.asarray(outputs, np.float64)
    if data_format == "channels_first":
        x, y = np.moveaxis(x, 1, -1), np.moveaxis(y, 1, -1)
    terms, _ = _terms(x.shape[1:-1], kernel_sizes, strides, padding, output_padding, dilation_rate)
    ci, co = x.shape[-1] // groups, y.shape[-1] // groups
    w = np.zeros((*kernel_sizes, co, x.shape[-1]))
    for taps, source, target in terms:
        for g in range(groups):
            i, o = slice(g * ci, (g + 1) * ci), slice(g * co, (g + 1) * co)
            xs = x[(slice(None), *source, i)].reshape(-1, ci)
            ys = y[(slice(None), *target, o)].reshape(-1, co)
            w[taps][:, i] += ys.T @ xs
    return w
