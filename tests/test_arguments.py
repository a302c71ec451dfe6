"""Every check of an argument, with the words of its message."""

from __future__ import annotations

import re

import ml_dtypes
import numpy as np
import pytest

from convtranspose import arguments as args
from convtranspose import conv, conv_transpose, conv_transpose_kernel_gradient, conv_transpose_vjp, plan
from convtranspose.arguments import MAX_ELEMENTS

X = np.ones((1, 5, 3), "float32")  # (n, w, c_in)
W = np.ones((4, 2, 3), "float32")  # (kw, c_out, c_in)
Y = (1, 8, 2)
NAN = float("nan")


def words(text):
    return re.escape(text)


# --- numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["strides", "dilation_rate", "output_padding"])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "but 2.0 is a float"),
        (NAN, "but nan is a float"),
        (float("inf"), "but inf is a float"),
        ((2.0,), "but 2.0 is a float"),
        (np.float32(2), "is a float32"),
        (np.array([1.0]), "is a float64"),
        (True, "not a bool"),
        ((np.True_,), "not a bool"),
        ({2}, "but {2} is a set"),
        ((None,), "but None is a NoneType"),
        ((1j,), "but 1j is a complex"),
    ],
)
def test_sizes_that_are_no_integers(name, value, text):
    with pytest.raises(TypeError, match=f"{name} must be an int or a tuple of ints.*{words(text)}"):
        conv_transpose(X, W, **{"strides": 3, name: value})


@pytest.mark.parametrize("value", ["2", b"2", np.ones((1, 1), int)])
def test_sizes_that_are_no_sequences_of_integers(value):
    with pytest.raises(TypeError, match=r"strides must be an int or a tuple of ints\. Got strides="):
        conv_transpose(X, W, value)


@pytest.mark.parametrize("value", [2, np.int64(2), (2,), [2], np.array([2]), np.array(2), range(2, 3)])
def test_sizes_may_be_any_integers(value):
    assert args.integers(value, 1, "strides", minimum=1) == (2,)
    assert conv_transpose(X, W, value).shape == (1, 12, 2)


@pytest.mark.parametrize("value", [(), (1, 2), (1, 2, 3)])
def test_sizes_of_another_count(value):
    text = f"strides must be one int or 1 of them, one per spatial axis, but it has {len(value)}. Got "
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, value)


@pytest.mark.parametrize("name", ["strides", "dilation_rate"])
@pytest.mark.parametrize(("value", "found"), [(0, 0), (-2, -2), ((-1,), -1)])
def test_sizes_below_one(name, value, found):
    text = f"{name} must be at least 1 on every axis, but on axis 0 it is {found}. Got {name}={value!r}."
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, **{name: value})


@pytest.mark.parametrize("name", ["strides", "dilation_rate"])
@pytest.mark.parametrize("value", [2**31, 2**63, 10**30])
def test_sizes_that_are_too_large(name, value):
    text = f"{name} must be below 2**31 on every axis, but on axis 0 it is {value}."
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, **{name: value})


def test_numbers_are_told_apart_that_a_cache_would_take_for_equal():
    assert conv_transpose(X, W, (1,)).shape == Y
    for other in ((1.0,), (True,)):
        with pytest.raises(TypeError, match="strides must be an int or a tuple of ints"):
            conv_transpose(X, W, other)


@pytest.mark.parametrize("strides", [(1, 2), (2, 3)])
def test_output_padding_must_be_below_the_stride(strides):
    text = (
        f"output_padding must be smaller than the stride on every axis, but on axis 0 it is {strides[0]} "
        f"with stride {strides[0]}. Got output_padding={strides[0]}, strides={strides}. To add more at the "
        f"end, crop by a negative number: padding=((lo, -{strides[0]}), ...)."
    )
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X[None], W[None], strides, output_padding=strides[0])


def test_output_padding_must_not_be_negative():
    text = "output_padding must be at least 0 on every axis, but on axis 0 it is -1. Got output_padding=-1."
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, output_padding=-1)


def test_the_way_out_of_a_large_output_padding_works():
    assert conv_transpose(X, W, 2, padding=((0, -5),)).shape == (1, 4 * 2 + 4 + 5, 2)


