"""Kernel gradients of planes with few output channels, which read their inputs where they lie."""

from __future__ import annotations

import numpy as np
import pytest

import convtranspose
from convtranspose import reference

# inputs (n, c, ...), kernel, strides, padding, dilation, groups: whole planes and single lines as runs of
# memory, lines that are cut, strides beyond the kernel, widths that no stride divides, crops on both sides.
PROBLEMS = [
    ((3, 7, 29, 31), (3, 3, 1, 7), 1, "same", 1, 1),
    ((2, 5, 23, 19), (4, 4, 3, 5), 2, "same", 1, 1),
    ((1, 6, 11, 13), (3, 2, 2, 6), (2, 5), ((1, 0), (-2, 3)), 1, 1),
    ((1, 4, 17, 37), (3, 5, 1, 4), (3, 1), ((4, 5), (3, 2)), (1, 2), 1),
    ((2, 9, 5, 13, 17), (3, 4, 2, 1, 9), (1, 2, 3), "same", 1, 1),
    ((1, 2, 9, 11, 13), (2, 3, 4, 2, 2), (3, 1, 2), ((0, 1), (2, 2), (1, 1)), (1, 2, 1), 1),
    ((2, 64, 1861), (8, 2, 64), 4, "same", 1, 1),
    ((1, 3, 3, 1777), (3, 7, 1, 3), (1, 3), "same", 1, 1),
    ((1, 12, 47, 41), (5, 5, 1, 12), 2, "same", 1, 3),
    ((1, 33, 911), (2, 8, 33), 5, "valid", 1, 1),
]


def problem(shape, kernel, options):
    plan = convtranspose.plan(np.ones(kernel, "float32"), **options)
    rng = np.random.default_rng(7)
    return [rng.integers(-2, 3, of) for of in (shape, plan.output_shape(shape))]


@pytest.mark.parametrize(("shape", "kernel", "strides", "padding", "dilation", "groups"), PROBLEMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_is_the_definition_with_the_same_bits_on_any_threads(
    path, shape, kernel, strides, padding, dilation, groups, dtype
):
    options = {
        "strides": strides,
        "padding": padding,
        "dilation_rate": dilation,
        "groups": groups,
        "data_format": "channels_first",
    }
    size = kernel[:-2]
    x, y = (a.astype(dtype) for a in problem(shape, kernel, options))
    want = reference.kernel_gradient(x, y, size, **options)
    for threads in (1, 3):
        got = convtranspose.conv_transpose_kernel_gradient(x, y, size, threads=threads, **options)
        np.testing.assert_array_equal(got, want)
    x, y = (a / 7 for a in (x, y))  # sums that round
    one, *others = (
        convtranspose.conv_transpose_kernel_gradient(x, y, size, threads=threads, **options)
        for threads in (1, 2, 5)
    )
    for other in others:
        assert other.tobytes() == one.tobytes()


def test_only_the_arrays_are_read(path):
    """Lines end within a vector, and what lies behind the arrays would show in every sum."""
    memory = np.full(2 * 5 * 13 * 11 + 2 * 64, np.nan, "float32")
    x = memory[64:-64].reshape(2, 5, 13, 11)
    x[...] = 1
    outside = np.full(2 * 1 * 26 * 22 + 2 * 64, np.nan, "float32")
    y = outside[64:-64].reshape(2, 1, 26, 22)
    y[...] = 1
    options = {"strides": 2, "padding": "same", "data_format": "channels_first"}
    got = convtranspose.conv_transpose_kernel_gradient(x, y, (4, 4), threads=1, **options)
    np.testing.assert_array_equal(got, reference.kernel_gradient(x, y, (4, 4), **options))


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_number_that_is_not_finite_stays_with_its_channels(path, bad):
    """It may spread among the taps, but not to the sums of other channels of either side."""
    x, y = np.ones((2, 6, 13, 11), "float32"), np.ones((2, 2, 26, 22), "float32")
    options = {"strides": 2, "padding": "same", "data_format": "channels_first"}
    clean = reference.kernel_gradient(x, y, (4, 4), **options)
    x[1, 3, 12, 10] = bad
    got = convtranspose.conv_transpose_kernel_gradient(x, y, (4, 4), **options)
    assert not np.isfinite(got[1, 1, :, 3]).any()
    others = [0, 1, 2, 4, 5]
    np.testing.assert_array_equal(got[..., others], clean[..., others])
    x[1, 3, 12, 10] = 1
    y[0, 0, 25, 21] = bad
    got = convtranspose.conv_transpose_kernel_gradient(x, y, (4, 4), **options)
    assert not np.isfinite(got[2, 2, 0]).any()
    np.testing.assert_array_equal(got[:, :, 1], clean[:, :, 1])
