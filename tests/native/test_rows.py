"""The row method: adjoints, whose phases are planes of their own, and rows that are written in place."""

import numpy as np
import pytest

import convtranspose
from convtranspose import reference
from convtranspose.plans import Plan

from .test_methods import check_on_threads

CASES = [
    # inputs (n, c_in, *sizes), kernel (*k, c_out / g, c_in), strides, dilation, padding, groups
    ((2, 37, 61), (8, 2, 37), 4, 1, "same", 1),
    ((3, 19, 29), (5, 3, 19), 1, 3, "valid", 1),
    ((1, 40, 67), (7, 1, 40), 3, 2, ((-3, 2),), 1),
    ((2, 33, 31), (9, 2, 33), 8, 1, ((1, -2),), 1),
    ((1, 17, 53), (3, 2, 17), 5, 1, "valid", 1),  # phases that no tap reads
    ((1, 17, 3), (3, 2, 17), 70, 3, "same", 1),
    ((2, 35, 13, 37), (4, 4, 3, 35), 2, 1, "same", 1),
    ((2, 64, 7, 5), (4, 3, 2, 64), 2, 1, "valid", 1),  # lines too short for vectors of their own
    ((1, 19, 11, 29), (5, 3, 2, 19), (3, 5), 1, ((-1, 2), (1, -3)), 1),
    ((1, 19, 17, 41), (3, 4, 2, 19), (2, 4), (2, 6), "valid", 1),  # dilations that divide strides, and not
    ((2, 21, 7, 23), (2, 5, 4, 21), (4, 3), (3, 2), ((-2, 1), (2, -1)), 1),
    ((1, 140, 19, 16), (3, 3, 1, 140), 1, 1, "same", 1),
    ((2, 38, 9, 31), (3, 3, 2, 38), (1, 2), 1, "same", 2),
    ((1, 20, 5, 7, 29), (3, 2, 4, 2, 20), (2, 1, 3), (1, 2, 1), "same", 1),
    ((2, 18, 3, 5, 6), (4, 4, 4, 1, 18), 2, 1, ((1, -1), (-2, 1), (0, -3)), 1),
]


def adjoint(w, strides, padding, **options):
    plan = convtranspose.plan(w, strides, padding, data_format="channels_first", **options)
    return plan, Plan("adjoint", w, plan.options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "kernel", "strides", "dilation", "padding", "groups"), CASES)
def test_adjoints_of_few_outputs_are_exact(path, shape, kernel, strides, dilation, padding, groups, dtype):
    rng = np.random.default_rng(3)
    w = rng.integers(-3, 4, kernel).astype(dtype)
    options = {"dilation_rate": dilation, "groups": groups}
    forward, plan = adjoint(w, strides, padding, **options)
    y = rng.integers(-3, 4, forward.output_shape(shape)).astype(dtype)
    y[0, 0, ..., 0] = np.inf  # must not spread beyond its taps
    y[-1, -1, ..., -1] = -np.inf
    options |= {"strides": strides, "padding": padding, "data_format": "channels_first"}
    with np.errstate(invalid="ignore"):
        want = reference.conv(y, w, shape[2:], **options).astype(dtype)
    assert "row method" in plan.explain(y.shape) or (groups > 1 and "group method" in plan.explain(y.shape))
    check_on_threads(plan, y, want)
    # Other orders of the axes in memory.
    for order in ((0, *range(2, y.ndim), 1), tuple(reversed(range(y.ndim)))):
        other = np.ascontiguousarray(y.transpose(order)).transpose(np.argsort(order))
        np.testing.assert_array_equal(plan(other), want)
        out = np.empty_like(other, shape=want.shape, order="F")
        np.testing.assert_array_equal(plan(other, out=out), want)


@pytest.mark.parametrize(
    ("shape", "kernel", "strides"),
    [
        ((5, 40, 4001), (8, 2, 40), 4),
        ((5, 67, 37, 31), (4, 4, 3, 67), 2),
        ((3, 130, 71, 64), (3, 3, 2, 130), 1),
        ((17, 40, 7, 5), (4, 4, 1, 40), 2),
        ((3, 35, 13, 17, 29), (4, 4, 4, 1, 35), 2),
    ],
)
def test_adjoints_have_the_same_bits_for_any_threads_and_batch(path, shape, kernel, strides):
    rng = np.random.default_rng(4)
    w = rng.standard_normal(kernel).astype("float32")
    forward, plan = adjoint(w, strides, "same")
    y = rng.standard_normal(forward.output_shape(shape)).astype("float32")
    assert "row method" in plan.explain(y.shape)
    one = plan(y, threads=1)
    np.testing.assert_allclose(
        one,
        reference.conv(y, w, shape[2:], strides, "same", data_format="channels_first"),
        rtol=0,
        atol=1e-5 * np.abs(one).max(),
    )
    for threads in (2, 3, 7):
        assert plan(y, threads=threads).tobytes() == one.tobytes()
    assert np.concatenate([plan(y[:1]), plan(y[1:], threads=2)]).tobytes() == one.tobytes()
    whole = 4 * (y.size + one.size + w.size)
    assert 0 < plan.workspace_bytes(y.shape, threads=1) < max(whole / 4, 1 << 20)