# --- words and crops --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["full", "causal", "", None, 1, (1, 0), ((1, 0, 1),), ((1, 0), (1, 0)), ("ab",), [1], np.ones(2, int)],
)
def test_padding_of_another_kind(value):
    text = "padding must be 'valid', 'same' or 1 crops ((lo, hi), ...), one per spatial axis. Got padding="
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, padding=value)


@pytest.mark.parametrize("value", [((1.0, 0),), ((0, NAN),), ((True, 0),), (("1", 0),), np.ones((1, 2))])
def test_crops_must_be_integers(value):
    with pytest.raises(TypeError, match=r"padding must be a word or crops that are ints, .*Got padding="):
        conv_transpose(X, W, padding=value)


@pytest.mark.parametrize("value", [((1, 2),), [[1, 2]], [(np.int8(1), 2)], np.array([[1, 2]])])
def test_crops_in_any_spelling(value):
    assert conv_transpose(X, W, padding=value).shape == (1, 5, 2)


def test_words_in_any_case():
    assert conv_transpose(X, W, 2, padding="Same", data_format="CHANNELS_last").shape == (1, 10, 2)


@pytest.mark.parametrize("value", [((2**46, 0),), ((0, -(2**50)),)])
def test_crops_that_are_too_large(value):
    with pytest.raises(ValueError, match=words(f"padding must be below 2**46 on every axis. Got {value!r}.")):
        conv_transpose(X, W, padding=value)


def test_crops_must_leave_something_to_stand_on():
    text = (
        "padding must not crop more than the full output, but on axis 0 it crops 5 + 4 of 8 samples. "
        "Got padding=((5, 4),), inputs of shape (1, 5, 3)."
    )
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, padding=((5, 4),))
    assert conv_transpose(X, W, padding=((5, 3),)).shape == (1, 0, 2)


@pytest.mark.parametrize("value", ["NHWC", "", 1, b"channels_last", ("channels_last",)])
def test_data_format(value):
    text = f"data_format must be 'channels_last' or 'channels_first'. Got {value!r}."
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, data_format=value)


@pytest.mark.parametrize("value", ["fast", None, 1])
def test_algorithm(value):
    with pytest.raises(ValueError, match="algorithm must be 'auto', 'direct' or 'winograd'"):
        plan(W, algorithm=value)


# --- arrays -----------------------------------------------------------------------------------------

ACCEPTED = "float32, float64, float16 or ml_dtypes.bfloat16"


@pytest.mark.parametrize(
    "dtype", ["int32", "uint8", "bool", "complex64", "longdouble", "object", "M8[s]", "S1", "f4,f4"]
)
def test_types_that_are_not_computed(dtype):
    dtype = np.dtype(dtype)
    text = f"inputs must be {ACCEPTED}, but it is {dtype}. Convert it: inputs.astype('float32')."
    with pytest.raises(TypeError, match=words(text)):
        conv_transpose(np.zeros(X.shape, dtype), W)
    with pytest.raises(TypeError, match=words(text.replace("inputs", "kernel"))):
        conv_transpose(X, np.zeros(W.shape, dtype))


def test_small_floats_that_are_not_computed():
    with pytest.raises(TypeError, match=r"inputs must be float32.*but it is float8_e4m3fn"):
        conv_transpose(X.astype(ml_dtypes.float8_e4m3fn), W)


@pytest.mark.parametrize(
    ("value", "kind"), [(None, "NoneType"), ("abc", "str"), ({}, "dict"), (object(), "object")]
)
def test_what_is_no_array(value, kind):
    for call in (lambda: conv_transpose(value, W), lambda: conv(value, W), lambda: plan(W)(value)):
        with pytest.raises(TypeError, match=words(f"inputs must be an array of {ACCEPTED}. Got {kind}.")):
            call()


def test_lists_of_numbers_are_float32():
    y = conv_transpose([[[1, 2.5, 3]]], [[[2, 2, 2]]])
    assert (y.dtype, y.item()) == (np.float32, 13.0)
    with pytest.raises(TypeError, match=r"inputs must be float32.*but it is complex128"):
        conv_transpose([[[1j, 2, 3]]], [[[2, 2, 2]]])
    with pytest.raises(ValueError, match=r"inputs must be a regular array of numbers: .*inhomogeneous"):
        conv_transpose([[1, 2], [3]], W)


def test_other_objects_that_offer_an_array():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return X

    np.testing.assert_array_equal(conv_transpose(Tensor(), W), conv_transpose(X, W))


