"""The public functions on every path, against the oracle."""

from __future__ import annotations

import threading

import ml_dtypes
import numpy as np
import pytest

import convtranspose
from convtranspose import (
    config,
    conv,
    conv_transpose,
    conv_transpose_kernel_gradient,
    conv_transpose_vjp,
    plan,
    reference,
)
from samples import CALLS, Call, whole

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
TYPES = ["float32", "float64", "float16", BFLOAT16]
EVERY_CALL = pytest.mark.parametrize("call", CALLS, ids=str)
IMAGE = CALLS[7]


def check(call, dtype="float32", **given):
    x, w, b = call.arrays(dtype)
    y = conv_transpose(x, w, **call.options, bias=b, **given)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.astype("float64"), call.outputs())


@EVERY_CALL
def test_forward(path, call):
    check(call)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_types(path, dtype):
    for call in CALLS:
        x, w, b = call.arrays("float64")
        # Sums of up to 8 * 16 * taps * channels: small integers of these types stay exact below 2**8.
        x, w = (np.sign(a) for a in (x, w)) if np.dtype(dtype).itemsize == 2 else (x, w)
        wanted = reference.conv_transpose(x, w, **call.options, bias=b)
        y = conv_transpose(*(a.astype(dtype) for a in (x, w)), **call.options, bias=b.astype(dtype))
        assert y.dtype == dtype
        np.testing.assert_array_equal(y.astype("float64"), wanted.astype(dtype).astype("float64"))


@pytest.mark.parametrize("dtype", ["float16", BFLOAT16], ids=str)
def test_short_types_are_computed_in_float32(path, dtype):
    """Rounded once, at the end: ones add up to 4096, where sums of float16 would stop at 2048."""
    ones = np.ones((1, 1, 4096), dtype)
    assert conv_transpose(ones, np.ones((1, 1, 4096), dtype)).item() == 4096
    taps = np.ones((4096, 1, 1), dtype)
    assert conv_transpose(taps.reshape(1, -1, 1), taps, padding=((4095, 4095),)).item() == 4096
    y = conv_transpose(np.full((1, 1, 1), 3, dtype), np.full((1, 1, 1), 0.1, dtype), bias=np.ones(1, dtype))
    assert y.item() == np.array(3 * float(np.array(0.1, dtype)) + 1, dtype).item()


@EVERY_CALL
def test_adjoint(path, call):
    _, w, _ = call.arrays()
    y = whole(5, call.outputs().shape)
    dx = conv(y, w, **call.options)
    assert dx.dtype == np.float32
    np.testing.assert_array_equal(dx, reference.conv(y, w, call.sizes, **call.options))


@EVERY_CALL
def test_kernel_gradient(path, call):
    x, _, _ = call.arrays()
    y = whole(5, call.outputs().shape)
    dw = conv_transpose_kernel_gradient(x, y, call.kernel, **call.options)
    assert dw.dtype == np.float32
    np.testing.assert_array_equal(dw, reference.kernel_gradient(x, y, call.kernel, **call.options))


# --- memory layouts ---------------------------------------------------------------------------------


def reversed_(a):
    return np.ascontiguousarray(a[tuple([slice(None, None, -1)] * a.ndim)])[
        tuple([slice(None, None, -1)] * a.ndim)
    ]


def strided(a):
    wide = np.full([2 * n + 1 for n in a.shape], np.nan, a.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a):
    raw = np.zeros(a.nbytes + 1, "uint8")
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    assert not view.flags.aligned
    return view


