"""Groups of few channels side by side in one vector."""

import numpy as np
import pytest

import convtranspose
from convtranspose import reference
from convtranspose.plans import Plan

from .test_methods import guarded

CASES = [
    # input, kernel (*k, c_out / g, c_in), strides, dilation, groups: 8, 4, 2 and 1 channels, both ways
    ((2, 17, 31, 64), (4, 4, 8, 64), 2, 1, 8),
    ((1, 13, 29, 40), (3, 5, 4, 40), 1, 1, 10),
    ((3, 61, 34), (8, 2, 34), 4, 1, 17),
    ((1, 11, 13, 23), (3, 4, 2, 23), 2, 1, 23),
    ((1, 9, 15, 64), (4, 3, 4, 64), 2, 1, 8),  # more source channels than a vector holds of each group
    ((1, 9, 15, 32), (2, 4, 8, 32), 2, 1, 8),
    ((2, 7, 19, 72), (4, 4, 1, 72), 2, 1, 24),
    ((1, 5, 17, 110), (3, 3, 2, 110), 1, 1, 10),  # the last part of eleven channels is not full
    # lanes that stay empty, a last bundle of few groups
    ((1, 9, 23, 45), (4, 4, 5, 45), 2, 1, 9),
    ((2, 8, 9, 33), (3, 3, 3, 33), 2, 1, 11),
    ((1, 6, 17, 42), (3, 3, 6, 42), 3, 1, 7),
    # taps that are apart, taps without a partner, residues without taps, blocks of a long line
    ((1, 17, 19, 32), (3, 3, 4, 32), 1, 2, 8),
    ((1, 9, 21, 32), (2, 5, 4, 32), 2, 3, 8),
    ((1, 7, 11, 32), (2, 2, 4, 32), (3, 5), 1, 8),
    ((1, 3, 4, 5, 32), (3, 2, 4, 4, 32), (1, 3, 2), 1, 8),
    ((1, 3001, 32), (16, 4, 32), 8, 1, 8),
]


def over_cases(test):
    """Every case in both formats and types."""
    test = pytest.mark.parametrize(("shape", "kernel", "stride", "dilation", "groups"), CASES)(test)
    test = pytest.mark.parametrize("layout", ["channels_last", "channels_first"])(test)
    return pytest.mark.parametrize("dtype", ["float32", "float64"])(test)


def paddings(shape):
    """The usual one, and crops that cut and extend."""
    return "same", [(1, -2), (-2, 1), (-1, 0)][: len(shape) - 2]


def holds_groups(path, channels, dtype="float32"):
    """Whether a vector of a path holds several groups, and can permute its lanes."""
    lanes = {"x86_v4": 64, "x86_v3": 32}.get(path, 0) // np.dtype(dtype).itemsize
    return 2 * channels <= lanes


@over_cases
def test_groups_are_the_definition(path, shape, kernel, stride, dilation, groups, layout, dtype):
    rng = np.random.default_rng(3)
    x = rng.integers(-3, 4, shape).astype(dtype)
    w = rng.integers(-3, 4, kernel).astype(dtype)
    b = rng.integers(-3, 4, kernel[-2] * groups).astype(dtype)
    forms = {"dilation_rate": dilation, "groups": groups}
    for padding in paddings(shape):
        y = reference.conv_transpose(x, w, stride, padding, bias=b, **forms).astype(dtype)
        dx = reference.conv(y, w, shape[1:-1], stride, padding, **forms).astype(dtype)
        ours, dy = x, y
        if layout == "channels_first":
            ours, dy, dx = (np.ascontiguousarray(np.moveaxis(a, -1, 1)) for a in (x, y, dx))
        plan = convtranspose.plan(w, stride, padding, bias=b, data_format=layout, **forms)
        adjoint = Plan("adjoint", w, plan.options)
        inputs, outputs = shape[-1] // groups, kernel[-2]
        planes = inputs == 1 or (outputs == 1 and layout == "channels_first")  # which are depthwise
        held = not planes and holds_groups(path, inputs, dtype)
        assert ("group method" in adjoint.explain(dy.shape)) == held
        if layout == "channels_last":
            assert ("group method" in plan.explain(x.shape)) == holds_groups(path, kernel[-2], dtype)
        for threads in (1, 3):
            out, untouched = guarded(dy.shape, dtype)
            plan(ours, out=out, threads=threads)
            np.testing.assert_array_equal(out, dy)
            assert untouched()
            out, untouched = guarded(dx.shape, dtype)
            adjoint(dy, out=out, threads=threads)
            np.testing.assert_array_equal(out, dx)
            assert untouched()