def test_inputs_and_kernel_of_one_type():
    text = (
        "inputs and kernel must have the same type, but inputs is float64 and kernel is float32. "
        "Convert one: inputs.astype('float32')."
    )
    for call in (conv_transpose, conv, lambda x, w: plan(w)(x)):
        with pytest.raises(TypeError, match=words(text)):
            call(X.astype("float64"), W)


def test_inputs_and_outputs_of_one_type():
    text = (
        "inputs and outputs must have the same type, but inputs is float32 and outputs is float64. "
        "Convert one: inputs.astype('float64')."
    )
    with pytest.raises(TypeError, match=words(text)):
        conv_transpose_kernel_gradient(X, np.ones(Y), 4)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1,) * 6])
def test_rank_of_the_kernel(shape):
    text = (
        f"kernel must have 3, 4 or 5 axes, (*kernel_size, c_out // groups, c_in), for 1, 2 or 3 spatial "
        f"axes, but it has {len(shape)}. Got kernel of shape {shape}."
    )
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, np.ones(shape, "float32"))


@pytest.mark.parametrize(
    ("layout", "axes"), [("channels_last", "(n, h, w, c)"), ("channels_first", "(n, c, h, w)")]
)
def test_rank_of_the_inputs(layout, axes):
    text = (
        f"inputs must have 4 axes {axes} for a kernel of 4 axes, but it has 3. Got inputs of shape "
        f"(1, 5, 3), kernel (kh, kw, c_out // groups, c_in) = (1, 4, 2, 3)."
    )
    for call in (conv_transpose, conv):
        with pytest.raises(ValueError, match=words(text)):
            call(X, W[None], data_format=layout)


def test_channels_of_the_inputs():
    text = (
        "kernel expects 3 input channels, but inputs has 5. Got inputs (n, c, w) = (1, 5, 3) with "
        "data_format='channels_first', kernel (kw, c_out // groups, c_in) = (4, 2, 3), groups=1."
    )
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, data_format="channels_first")


def test_channels_of_the_adjoint():
    text = (
        "kernel expects 6 output channels, but inputs has 3. Got inputs (n, w, c) = (1, 5, 3) with "
        "data_format='channels_last', kernel (kw, c_out // groups, c_in) = (4, 2, 3), groups=3."
    )
    with pytest.raises(ValueError, match=words(text)):
        conv(X, W, groups=3)


@pytest.mark.parametrize(("shape", "axis"), [((1, 0, 4, 3), 0), ((1, 4, 0, 3), 1)])
def test_empty_spatial_axes(shape, axis):
    text = (
        f"inputs must have at least one sample on every spatial axis, but on axis {axis} it has 0. "
        f"Got inputs of shape {shape}."
    )
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(np.ones(shape, "float32"), W[None])


@pytest.mark.parametrize(("shape", "axis"), [((0, 3, 2, 3), 0), ((3, 0, 2, 3), 1)])
def test_kernel_without_taps(shape, axis):
    text = (
        f"kernel must have at least one tap on every axis, but on axis {axis} it has 0. "
        f"Got kernel of shape {shape}."
    )
    with pytest.raises(ValueError, match=words(text)):
        plan(np.ones(shape, "float32"))


@pytest.mark.parametrize("shape", [(4, 0, 3), (4, 2, 0)])
def test_kernel_without_channels(shape):
    text = (
        f"kernel must have at least one channel on both sides. "
        f"Got kernel (kw, c_out // groups, c_in) = {shape}."
    )
    with pytest.raises(ValueError, match=words(text)):
        plan(np.ones(shape, "float32"))


def test_dilated_kernel_that_is_too_long():
    text = (
        "the dilated kernel must be shorter than 2**46, but on axis 0 40000 taps with dilation 2147483647 "
        "reach beyond it."
    )
    with pytest.raises(ValueError, match=words(text)):
        plan(np.ones((40000, 1, 1), "float32"), dilation_rate=2**31 - 1)


@pytest.mark.parametrize("groups", [0, -1, 2, 4])
def test_groups_must_divide_the_channels(groups):
    text = (
        f"groups must divide the input channels, but 3 channels do not split into {groups} groups. "
        f"Got kernel (kw, c_out // groups, c_in) = (4, 2, 3)."
    )
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, groups=groups)


