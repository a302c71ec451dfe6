"""Planes that the channel method reads, and writes as whole lines together and around the caches."""

import numpy as np
import pytest

import convtranspose
from convtranspose import reference

from .test_methods import check_on_threads

# input, kernel (*k, c_out, c_in), strides, padding. Results of at most a few hundred kilobytes, then of more
# than four megabytes, which is what four second caches hold; lines of whole cache lines and others, planes of
# whole pages.
SMALL = [
    ((1, 14, 14, 67), (2, 2, 40, 67), 2, "valid"),
    ((3, 7, 5, 19), (3, 3, 33, 19), 4, ((1, 2), (0, 3))),
    ((33, 3, 3, 37), (3, 2, 35, 37), (3, 1), ((-2, -1), (2, 1))),
    ((2, 3, 5, 7, 7), (2, 3, 2, 37, 7), (2, 3, 2), "valid"),
    ((2, 9, 11, 37), (3, 3, 34, 37), 1, "same"),
    ((1, 16, 16, 131), (2, 2, 57, 131), 2, "valid"),
]
LARGE = [
    ((5, 37, 31, 3), (3, 2, 51, 3), 2, "same"),
    ((1, 7, 11, 31, 3), (2, 2, 2, 71, 3), 2, ((1, 0), (1, 2), (0, 1))),
    ((1, 7001, 3), (2, 33, 3), 5, "valid"),
    ((33, 7, 7, 3), (3, 3, 49, 3), (3, 5), "valid"),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding"), SMALL + LARGE)
def test_planes_hold_the_definition(path, shape, kernel, stride, padding):
    rng = np.random.default_rng(9)
    x, w = (rng.integers(-3, 4, of).astype("float32") for of in (shape, kernel))
    b = rng.integers(-3, 4, kernel[-2]).astype("float32")
    want = np.moveaxis(reference.conv_transpose(x, w, stride, padding, bias=b), -1, 1)
    options = {"data_format": "channels_first", "algorithm": "direct"}
    plan = convtranspose.plan(w, stride, padding, bias=b, **options)
    x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    assert "channel method" in plan.explain(x.shape)
    check_on_threads(plan, x, want)
    np.testing.assert_array_equal(plan(x), want)  # begins with a cache line
    once = convtranspose.conv_transpose(x, w, stride, padding, bias=b, **options)
    np.testing.assert_array_equal(once, want)


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        ((1, 14, 15, 40), (2, 2, 33, 40), 2),
        ((31, 7, 6, 40), (3, 2, 33, 40), 2),
        ((3, 61, 59, 103), (2, 2, 33, 103), 1),
    ],
)
def test_planes_of_an_adjoint_hold_the_definition(path, shape, kernel, stride):
    rng = np.random.default_rng(10)
    w = rng.integers(-3, 4, kernel).astype("float32")
    y_shape = convtranspose.plan(w, stride).output_shape(shape)
    y = rng.integers(-3, 4, y_shape).astype("float32")
    want = np.moveaxis(reference.conv(y, w, shape[1:-1], stride), -1, 1)
    y = np.ascontiguousarray(np.moveaxis(y, -1, 1))
    for threads in (1, 2, 5):
        got = convtranspose.conv(
            y, w, stride, data_format="channels_first", algorithm="direct", threads=threads
        )
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(1, 67, 32, 32), (2, 19, 9, 7), (1, 33, 64, 64), (1, 40, 129), (1, 36, 5, 67)]
)
def test_planes_may_begin_anywhere_in_a_cache_line(path, shape, dtype):
    rng = np.random.default_rng(12)
    w = rng.integers(-3, 4, (*(2,) * (len(shape) - 2), 33, shape[1])).astype(dtype)
    x = rng.integers(-3, 4, shape).astype(dtype)
    memory = np.full(x.size + 16, np.nan, dtype)
    for algorithm, stride in (("direct", 2), ("winograd", 1)):
        want = reference.conv_transpose(np.moveaxis(x, 1, -1), w, stride)
        options = {"data_format": "channels_first", "algorithm": algorithm}
        for first in range(16):
            memory[:] = np.nan
            part = memory[first : first + x.size].reshape(shape)
            part[:] = x
            got = convtranspose.conv_transpose(part, w, stride, **options)
            # The definition's numbers are whole, so a wrong one is far away.
            np.testing.assert_allclose(np.moveaxis(got, 1, -1), want, rtol=0, atol=0.1)


def test_planes_have_the_same_bits_for_any_thread_count_and_batch_split(path):
    rng = np.random.default_rng(11)
    for shape, kernel, stride, padding in SMALL + LARGE[:1]:
        x = np.ascontiguousarray(np.moveaxis(rng.standard_normal(shape).astype("float32"), -1, 1))
        w = rng.standard_normal(kernel).astype("float32")
        plan = convtranspose.plan(w, stride, padding, data_format="channels_first", algorithm="direct")
        one = plan(x, threads=1)
        for threads in (2, 5):
            assert plan(x, threads=threads).tobytes() == one.tobytes()
        assert np.concatenate([plan(x[:1]), plan(x[1:])]).tobytes() == one.tobytes()


def test_lines_that_no_tap_reaches_hold_the_bias_as_it_is(path):
    bias = np.full(33, -0.0, "float32")
    bias[1::2] = np.arange(16)
    plan = convtranspose.plan(
        np.ones((2, 3, 33, 67), "float32"),
        (5, 1),
        bias=bias,
        data_format="channels_first",
        algorithm="direct",
    )
    got = plan(np.ones((3, 67, 7, 11), "float32"))
    assert got.shape == (3, 33, 35, 13)
    blank = got.reshape(3, 33, 7, 5, 13)[:, :, :, 2:]
    want = np.broadcast_to(bias[:, None, None, None], blank.shape)
    assert blank.tobytes() == want.tobytes()