def test_large_adjoints_go_around_the_caches(path):
    """Aligned results of megabytes, lines of whole vectors."""
    rng = np.random.default_rng(5)
    w = rng.integers(-3, 4, (2, 4, 2, 128)).astype("float32")
    forward, plan = adjoint(w, 2, "same")
    y = rng.integers(-3, 4, forward.output_shape((1, 128, 96, 128))).astype("float32")
    assert "row method" in plan.explain(y.shape)
    want = reference.conv(y, w, (96, 128), 2, "same", data_format="channels_first")
    out = plan(y)
    assert out.nbytes > 2**22
    assert out.ctypes.data % 64 == 0
    np.testing.assert_array_equal(out, want)
    elsewhere = np.empty(out.size + 1, "float32")[1:].reshape(out.shape)
    np.testing.assert_array_equal(plan(y, out=elsewhere, threads=2), want)


def test_sums_of_many_terms_keep_the_channel_method(path):
    for kernel, strides in (((4, 4, 7, 64), 2), ((2, 2, 9, 64), 2), ((64, 3, 64), 32)):
        forward, plan = adjoint(np.ones(kernel, "float32"), strides, "same")
        shape = forward.output_shape((1, 64, *(9,) * (len(kernel) - 2)))
        assert "channel method" in plan.explain(shape)


@pytest.mark.parametrize("padding", ["valid", "same", ((1, -2), (-3, 2))])
@pytest.mark.parametrize("width", [3, 16, 37, 150])
@pytest.mark.parametrize("size", [1, 4])
def test_results_of_unit_stride_are_written_in_place(path, size, width, padding):
    """Tails of lines and lines that are too short, between crops and added zeros."""
    rng = np.random.default_rng(6)
    x = rng.integers(-3, 4, (2, 5, 13, width)).astype("float32")
    w = rng.integers(-3, 4, (min(size, 3), size, 3, 5)).astype("float32")
    b = rng.integers(-3, 4, 3).astype("float32")
    plan = convtranspose.plan(w, 1, padding, bias=b, data_format="channels_first")
    assert "row method" in plan.explain(x.shape)
    want = reference.conv_transpose(x, w, 1, padding, data_format="channels_first") + b.reshape(-1, 1, 1)
    check_on_threads(plan, x, want.astype("float32"))


@pytest.mark.parametrize("padding", ["valid", "same", "wide", "odd"])
@pytest.mark.parametrize(
    ("kernel", "strides", "sizes"),
    [
        ((2,), 2, (300,)),
        ((2,), 2, (1300,)),  # several panels of a line
        ((4,), 2, (63,)),
        ((2, 2), 2, (13, 150)),
        ((2, 2), 2, (5, 1300)),
        ((4, 4), 2, (9, 64)),
        ((3, 2), (1, 2), (11, 48)),
        ((2, 2, 2), 2, (3, 5, 48)),
        ((4, 1, 4), (2, 1, 2), (3, 4, 31)),
    ],
)
def test_phases_that_share_their_samples_are_joined_in_place(path, kernel, strides, sizes, padding):
    """Lines of two phases, cut anywhere, of planes that crops leave out and of an odd number of channels."""
    rng = np.random.default_rng(len(sizes))
    rank = len(sizes)
    padding = {"wide": ((-3, -2),) * rank, "odd": ((1, 2),) * rank}.get(padding, padding)
    options = {"strides": strides, "padding": padding, "data_format": "channels_first"}
    for inputs, outputs, dtype in ((6, 5, "float32"), (3, 3, "float64")):
        x = rng.integers(-3, 4, (2, inputs, *sizes)).astype(dtype)
        w = rng.integers(-3, 4, (*kernel, outputs, inputs)).astype(dtype)
        b = rng.integers(-3, 4, outputs).astype(dtype)
        plan = convtranspose.plan(w, bias=b, algorithm="direct", **options)
        # Where vectors of doubles are short, they may be full of phases.
        assert dtype == "float64" or "row method" in plan.explain(x.shape)
        want = reference.conv_transpose(x, w, **options) + b.reshape(-1, *[1] * rank)
        check_on_threads(plan, x, want.astype(dtype))