@pytest.mark.parametrize("groups", [1.0, True, None, "1", (1,)])
def test_groups_must_be_a_number(groups):
    for call in (
        lambda: conv_transpose(X, W, groups=groups),
        lambda: conv_transpose_kernel_gradient(X, np.ones(Y, "float32"), 4, groups=groups),
    ):
        with pytest.raises(TypeError, match=r"groups must be an int, .*Got groups="):
            call()


# --- sizes of the result ----------------------------------------------------------------------------


def test_more_elements_than_any_machine_holds():
    text = (
        "the output would have 70368744177680 elements, more than the limit of 2**46. Its shape would be "
        "(1, 35184372088840, 2). Work on pieces of it."
    )
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, padding=((0, -(2**45)),))


def test_sizes_far_beyond_64_bits_are_refused():
    large = np.broadcast_to(np.float32(1), (2**40, 2**20, 1, 1, 1))
    with pytest.raises(ValueError, match=r"more than the limit of 2\*\*46"):
        conv_transpose(large, np.ones((1, 1, 1, 1, 1), "float32"), 2**30)


def test_more_bytes_than_this_machine_holds():
    size = (1, 2**36 + 8, 2)
    text = f"the output of shape {size} and type float32 needs 512.0 GiB, more than this machine gives."
    with pytest.raises(MemoryError, match=words(text)):
        conv_transpose(X, W, padding=((0, -(2**36)),))


def test_memory_is_asked_for_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(args, "machine_memory", lambda: 2**30)
    with pytest.raises(MemoryError, match=r"needs 2\.0 GiB, more than this machine gives\. Work on pieces"):
        args.output_array(None, (2, 2**28), np.dtype("float32"), ())
    assert args.output_array(None, (2, 2**7), np.dtype("float32"), ()).shape == (2, 2**7)


def test_memory_of_this_machine():
    assert 2**26 < args.machine_memory() <= 2**62


def test_an_empty_batch_of_large_outputs_is_nothing():
    with pytest.raises(ValueError, match=r"more than the limit of 2\*\*46"):
        conv_transpose(X[:0], W, padding=((0, -(2**45)),))


@pytest.mark.parametrize(
    ("length", "nearest"), [(0, "6"), (1, "6"), (7, "6 or 9"), (8, "6 or 9"), (10, "9 or 12")]
)
def test_adjoint_of_a_length_that_no_input_gives(length, nearest):
    text = (
        f"inputs must have a length that conv_transpose gives, 6 + a multiple of the stride 3, but on axis 0 "
        f"it has {length}. Nearest legal: {nearest}. Got inputs of shape (1, {length}, 2), strides=(3,), "
        f"padding=((0, -2),)."
    )
    with pytest.raises(ValueError, match=words(text)):
        conv(np.ones((1, length, 2), "float32"), W, 3, padding=((0, -2),))


# --- the kernel gradient and the pullback -----------------------------------------------------------


def test_kernel_gradient_of_shapes_that_do_not_belong_together():
    text = (
        "outputs must have the shape (1, 8, 2) that conv_transpose gives for inputs of shape (1, 5, 3), but "
        "it has (1, 9, 2). Got kernel_size=(4,), strides=(1,), padding='valid'."
    )
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose_kernel_gradient(X, np.ones((1, 9, 2), "float32"), 4)


@pytest.mark.parametrize("shapes", [((5, 3), (8, 2)), ((1, 5, 3), (8, 2)), ((1,) * 6, (1,) * 6)])
def test_kernel_gradient_of_other_ranks(shapes):
    text = (
        f"inputs and outputs must both have 3, 4 or 5 axes. Got inputs of shape {shapes[0]}, "
        f"outputs of shape {shapes[1]}."
    )
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose_kernel_gradient(*(np.ones(s, "float32") for s in shapes), 4)


