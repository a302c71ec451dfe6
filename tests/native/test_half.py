"""float16 and bfloat16: converted band by band, with the bits of a conversion of whole arrays."""

import ml_dtypes
import numpy as np
import pytest

import convtranspose
from convtranspose.geometry import geometry
from convtranspose.plans import Plan, native_module

from .problems import random_case

HALVES = {"float16": np.dtype("float16"), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
half = pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)

BANDS = [
    # input, kernel (*k, c_out / g, c_in), strides, padding, groups: images that are cut on each of their axes
    ((1, 60013, 5), (7, 3, 5), 3, "same", 1),
    ((2, 9001, 19), (25, 1, 19), 4, ((-3, 30),), 1),
    ((2, 131, 113, 16), (4, 4, 17, 16), 2, "same", 1),
    ((3, 61, 67, 33), (3, 5, 2, 33), (1, 3), "valid", 1),
    ((1, 83, 71, 48), (3, 3, 1, 48), 2, "same", 48),
    ((1, 19, 17, 23, 24), (3, 3, 2, 9, 24), (2, 1, 3), "same", 1),
    ((1, 2, 3, 30011, 1), (1, 2, 4, 2, 1), (1, 1, 2), "same", 1),
    ((37, 5, 7, 40), (3, 3, 20, 40), 2, "same", 2),
    ((1, 23, 1021, 3), (2, 3, 3, 3), (9, 5), "valid", 1),  # phases without a tap
    ((9, 4, 3, 600), (4, 4, 130, 600), 2, "same", 1),  # heavy weights: large bands
]


def strided(a):
    """The same numbers, every second element of a larger array, reversed along the last axis."""
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a[..., ::-1]
    return wide[..., ::2][..., ::-1]


@half
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "groups"), BANDS)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_bands_have_the_bits_of_whole_arrays(half, shape, kernel, stride, padding, groups, layout):
    rng = np.random.default_rng(1)
    w = rng.standard_normal(kernel).astype(half)
    b = rng.standard_normal(kernel[-2] * groups).astype(half)
    x = rng.standard_normal(shape).astype(half)
    if layout == "channels_first":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    options = {"data_format": layout, "groups": groups, "algorithm": "direct"}
    plan = convtranspose.plan(w, stride, padding, bias=b, **options)
    exact = convtranspose.plan(w.astype("f4"), stride, padding, bias=b.astype("f4"), **options)
    want = exact(x.astype("f4")).astype(half)
    out = strided(np.zeros_like(want))
    for threads, given in ((1, x), (2, strided(x)), (5, x)):
        assert plan(given, threads=threads).tobytes() == want.tobytes()
        plan(given, out=out, threads=threads)
        assert out.tobytes() == want.tobytes()
    kernels = w, w.astype("f4")
    adjoint, exact = (Plan("adjoint", k, plan.options, algorithm="direct") for k in kernels)
    back = exact(want.astype("f4")).astype(half)
    for threads, given in ((1, want), (2, strided(want)), (5, want)):
        assert adjoint(given, threads=threads).tobytes() == back.tobytes()


@half
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "groups"), BANDS)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_kernel_gradient_adds_bands(half, shape, kernel, stride, padding, groups, layout):
    rng = np.random.default_rng(3)
    x = rng.integers(-1, 2, shape).astype(half)
    if layout == "channels_first":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    options = {"strides": stride, "padding": padding, "groups": groups, "data_format": layout}
    plan = convtranspose.plan(np.zeros(kernel, half), **options)
    dy = rng.integers(-1, 2, plan.output_shape(x.shape)).astype(half)
    gradient = convtranspose.conv_transpose_kernel_gradient
    want = gradient(x.astype("f4"), dy.astype("f4"), kernel[:-2], **options).astype(half)
    np.testing.assert_array_equal(gradient(x, dy, kernel[:-2], **options), want)
    out = strided(np.zeros_like(want))
    gradient(strided(x), strided(dy), kernel[:-2], out=out, threads=3, **options)
    np.testing.assert_array_equal(out, want)


@half
def test_kernel_gradient_has_the_same_bits_for_any_number_of_threads(half):
    rng = np.random.default_rng(4)
    x, dy = (rng.standard_normal((5, *size, 24)).astype(half) for size in ((61, 67), (122, 134)))
    one, two, five = (
        convtranspose.conv_transpose_kernel_gradient(x, dy, 4, 2, "same", threads=n) for n in (1, 2, 5)
    )
    assert one.tobytes() == two.tobytes() == five.tobytes()


def test_large_images_are_cut_and_small_ones_are_not():
    plan = convtranspose.plan(np.ones((4, 4, 16, 16), "f2"), 2, "same")
    assert "float16 converted in 1 band," in plan.explain((2, 31, 17, 16))
    assert "bands" in plan.explain((1, 131, 113, 16))
    heavy = convtranspose.plan(np.ones((4, 4, 512, 1024), "f2"), 2, "same")
    assert "float16 converted in 1 band," in heavy.explain((16, 4, 4, 1024))