LAYOUTS = {
    "strided": strided,
    "reversed": reversed_,
    "read only": read_only,
    "Fortran": np.asfortranarray,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": unaligned,
    "swapped axes": lambda a: np.ascontiguousarray(a.swapaxes(0, -1)).swapaxes(0, -1),
    "matrix subclass": lambda a: a.view(type("Own", (np.ndarray,), {})),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_memory_layouts(path, layout, dtype):
    change = LAYOUTS[layout]
    for call in (CALLS[5], IMAGE, CALLS[9], CALLS[10], CALLS[15]):
        x, w, b = (np.sign(a) for a in call.arrays(dtype))
        y = whole(5, call.outputs().shape, dtype)
        plain = (
            conv_transpose(x, w, **call.options, bias=b),
            conv(y, w, **call.options),
            conv_transpose_kernel_gradient(x, y, call.kernel, **call.options),
        )
        kept = [a.copy() for a in (x, w, b, y)]
        x, w, b, y = (change(a) for a in (x, w, b, y))
        changed = (
            conv_transpose(x, w, **call.options, bias=b),
            conv(y, w, **call.options),
            conv_transpose_kernel_gradient(x, y, call.kernel, **call.options),
        )
        for one, other in zip(plain, changed, strict=True):
            assert type(other) is np.ndarray
            assert other.dtype == dtype
            np.testing.assert_array_equal(one, other)
        for before, after in zip(kept, (x, w, b, y), strict=True):
            np.testing.assert_array_equal(before, after)  # nothing was written to


def test_broadcast_inputs(path):
    x = np.broadcast_to(np.float32(2), (2, 5, 3, 3))
    w = np.broadcast_to(np.float32([1, 2, 3]), (4, 4, 5, 3))
    for call in (conv_transpose, lambda a, b, **o: conv(np.broadcast_to(a[..., :1], (2, 5, 3, 5)), b, **o)):
        np.testing.assert_array_equal(call(x, w, padding="same"), call(x.copy(), w.copy(), padding="same"))


@pytest.mark.parametrize("layout", ["strided", "reversed", "Fortran", "swapped axes", "unaligned"])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_out(path, layout, dtype):
    for call in (CALLS[5], IMAGE, CALLS[10], CALLS[15]):
        x, w, b = (np.sign(a.astype("float32")).astype(dtype) for a in call.arrays())
        wanted = conv_transpose(x, w, **call.options, bias=b)
        out = LAYOUTS[layout](np.full(wanted.shape, 7, dtype))
        assert conv_transpose(x, w, **call.options, bias=b, out=out) is out
        np.testing.assert_array_equal(out, wanted)
        y = np.sign(wanted.astype("float32")).astype(dtype)
        dx = LAYOUTS[layout](np.full(x.shape, 7, dtype))
        assert conv(y, w, **call.options, out=dx) is dx
        np.testing.assert_array_equal(dx, conv(y, w, **call.options))
        dw = LAYOUTS[layout](np.full(w.shape, 7, dtype))
        assert conv_transpose_kernel_gradient(x, y, call.kernel, **call.options, out=dw) is dw
        np.testing.assert_array_equal(dw, conv_transpose_kernel_gradient(x, y, call.kernel, **call.options))


def test_out_leaves_its_surroundings_alone(path):
    for call in CALLS:
        wanted = call.outputs()
        around = np.full([n + 2 for n in wanted.shape], 99, "float32")
        inside = tuple(slice(1, -1) for _ in wanted.shape)
        check(call, out=around[inside])
        np.testing.assert_array_equal(around[inside], wanted)
        around[inside] = 99
        assert (around == 99).all()


# --- sizes ------------------------------------------------------------------------------------------


@EVERY_CALL
def test_empty_batches(path, call):
    x, w, b = call.arrays()
    y = conv_transpose(x[:0], w, **call.options, bias=b)
    assert y.shape == (0, *call.outputs().shape[1:])
    assert conv(y, w, **call.options).shape == (0, *x.shape[1:])
    dw = conv_transpose_kernel_gradient(x[:0], y, call.kernel, **call.options)
    np.testing.assert_array_equal(dw, np.zeros_like(w))


def test_outputs_of_no_length(path):
    x, w = np.ones((2, 1, 3, 3), "float32"), np.ones((4, 2, 5, 3), "float32")
    y = conv_transpose(x, w, 2, "same", output_padding=0)  # (1 - 1) * 2 + 4 % 2 + 0
    assert y.shape == (2, 0, 4, 5)
    np.testing.assert_array_equal(conv(y, w, 2, "same", 0), np.zeros_like(x))
    assert not conv_transpose_kernel_gradient(x, y, (4, 2), 2, "same", 0).any()


def test_axes_of_size_one(path):
    for rank in (1, 2, 3):
        one = np.ones((1,) * (rank + 2), "float32")
        assert conv_transpose(one * 3, one * 2).ravel().tolist() == [6]
        assert conv_transpose(one * 3, one * 2, 2).sum() == 6
        first = conv_transpose(one * 3, one * 2, data_format="channels_first", bias=[1])
        assert first.ravel().tolist() == [7]


def test_a_kernel_larger_than_the_image(path):
    check(Call((2, 3), (17, 13), {"padding": "same", "strides": 2}))
    check(Call((2, 3), (17, 13), {"padding": ((9, 5), (13, 1))}))


def test_a_crop_that_leaves_only_added_zeros(path):
    x, w = np.ones((1, 2, 1), "float32"), np.ones((3, 1, 1), "float32")
    assert conv_transpose(x, w, padding=((-3, 4),))[0, :, 0].tolist() == [0, 0, 0]
    assert conv_transpose(x, w, padding=((4, -3),), bias=[5])[0, :, 0].tolist() == [5, 5, 5]


def test_zeros_that_a_crop_adds_hold_bias_and_activation(path):
    x, w = np.full((1, 1, 1), -1, "float32"), np.ones((1, 1, 1), "float32")
    assert conv_transpose(x, w, padding=((-1, -1),), bias=[3])[0, :, 0].tolist() == [3, 2, 3]
    y = conv_transpose(x, w, 3, bias=[-0.5], activation=lambda a: a * a)
    assert y[0, :, 0].tolist() == [2.25, 0.25, 0.25]


# --- equalities -------------------------------------------------------------------------------------


def test_groups_are_a_block_diagonal_kernel(path):
    for rank, groups in ((1, 2), (2, 3), (3, 2)):
        ci, co, kernel = 2, 3, (3, 2, 2)[:rank]
        x, w = whole(1, (2, *(3, 2, 5)[:rank], groups * ci)), whole(2, (*kernel, co, groups * ci))
        dense = np.zeros((*kernel, groups * co, groups * ci), "float32")
        for g in range(groups):
            columns = slice(g * ci, (g + 1) * ci)
            dense[..., g * co : (g + 1) * co, columns] = w[..., columns]
        options = {"strides": 2, "padding": "same"}
        y = conv_transpose(x, dense, **options)
        np.testing.assert_array_equal(conv_transpose(x, w, **options, groups=groups), y)
        np.testing.assert_array_equal(conv(y, w, **options, groups=groups), conv(y, dense, **options))


def test_explicit_crops_are_the_words(path):
    x, w, _ = IMAGE.arrays()
    same = conv_transpose(x, w, 2, "same")
    np.testing.assert_array_equal(conv_transpose(x, w, 2, ((1, 1), (1, 1))), same)
    np.testing.assert_array_equal(conv_transpose(x, w, 2)[:, 1:-1, 1:-1], same)
    padded = conv_transpose(x, w, 2, ((-1, -2), (0, 3)))
    full = np.pad(conv_transpose(x, w, 2), ((0, 0), (1, 2), (0, 0), (0, 0)))
    np.testing.assert_array_equal(padded, full[:, :, :-3])


def test_data_formats_are_one_operation(path):
    for call in CALLS:
        if "data_format" not in call.options:
            x, w, b = call.arrays()
            first = np.moveaxis(x, -1, 1)
            y = conv_transpose(first, w, **call.options, bias=b, data_format="channels_first")
            np.testing.assert_array_equal(np.moveaxis(y, 1, -1), call.outputs())


def test_a_dilated_kernel_is_one_with_zeros(path):
    x, w = whole(1, (2, 5, 7, 3)), whole(2, (3, 2, 5, 3))
    spread = np.zeros((5, 4, 5, 3), "float32")
    spread[::2, ::3] = w
    for options in ({}, {"strides": (2, 3), "padding": "same"}):
        y = conv_transpose(x, w, **options, dilation_rate=(2, 3))
        np.testing.assert_array_equal(y, conv_transpose(x, spread, **options))


def test_the_same_bits_for_every_thread_count_and_batch_split(path):
    rng = np.random.default_rng(0)
    for c_in, c_out, strides, layout in ((31, 37, 2, "channels_last"), (5, 3, 1, "channels_first")):
        size = (5, 11, 13, c_in) if layout == "channels_last" else (5, c_in, 11, 13)
        x = rng.standard_normal(size).astype("float32")
        w = rng.standard_normal((4, 4, c_out, c_in)).astype("float32")
        options = {"strides": strides, "padding": "same", "data_format": layout}
        whole_batch = conv_transpose(x, w, **options, threads=1)
        for threads in (2, 5):
            np.testing.assert_array_equal(conv_transpose(x, w, **options, threads=threads), whole_batch)
        parts = [conv_transpose(x[a:b], w, **options) for a, b in ((0, 1), (1, 3), (3, 5))]
        np.testing.assert_array_equal(np.concatenate(parts), whole_batch)
        dx = conv(whole_batch, w, **options, threads=1)
        dw = conv_transpose_kernel_gradient(x, whole_batch, 4, **options, threads=1)
        for other in (2, 5):
            np.testing.assert_array_equal(conv(whole_batch, w, **options, threads=other), dx)
            again = conv_transpose_kernel_gradient(x, whole_batch, 4, **options, threads=other)
            np.testing.assert_array_equal(again, dw)


def test_calls_from_many_threads(path):
    calls = CALLS * 3
    failures = []

    def work(part):
        try:
            for call in calls[part::4]:
                check(call)
        except BaseException as error:  # handed on to the test below
            failures.append(error)

    workers = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []


def test_not_a_number_stays_where_it_is(path):
    x = np.ones((1, 5, 7, 3), "float32")
    x[0, 2, 3, 1] = np.nan
    y = conv_transpose(x, np.ones((2, 2, 5, 3), "float32"), 2)
    touched = np.zeros_like(y, bool)
    touched[0, 4:6, 6:8] = True
    np.testing.assert_array_equal(np.isnan(y), touched)
    x[0, 2, 3, 1] = np.inf
    assert np.isposinf(conv_transpose(x, np.ones((2, 2, 5, 3), "float32"), 2)[touched]).all()


# --- options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "softmax", np.tanh])
def test_activation(path, activation):
    x, w, b = (a / 8 for a in IMAGE.arrays())
    linear = conv_transpose(x, w, 2, "same", bias=b)
    y = conv_transpose(x, w, 2, "same", bias=b, activation=activation)
    function = convtranspose.activations.get(activation) if isinstance(activation, str) else activation
    np.testing.assert_allclose(y, function(linear), rtol=1e-6)  # kernels may fuse it with the last sum


@pytest.mark.parametrize("algorithm", ["direct", "winograd", "auto"])
def test_algorithm(path, algorithm):
    call = Call((13, 11), (4, 4), {"strides": 2, "padding": "same"}, c_in=37, c_out=41)
    x, w, b = call.arrays()
    y = conv_transpose(x, w, **call.options, bias=b, algorithm=algorithm)
    scale = np.abs(call.outputs()).max()
    np.testing.assert_allclose(y, call.outputs(), atol=0 if algorithm == "direct" else 1e-5 * scale)
    dx, want = (
        conv(y, w, **call.options, algorithm=algorithm),
        reference.conv(y, w, call.sizes, **call.options),
    )
    rounding = 1e-6 if algorithm == "direct" else 1e-5
    np.testing.assert_allclose(dx, want, rtol=0, atol=rounding * np.abs(want).max())


def test_direct_adjoints_keep_an_infinity_where_it_belongs(path):
    y, w = np.ones((1, 32, 32, 32), "float32"), np.ones((4, 4, 32, 64), "float32")
    y[0, 9, 9, 0] = np.inf
    dx = conv(y, w, 2, "same", algorithm="direct")
    assert np.isinf(dx).sum() == 2 * 2 * 64
    assert not np.isnan(dx).any()


def test_default_data_format(path):
    x, w = whole(1, (2, 3, 5, 3)), whole(2, (2, 2, 5, 3))
    last = conv_transpose(x, w)
    config.set_image_data_format("channels_first")
    try:
        assert conv_transpose(x, w).shape == (2, 5, 6, 4)
        np.testing.assert_array_equal(conv_transpose(x, w, data_format="channels_last"), last)
    finally:
        config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(conv_transpose(x, w), last)


def test_everything_by_position():
    """The order of the arguments is that of Keras."""
    x, w = whole(1, (2, 3, 5, 3)), whole(2, (3, 3, 5, 3))
    by_name = {"strides": 3, "padding": "same", "output_padding": 2}
    by_name |= {"data_format": "channels_first", "dilation_rate": 2}
    np.testing.assert_array_equal(conv_transpose(x, w, *by_name.values()), conv_transpose(x, w, **by_name))


def test_a_torch_weight_is_the_same_array_transposed():
    """torch keeps ``(c_in, c_out // groups, *k)``."""
    x, w, _ = CALLS[10].arrays()
    torch_weight = np.ascontiguousarray(w.transpose(3, 2, 0, 1))
    y = conv_transpose(x, torch_weight.transpose(2, 3, 1, 0), **CALLS[10].options)
    np.testing.assert_array_equal(y, conv_transpose(x, w, **CALLS[10].options))


# --- derivatives ------------------------------------------------------------------------------------


@EVERY_CALL
def test_vjp_is_the_three_operations(path, call):
    x, w, b = call.arrays()
    y, pullback = conv_transpose_vjp(x, w, **call.options, bias=b)
    np.testing.assert_array_equal(y, call.outputs())
    dy = whole(6, y.shape)
    dx, dw, db = pullback(dy)
    np.testing.assert_array_equal(dx, reference.conv(dy, w, call.sizes, **call.options))
    np.testing.assert_array_equal(dw, reference.kernel_gradient(x, dy, call.kernel, **call.options))
    axis = 1 if call.options.get("data_format") == "channels_first" else -1
    np.testing.assert_array_equal(db, np.moveaxis(dy, axis, 0).reshape(len(b), -1).sum(axis=1))


@EVERY_CALL
def test_vjp_against_finite_differences(path, call):
    """The operation is linear in each argument, so a difference quotient is exact with whole numbers."""
    arrays = call.arrays("float64")
    y, pullback = conv_transpose_vjp(*arrays[:2], **call.options, bias=arrays[2])
    dy = whole(6, y.shape, "float64")
    for n, gradient in enumerate(pullback(dy)):
        for seed in range(3):
            moved = [a.copy() for a in arrays]
            place = np.random.default_rng(seed).integers(moved[n].size)
            moved[n].flat[place] += 1
            after = conv_transpose(*moved[:2], **call.options, bias=moved[2])
            assert ((after - y) * dy).sum() == gradient.flat[place]


def test_vjp_without_bias(path):
    x, w, _ = IMAGE.arrays()
    y, pullback = conv_transpose_vjp(x, w, **IMAGE.options)
    gradients = pullback(np.ones_like(y))
    assert gradients.bias is None
    assert gradients._fields == ("inputs", "kernel", "bias")


def test_pullback_keeps_short_types(path):
    x, w, b = (np.sign(a).astype("float16") for a in IMAGE.arrays())
    y, pullback = conv_transpose_vjp(x, w, **IMAGE.options, bias=b)
    assert {g.dtype for g in pullback(y)} == {np.dtype("float16")}


def test_second_derivatives_need_nothing_more(path):
    """The gradient to the inputs, seen as a function of the kernel, has the kernel gradient as its own."""
    x, w, _ = IMAGE.arrays()
    dy, ddx = whole(6, IMAGE.outputs().shape), whole(7, x.shape)
    through_kernel = conv_transpose_kernel_gradient(ddx, dy, IMAGE.kernel, **IMAGE.options)
    assert (conv(dy, w, **IMAGE.options) * ddx).sum() == (w * through_kernel).sum()


def test_plan_is_the_same_operation(path):
    for call in CALLS:
        x, w, b = call.arrays()
        np.testing.assert_array_equal(plan(w, **call.options, bias=b)(x), call.outputs())