def test_kernel_gradient_of_channels_that_do_not_split():
    text = (
        "groups must divide the output channels, but 2 channels do not split into 3 groups. "
        "Got outputs of shape (1, 8, 2)."
    )
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose_kernel_gradient(X, np.ones(Y, "float32"), 4, groups=3)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (4.0, TypeError, "kernel_size must be an int or a tuple of ints, but 4.0 is a float"),
        (NAN, TypeError, "kernel_size must be an int or a tuple of ints, but nan is a float"),
        ("4", TypeError, "kernel_size must be an int or a tuple of ints. Got kernel_size='4'"),
        (0, ValueError, "kernel_size must be at least 1 on every axis, but on axis 0 it is 0"),
        ((4, 4), ValueError, "kernel_size must be one int or 1 of them, one per spatial axis, but it has 2"),
        (2**46, ValueError, "kernel_size must be below 2**46 on every axis"),
    ],
)
def test_kernel_size(value, error, text):
    with pytest.raises(error, match=words(text)):
        conv_transpose_kernel_gradient(X, np.ones(Y, "float32"), value)


def test_gradient_of_the_pullback():
    _, pullback = conv_transpose_vjp(X, W)
    with pytest.raises(
        ValueError, match=words("gradient must have the shape (1, 8, 2) of the outputs. Got (8, 2).")
    ):
        pullback(np.ones((8, 2), "float32"))
    text = (
        "gradient and outputs must have the same type, but gradient is float64 and outputs is float32. "
        "Convert one: gradient.astype('float32')."
    )
    with pytest.raises(TypeError, match=words(text)):
        pullback(np.ones(Y))


# --- bias, out, threads -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3,), (1, 2)])
def test_bias(shape):
    text = f"bias must have the shape (2,), one number per output channel. Got {shape}."
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, bias=np.ones(shape, "float32"))


def test_type_of_bias():
    with pytest.raises(TypeError, match=r"bias must be float32.*but it is int64"):
        conv_transpose(X, W, bias=np.ones(2, "int64"))
    np.testing.assert_array_equal(
        conv_transpose(X, W, bias=[1, 2]), conv_transpose(X, W) + np.float32([1, 2])
    )


@pytest.mark.parametrize(
    ("out", "got"),
    [
        (np.zeros((1, 7, 2), "float32"), "float32 array of shape (1, 7, 2)"),
        (np.zeros(Y), "float64 array of shape (1, 8, 2)"),
        (np.zeros(Y, ">f4"), ">f4 array of shape (1, 8, 2)"),
        ([0.0], "list"),
    ],
)
def test_out_of_another_kind(out, got):
    text = f"out must be a float32 array of shape (1, 8, 2). Got {got}."
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, out=out)


def test_out_that_is_read_only():
    out = np.zeros(Y, "float32")
    out.flags.writeable = False
    with pytest.raises(ValueError, match=r"out must be writeable, but it is read-only\."):
        conv_transpose(X, W, out=out)


@pytest.mark.parametrize("strides", [(0, 0, 0), (0, 8, 0), (64, 4, 4), (64, -4, 4), (64, 6, 4), (64, 8, 3)])
def test_out_that_overlaps_itself(strides):
    memory = np.zeros(64, "float32")
    out = np.lib.stride_tricks.as_strided(memory[20:], Y, strides)
    text = "out must not overlap with itself: some of its elements share memory. Got out of shape (1, 8, 2)"
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(X, W, out=out)


def test_out_may_be_any_view_of_an_ordinary_array():
    whole = np.zeros((4, 9, 3, 20), "float32")
    for view in (whole[::-2, 1::3], whole.T[::3, :, ::-1], whole[:, :, 1:1], whole[2:3, None, ..., ::-7]):
        made = args.output_array(view, view.shape, view.dtype, ())
        assert made is view


@pytest.mark.parametrize("which", ["inputs", "kernel", "bias"])
def test_out_that_shares_memory(which):
    memory = np.ones(64, "float32")
    given = {
        "inputs": memory[:15].reshape(1, 5, 3) if which == "inputs" else X,
        "kernel": memory[:24].reshape(4, 2, 3) if which == "kernel" else W,
        "bias": memory[14:16] if which == "bias" else np.ones(2, "float32"),
    }
    text = "out must not share memory with inputs, kernel or bias. Give a separate array."
    with pytest.raises(ValueError, match=words(text)):
        conv_transpose(**given, out=memory[14:30].reshape(Y))
    assert conv_transpose(**given, out=memory[24:40].reshape(Y)).base is memory


def test_out_whose_memory_is_looked_at():
    out = np.ones((1, 5, 3), "float32")
    identity = np.eye(3, dtype="float32")[None]
    for x in (out, out[:], out[:, ::-1]):
        with pytest.raises(ValueError, match="out must not share memory"):
            conv_transpose(x, identity, out=out)
    with pytest.raises(ValueError, match="out must not share memory"):
        conv_transpose(out, identity, out=out[:])
    np.testing.assert_array_equal(conv_transpose(out.copy(), identity, out=out), np.ones((1, 5, 3)))