@over_cases
def test_gradients_of_groups_are_the_definition(path, shape, kernel, stride, dilation, groups, layout, dtype):
    rng = np.random.default_rng(4)
    x = rng.integers(-3, 4, shape).astype(dtype)
    if layout == "channels_first":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    w = np.zeros(kernel, dtype)
    options = {"data_format": layout, "dilation_rate": dilation, "groups": groups}
    for padding in paddings(shape):
        y = rng.integers(-3, 4, convtranspose.plan(w, stride, padding, **options).output_shape(x.shape))
        y = y.astype(dtype)
        want = reference.kernel_gradient(x, y, kernel[:-2], stride, padding, **options)
        for threads in (1, 3):
            out, untouched = guarded(kernel, dtype)
            convtranspose.conv_transpose_kernel_gradient(
                x, y, kernel[:-2], stride, padding, out=out, threads=threads, **options
            )
            np.testing.assert_array_equal(out, want.astype(dtype))
            assert untouched()


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("shape", "kernel", "stride", "dilation", "groups"), CASES[:8])
def test_groups_have_the_same_bits_however_they_are_cut(
    path, shape, kernel, stride, dilation, groups, layout
):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((3, *shape[1:])).astype("float32")
    w = rng.standard_normal(kernel).astype("float32")
    if layout == "channels_first":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    options = {"data_format": layout, "dilation_rate": dilation, "groups": groups}
    plan = convtranspose.plan(w, stride, "same", **options)
    adjoint = Plan("adjoint", w, plan.options)
    y = plan(x, threads=1)
    dx = adjoint(y, threads=1)
    for threads in (2, 5):
        assert plan(x, threads=threads).tobytes() == y.tobytes()
        assert adjoint(y, threads=threads).tobytes() == dx.tobytes()
    options |= {"strides": stride, "padding": "same"}
    gradient = convtranspose.conv_transpose_kernel_gradient(x, y, kernel[:-2], threads=1, **options)
    for threads in (2, 5):
        again = convtranspose.conv_transpose_kernel_gradient(x, y, kernel[:-2], threads=threads, **options)
        assert again.tobytes() == gradient.tobytes()
    for n in range(3):
        assert plan(x[n : n + 1]).tobytes() == y[n : n + 1].tobytes()
        assert adjoint(y[n : n + 1]).tobytes() == dx[n : n + 1].tobytes()


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("channels", [(8, 8), (4, 16), (16, 4), (1, 3)])
def test_a_non_finite_input_stays_in_its_group(path, bad, channels):
    """Every lane reads a vector that holds the samples of other groups too."""
    c_in, c_out = channels
    x, w = np.ones((1, 9, 17, 16 * c_in), "float32"), np.ones((4, 3, c_out, 16 * c_in), "float32")
    x[0, 4, 7, 5] = bad
    got = convtranspose.conv_transpose(x, w, 2, "same", groups=16)
    with np.errstate(invalid="ignore"):
        want = reference.conv_transpose(x, w, 2, "same", groups=16).astype("float32")
    np.testing.assert_array_equal(got, want)
    assert 0 < np.sum(~np.isfinite(got)) <= 12 * c_out


def test_the_workspace_of_groups_is_small(path):
    w = np.zeros((4, 4, 8, 256), "float32")
    for layout, shape in (("channels_last", (1, 28, 28, 256)), ("channels_first", (1, 256, 28, 28))):
        plan = convtranspose.plan(w, 2, "same", data_format=layout, groups=32)
        whole = 4 * (np.prod(shape) * 5 + w.size)
        assert 0 < plan.workspace_bytes(shape, threads=2) < whole / 4