@pytest.mark.parametrize("part", range(3))
def test_forward_and_adjoint_are_the_definition(path, part):
    for seed in range(part, 60, 3):
        case = random_case(seed)
        for half in HALVES.values():
            x, w, b, dy = (a.astype(half) for a in (case.x, case.w, case.b, case.dy))
            y = convtranspose.conv_transpose(x, w, bias=b, threads=1 + seed % 3, **case.options)
            np.testing.assert_array_equal(y, case.y.astype(half), err_msg=f"{half}, seed {seed}")
            if case.y.size:
                dx = convtranspose.conv(dy, w, threads=1 + seed % 3, **case.options)
                np.testing.assert_array_equal(dx, case.adjoint().astype(half), err_msg=f"{half}, seed {seed}")
                dw = convtranspose.conv_transpose_kernel_gradient(x, dy, case.kernel_size, **case.options)
                want = case.kernel_gradient().astype(half)
                np.testing.assert_array_equal(dw, want, err_msg=f"{half}, seed {seed}")


@half
def test_every_half_is_widened_exactly(path, half):
    bits = np.arange(2**16, dtype=np.uint16)
    with np.errstate(invalid="ignore"):  # signalling NaNs, on ARM
        numbers = bits.view(half).astype("float32")
    eye = convtranspose.plan(np.ones((1, 1, 1), half))
    got = eye(bits.view(half).reshape(1, -1, 1)).ravel()
    # A sum that begins with zero has no negative zero.
    np.testing.assert_array_equal(got.astype("float32"), numbers)
    kept = ~np.isnan(numbers) & (numbers != 0)
    np.testing.assert_array_equal(got.view(np.uint16)[kept], bits[kept])


@half
def test_narrowing_rounds_to_the_nearest_and_ties_to_even(path, half):
    bits = np.arange(2**16, dtype=np.uint16)
    with np.errstate(invalid="ignore"):
        numbers = np.unique(bits.view(half).astype("float32"))
    numbers = numbers[np.isfinite(numbers)]
    middle = (numbers[1:] / 2 + numbers[:-1] / 2).astype("float32")
    over = np.float32(np.inf) if half == "float16" else np.finfo("float32").max
    edge = np.array([65519.99, 65520, 1e30, over, 1e-45, 3e-8, np.nan], "float32")
    ties = np.concatenate(
        [middle, np.nextafter(middle, np.float32(9)), np.nextafter(middle, np.float32(-9)), edge]
    )
    # Float sums of halves: the number itself as the bias of a zero kernel.
    zero = np.zeros((1, len(ties), 1), half)
    op = native_module.Operator(
        "forward", zero.view(np.uint16), (1,), (1,), 1, "channels_last", "direct", False, half.name
    )
    out = np.empty((1, 1, len(ties)), np.uint16)
    op.run(np.zeros((1, 1, 1), np.uint16), out, geometry((1,), (1,), (1,)), ties, 1)
    with np.errstate(over="ignore"):
        want = ties.astype(half)
    np.testing.assert_array_equal(out.view(half).ravel().astype("f4"), want.astype("f4"))


@half
def test_activations_see_sums_that_are_not_rounded(path, half):
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((40, 31, 37, 8)).astype(half), rng.standard_normal((3, 3, 24, 8)).astype(half)
    exact = convtranspose.plan(w.astype("f4"), 2, "same", activation="sigmoid")(x.astype("f4"))
    got = convtranspose.plan(w, 2, "same", activation="sigmoid")(x)
    np.testing.assert_array_equal(got, exact.astype(half))


@half
def test_workspace_is_small(half):
    plan = convtranspose.plan(np.ones((4, 4, 64, 64), half), 2, "same")
    shape = (4, 128, 128, 64)
    moved = 2 * (np.prod(shape) + np.prod(plan.output_shape(shape)))
    assert plan.workspace_bytes(shape, threads=2) < moved / 4


@half
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_empty_arrays(half, layout):
    options = {"padding": ((1, 1), (0, 0)), "data_format": layout}
    plan = convtranspose.plan(np.ones((2, 3, 1, 1), half), **options)
    last = layout == "channels_last"
    x, y = (np.ones((2, *s, 1) if last else (2, 1, *s), half) for s in ((1, 5), (0, 7)))
    assert plan(x).shape == y.shape
    np.testing.assert_array_equal(convtranspose.conv(y, np.ones((2, 3, 1, 1), half), **options), 0 * x)
    gradient = convtranspose.conv_transpose_kernel_gradient(x, y, (2, 3), **options)
    np.testing.assert_array_equal(gradient, np.zeros((2, 3, 1, 1), half))
    for shape in (x.shape, (0, *x.shape[1:])):
        assert plan.workspace_bytes(shape) == 0
        assert half.name in plan.explain(shape)
        assert "nothing to compute" in plan.explain(shape)


def test_operator_refuses_wrong_types():
    x, w = np.ones((1, 5, 3), "f2"), np.ones((3, 2, 3), "f2")
    with pytest.raises(ValueError, match="half must be"):
        native_module.Operator("forward", w.view("u2"), (2,), (1,), 1, "channels_last", "auto", False, "int8")
    with pytest.raises(TypeError, match="bits of halves"):
        native_module.Operator(
            "forward", w.astype("f4"), (2,), (1,), 1, "channels_last", "auto", False, "float16"
        )
    with pytest.raises(TypeError, match="float32 or float64"):
        native_module.Operator("forward", w.view("u2"), (2,), (1,), 1, "channels_last", "auto")
    plan = convtranspose.plan(w, 2)
    with pytest.raises(TypeError, match="bits of halves"):
        plan._operator.run(x.astype("f4"), plan(x).view("u2"), plan.problem(x.shape).geometry, None, 1)