def test_out_of_the_adjoint_and_of_the_kernel_gradient():
    y = np.ones(Y, "float32")
    with pytest.raises(ValueError, match=words("out must be a float32 array of shape (1, 5, 3). Got")):
        conv(y, W, out=np.zeros(Y, "float32"))
    with pytest.raises(ValueError, match=words("out must be a float32 array of shape (4, 2, 3). Got")):
        conv_transpose_kernel_gradient(X, y, 4, out=np.zeros(Y, "float32"))
    small = np.ones((1, 3, 1), "float32")
    with pytest.raises(ValueError, match="out must not share memory with inputs, kernel or bias"):
        conv_transpose_kernel_gradient(np.ones((1, 2, 1), "float32"), small, 2, out=small[0, :2, None])


def test_memory_too_tangled_to_decide_counts_as_shared(monkeypatch):
    def too_hard(*_, **__):
        raise np.exceptions.TooHardError

    monkeypatch.setattr(np, "shares_memory", too_hard)
    memory = np.zeros(64, "float32")
    with pytest.raises(ValueError, match="out must not share memory"):
        args.output_array(memory[::2], (32,), memory.dtype, (memory[1::2],))


@pytest.mark.parametrize("value", [0, -1, 1025])
def test_thread_counts(value):
    text = f"threads must be between 1 and 1024, or None for the default. Got {value}."
    for call in (conv_transpose, lambda x, w, threads: plan(w)(x, threads=threads)):
        with pytest.raises(ValueError, match=words(text)):
            call(X, W, threads=value)


@pytest.mark.parametrize("value", [1.0, True, "2", (2,)])
def test_thread_counts_of_another_type(value):
    with pytest.raises(TypeError, match=r"threads must be an int or None, .*Got threads="):
        conv_transpose(X, W, threads=value)


@pytest.mark.parametrize(
    ("shape", "error", "text"),
    [
        ((None, 5, 3), TypeError, "input_shape must be a tuple of ints, but None is a NoneType"),
        ((1, 5.0, 3), TypeError, "input_shape must be a tuple of ints, but 5.0 is a float"),
        ("153", TypeError, "input_shape must be a tuple of ints. Got input_shape='153'"),
        (5, TypeError, "input_shape must be a tuple of ints. Got input_shape=5"),
        ((-1, 5, 3), ValueError, "input_shape must have no negative size. Got input_shape=(-1, 5, 3)"),
        ((1, 5), ValueError, "inputs must have 3 axes (n, w, c)"),
    ],
)
def test_shapes_asked_of_a_plan(shape, error, text):
    made = plan(W)
    for ask in (made.output_shape, made.workspace_bytes, made.explain):
        with pytest.raises(error, match=words(text)):
            ask(shape)


# --- order ------------------------------------------------------------------------------------------


def test_nothing_is_written_when_a_check_fails():
    out = np.full(Y, 7, "float32")
    for bad in ({"threads": 0}, {"strides": 2}, {"bias": np.ones(3, "float32")}, {"groups": 2}):
        with pytest.raises(ValueError, match="must"):
            conv_transpose(X, W, out=out, **bad)
    assert (out == 7).all()


def test_checked_options_are_remembered():
    args.options((3, 1, 1), 2, ((1, 0),))
    assert args.options((3, 1, 1), 2, ((1, 0),)) is args.options((3, 1, 1), 2, ((1, 0),))
    assert args.options((3, 1, 1), [2], [[1, 0]]) == args.options((3, 1, 1), 2, ((1, 0),))


def test_limits_are_powers_as_they_are_written():
    assert (args.MAX_ELEMENTS, args.MAX_STEP) == (2**46, 2**31)
    assert MAX_ELEMENTS * 8 * 2 < 2**63  # bytes of a float64 array, with room for one sum


def test_multiply_adds_are_those_of_the_definition():
    known = args.problem(args.options((2, 3, 4, 6), 2, groups=3), (7, 5, 11, 6))
    assert known.multiply_adds == 7 * 5 * 11 * 2 * 3 * 12 * 6 // 3