@pytest.mark.parametrize(
    ("kernel", "strides", "groups"),
    [
        ((2, 2), 2, 1),
        ((2, 2), 2, 3),
        ((4, 4), 2, 1),
        ((1, 2), (3, 2), 1),
        ((2, 4), 2, 3),
    ],  # also lines that no tap reaches
)
def test_joined_lines_are_the_same_bits_however_they_are_cut(path, kernel, strides, groups):
    rng = np.random.default_rng(groups)
    x = rng.normal(size=(3, 6 * groups, 24, 80)).astype("float32")
    w = rng.normal(size=(*kernel, 9, 6 * groups)).astype("float32")
    b = rng.normal(size=9 * groups).astype("float32")
    options = {"strides": strides, "data_format": "channels_first", "groups": groups}
    plan = convtranspose.plan(w, bias=b, algorithm="direct", **options)
    assert "row method" in plan.explain(x.shape)
    got = plan(x, threads=1)
    want = reference.conv_transpose(x, w, **options) + b.reshape(-1, 1, 1)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)
    for threads in (2, 5):
        np.testing.assert_array_equal(plan(x, threads=threads), got)
    for n in range(3):
        np.testing.assert_array_equal(plan(x[n : n + 1]), got[n : n + 1])
    # Where neighbours along w are none in memory, lines wait in the buffer.
    out = np.empty(got.shape, "float32", order="F")
    np.testing.assert_array_equal(plan(x, out=out), got)
    np.testing.assert_array_equal(plan(np.asfortranarray(x)), got)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize(
    ("kernel", "sizes", "groups"), [((2,), (96,), 1), ((3, 2), (5, 48), 2), ((2, 2, 2), (3, 2, 32), 1)]
)
def test_one_tap_per_phase_is_the_same_bits_along_rows_and_channels(path, kernel, sizes, groups, dtype):
    """Which of the methods runs depends on the width alone, so a part of a line may take the other one."""
    rng = np.random.default_rng(sizes[-1])
    x = rng.normal(size=(2, 100 * groups, *sizes)).astype(dtype)
    w = rng.normal(size=(*kernel, 33, 100 * groups)).astype(dtype)
    b = rng.normal(size=33 * groups).astype("float64" if dtype == "float64" else "float32")
    options = {"strides": kernel, "data_format": "channels_first", "groups": groups, "bias": b}
    plan = convtranspose.plan(w, algorithm="direct", **options)
    wide, narrow = plan.explain(x.shape), plan.explain((*x.shape[:-1], 7))
    assert "channel method" in narrow
    assert ("row method" in wide) == ("x86_v4" in wide)
    whole = plan(x, threads=1)
    for cut in (7, 16, sizes[-1] - 9):
        parts = [plan(np.ascontiguousarray(part)) for part in np.split(x, [cut], axis=-1)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=-1), whole)
    for threads in (2, 5):
        np.testing.assert_array_equal(plan(x, threads=threads), whole)
        once = convtranspose.conv_transpose(x, w, algorithm="direct", threads=threads, **options)
        np.testing.assert_array_equal(once, whole)
    scattered = np.empty(whole.shape, dtype, order="F")  # no rows of neighbours
    np.testing.assert_array_equal(plan(x, out=scattered), whole)
    want = reference.conv_transpose(x, w, kernel, data_format="channels_first", groups=groups)
    want = want + b.reshape(-1, *[1] * len(sizes))
    np.testing.assert_allclose(whole, want, rtol=1e-2 if dtype == "float16" else 1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [125, 128])
def test_large_joined_lines_are_those_of_any_place(path, width, dtype):
    """Results of several caches, whose channels fill no line of them; and depth, for the next plane."""
    rng = np.random.default_rng(9)
    x = rng.integers(-3, 4, (1, 9, 3, 64, width)).astype(dtype)
    w = rng.integers(-3, 4, (1, 2, 2, 67, 9)).astype(dtype)
    options = {"strides": (1, 2, 2), "data_format": "channels_first"}
    plan = convtranspose.plan(w, **options)
    assert "row method" in plan.explain(x.shape)
    out = plan(x)
    assert out.nbytes > 2**24
    want = reference.conv_transpose(x, w, **options)
    np.testing.assert_array_equal(out, want)
    elsewhere = np.empty(out.size + 1, dtype)[1:].reshape(out.shape)
    np.testing.assert_array_equal(plan(x, out=elsewhere, threads=2), want)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("shift", [0, 1, 7])
def test_lines_go_around_the_caches_wherever_they_begin(path, stride, shift):
    """Vectors that go around the caches begin at any phase; what lies before and behind stays as it was."""
    rng = np.random.default_rng(11)
    size, images = 3001, 150 // stride + 1
    x, w = rng.integers(-3, 4, (1, size, 1)), rng.integers(-3, 4, (2 * stride + 1, 3, 1))
    want = np.moveaxis(reference.conv_transpose(x, w, stride, "same"), -1, 1).astype("float32")
    plan = convtranspose.plan(w.astype("float32"), stride, "same", data_format="channels_first")
    assert "row method" in plan.explain((images, 1, size))
    memory = np.full(shift + images * want.size + 64, np.nan, "float32")  # several times the second cache
    out = memory[shift : shift + images * want.size].reshape(images, *want.shape[1:])
    plan(np.repeat(np.moveaxis(x, -1, 1), images, 0).astype("float32"), out=out, threads=2)
    assert np.array_equal(out, np.broadcast_to(want, out.shape))
    assert np.isnan(memory[:shift]).all()
    assert np.isnan(memory[shift + out.size :]).all()
