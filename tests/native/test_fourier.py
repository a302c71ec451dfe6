"""The Fourier method: kernels of many taps per phase, on every path."""

import signal
from functools import cache

import ml_dtypes
import numpy as np
import pytest

import convtranspose
from convtranspose import reference
from convtranspose.plans import Plan

from .test_methods import guarded

# Inputs (n, *sizes, c_in), kernel (*k, c_out / groups, c_in), strides, dilation, groups.
CASES = [
    ((1, 37, 41, 1), (17, 23, 1, 1), 1, 1, 1),
    ((2, 19, 53, 2), (19, 13, 3, 2), 1, 1, 1),
    ((1, 83, 71, 1), (31, 29, 1, 1), 1, 1, 1),  # several tiles, with their halos
    ((1, 23, 17, 3), (31, 37, 2, 3), 2, 1, 1),
    ((1, 13, 19, 2), (53, 43, 3, 2), 3, 1, 1),
    ((1, 17, 13, 1), (37, 64, 1, 1), (2, 3), 1, 1),
    ((1, 29, 31, 1), (13, 11, 1, 1), 1, (2, 3), 1),
    ((1, 29, 31, 2), (23, 17, 1, 2), 2, (3, 2), 1),
    ((2, 23, 29, 4), (17, 19, 1, 4), 1, 1, 4),
    ((1, 19, 17, 6), (37, 23, 2, 6), 2, 1, 2),
    ((1, 13, 11, 37), (13, 19, 35, 37), 1, 1, 1),
    ((1, 7, 61, 2), (1, 97, 3, 2), 1, 1, 1),  # one axis of many taps: lines of an image, and columns
    ((1, 61, 7, 1), (101, 1, 1, 1), 1, 1, 1),
    ((2, 2, 3, 1), (40, 37, 1, 1), 1, 1, 1),  # few results, most taps meet nothing
    ((2, 1, 2), (700, 1, 2), 1, 1, 1),
    ((2, 997, 1), (255, 1, 1), 1, 1, 1),
    ((1, 701, 3), (257, 2, 3), 2, 1, 1),
    ((1, 301, 2), (331, 5, 2), 3, 1, 1),
    ((1, 13, 17, 19, 1), (11, 19, 7, 1, 1), 1, 1, 1),
    ((1, 7, 5, 11, 2), (13, 19, 17, 3, 2), (2, 1, 3), 1, 1),
    ((1, 17, 11, 19, 1), (17, 1, 13, 1, 1), 1, 1, 1),
    ((1, 5, 23, 19, 2), (1, 19, 17, 1, 2), 1, 1, 2),
]


def layout_of(a, layout):
    return a if layout == "channels_last" else np.ascontiguousarray(np.moveaxis(a, -1, 1))


def plan_of(kind, w, *arguments, algorithm="winograd", bias=None, **options):
    plan = convtranspose.plan(w, *arguments, bias=bias, algorithm=algorithm, **options)
    return plan if kind == "forward" else Plan("adjoint", w, plan.options, algorithm=algorithm)


def near(got, want, eps):
    """As close as single sums: rounding errors grow with the logarithm of the tile."""
    want = np.asarray(want)
    np.testing.assert_allclose(got, want, rtol=0, atol=32 * eps * np.abs(want).max())


@cache
def defined(case, padding):
    """Kernel, bias, inputs with the results of the definition, and the same of the adjoint."""
    shape, kernel, stride, dilation, groups = CASES[case]
    rng = np.random.default_rng(case)
    options = {"dilation_rate": dilation, "groups": groups}
    w, x = rng.standard_normal(kernel), rng.standard_normal(shape)
    bias = rng.standard_normal(kernel[-2] * groups)
    want = reference.conv_transpose(x, w, stride, padding, **options)
    y = rng.standard_normal(want.shape)
    return w, bias, (x, want + bias), (y, reference.conv(y, w, shape[1:-1], stride, padding, **options))


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", ["same", "crop"])
def test_it_is_the_definition(path, case, layout, padding):
    shape, _, stride, dilation, groups = CASES[case]
    if padding == "crop":  # zeros added here, samples dropped there
        padding = ((-3, 5), (7, -2), (-2, -1))[: len(shape) - 2]
    w, bias, *both = defined(case, padding)
    options = {"dilation_rate": dilation, "groups": groups, "data_format": layout}
    plan = plan_of("forward", w, stride, padding, bias=bias, **options)
    back = plan_of("adjoint", w, stride, padding, **options)
    for p, arrays in ((plan, both[0]), (back, both[1])):
        given, want = (layout_of(a, layout) for a in arrays)
        assert "Fourier" in p.explain(given.shape)
        for threads in (1, 2, 5):
            out, untouched = guarded(want.shape, "float64")
            p(given, out=out, threads=threads)
            near(out, want, 2e-16)
            assert untouched()


@pytest.mark.parametrize("kind", ["forward", "adjoint"])
def test_any_memory_layout(path, kind):
    rng = np.random.default_rng(1)
    w = rng.standard_normal((17, 19, 3, 2)).astype("float32")
    plan = plan_of(kind, w, 2, "same")
    shape = (2, 23, 21, 2) if kind == "forward" else (2, 46, 42, 3)
    x = rng.standard_normal(shape).astype("float32")
    want = plan(x)
    for order in ((3, 1, 0, 2), (2, 3, 1, 0), (0, 3, 2, 1)):
        other = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
        assert plan(other).tobytes() == want.tobytes()
        memory = np.empty([want.shape[n] for n in order], "float32")
        plan(x, out=memory.transpose(np.argsort(order)))
        assert memory.transpose(np.argsort(order)).tobytes() == want.tobytes()
    assert plan(x[:, ::-1]).tobytes() == plan(np.ascontiguousarray(x[:, ::-1])).tobytes()
    assert plan(x[:, :, ::-1]).tobytes() == plan(np.ascontiguousarray(x[:, :, ::-1])).tobytes()


BITS = [
    ((5, 97, 89, 1), (31, 29, 1, 1), 1, 1),
    ((3, 31, 37, 3), (33, 35, 2, 3), 2, 1),
    ((3, 23, 29, 4), (21, 23, 2, 4), 1, 2),
    ((7, 1999, 2), (255, 2, 2), 1, 1),
    ((3, 13, 29, 11, 2), (11, 9, 13, 2, 2), 1, 1),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "groups"), BITS)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_same_bits_for_any_thread_count_and_batch_split(path, shape, kernel, stride, groups, layout):
    rng = np.random.default_rng(2)
    w = rng.standard_normal(kernel).astype("float32")
    shapes = {
        "forward": shape,
        "adjoint": convtranspose.plan(w, stride, "same", groups=groups).output_shape(shape),
    }
    for kind, given in shapes.items():
        x = layout_of(rng.standard_normal(given).astype("float32"), layout)
        plan = plan_of(kind, w, stride, "same", data_format=layout, groups=groups, algorithm="auto")
        assert "Fourier" in plan.explain(x.shape)
        one = plan(x, threads=1)
        for threads in (2, 3, 7):
            assert plan(x, threads=threads).tobytes() == one.tobytes()
        parts = [plan(x[:1], threads=5), plan(x[1:2]), plan(x[2:])]
        assert np.concatenate(parts).tobytes() == one.tobytes()


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        ((1, 83, 79, 1), (17, 13, 1, 1), 1),
        ((1, 64, 64, 1), (64, 64, 1, 1), 1),
        ((1, 32, 32, 3), (64, 64, 3, 3), 2),
        ((1, 4001, 1), (255, 1, 1), 1),
        ((1, 23, 29, 19, 1), (9, 17, 9, 1, 1), 1),
    ],
)
def test_error_is_near_the_direct_one(path, shape, kernel, stride):
    """Four times is the promise, of numbers of one size and of either sign."""
    rng = np.random.default_rng(3)
    w = rng.standard_normal(kernel).astype("float32")
    y_shape = convtranspose.plan(w, stride, "same").output_shape(shape)
    x, y = rng.standard_normal(shape).astype("float32"), rng.standard_normal(y_shape).astype("float32")
    for kind, a, want in (
        ("forward", x, reference.conv_transpose(x, w, stride, "same")),
        ("adjoint", y, reference.conv(y, w, shape[1:-1], stride, "same")),
    ):
        error = {}
        for name in ("direct", "winograd"):
            plan = plan_of(kind, w, stride, "same", algorithm=name)
            assert ("Fourier" in plan.explain(a.shape)) == (name == "winograd")
            error[name] = np.sqrt(((plan(a) - want) ** 2).mean())
        assert 0 < error["winograd"] <= 4 * error["direct"]


def test_auto_takes_it_where_it_is_faster(path):
    w = np.ones((64, 64, 1, 1), "float32")
    for kind in ("forward", "adjoint"):
        plan = plan_of(kind, w, 1, "same", algorithm="auto")
        assert "Fourier method: tiles of" in plan.explain((1, 64, 64, 1))
        assert "so many taps" in plan.explain((1, 64, 64, 1))
        assert "Fourier" not in plan.explain((1, 3, 3, 1))  # a tile of which nearly nothing is used
        assert "Fourier" not in plan_of(kind, w, 1, "same", algorithm="direct").explain((1, 64, 64, 1))
        for small in ((3, 3, 32, 32), (5, 5, 1, 1), (4, 1, 1), (3, 3, 3, 1, 1)):
            plan = plan_of(kind, np.ones(small, "float32"), 1, "same", algorithm="auto")
            assert "Fourier" not in plan.explain((1, *(32,) * (len(small) - 2), small[-1]))
    # Phases of few taps, however large the kernel.
    assert "Fourier" not in plan_of("forward", w, 32, "same", algorithm="auto").explain((1, 64, 64, 1))


def test_a_small_image_gets_the_bits_of_direct_sums(path):
    rng = np.random.default_rng(4)
    w = rng.standard_normal((64, 64, 1, 1)).astype("float32")
    x = rng.standard_normal((2, 3, 2, 1)).astype("float32")
    auto, direct = (plan_of("forward", w, 1, algorithm=name) for name in ("auto", "direct"))
    assert auto(x).tobytes() == direct(x).tobytes()
    assert auto.workspace_bytes(x.shape) == direct.workspace_bytes(x.shape)
    assert convtranspose.conv_transpose(x, w).tobytes() == direct(x).tobytes()


def test_the_choice_ignores_batch_and_threads(path):
    plan = plan_of("forward", np.ones((33, 31, 1, 1), "float32"), 1, "same", algorithm="auto")
    said = {
        plan.explain((n, 200, 190, 1)).rsplit(", ", 2)[0].split("; ")[0].rsplit(",", 1)[0] for n in (1, 7, 64)
    }
    assert len(said) == 1


def test_one_call_is_the_plan(path):
    rng = np.random.default_rng(5)
    for kernel, shape in (((33, 35, 2, 3), (1, 101, 97, 3)), ((255, 1, 1), (1, 3001, 1))):
        w, x = rng.standard_normal(kernel).astype("float32"), rng.standard_normal(shape).astype("float32")
        near(
            convtranspose.conv_transpose(x, w, padding="same"),
            plan_of("forward", w, 1, "same")(x),
            1e-6,
        )


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("kind", ["forward", "adjoint"])
def test_halves_are_floats_rounded(half, kind):
    rng = np.random.default_rng(6)
    w = rng.integers(-3, 4, (19, 17, 2, 3)).astype(half)
    x = rng.integers(-3, 4, (2, 41, 43, 3 if kind == "forward" else 2)).astype(half)
    plan, exact = (plan_of(kind, k, 1, "same") for k in (w, w.astype("float32")))
    assert "Fourier" in plan.explain(x.shape)
    got, want = (a.astype("float64") for a in (plan(x), exact(x.astype("float32"))))
    near(got, want, {2: 1e-3, 1: 1e-2}[1 + (half is np.float16)])
    once = convtranspose.conv_transpose if kind == "forward" else convtranspose.conv
    near(once(x, w, padding="same", algorithm="winograd").astype("float64"), want, 1e-2)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_non_finite_weight_takes_direct_sums(path, bad):
    x, w = np.ones((1, 40, 41, 1), "float32"), np.ones((20, 19, 1, 1), "float32")
    w[3, 5] = bad
    plan = plan_of("forward", w, 1, "same", algorithm="auto")
    assert "zero padding would spread" in plan.explain(x.shape)
    np.testing.assert_array_equal(plan(x), reference.conv_transpose(x, w, 1, "same").astype("float32"))


@pytest.mark.parametrize("kind", ["forward", "adjoint"])
def test_a_non_finite_sample_stays_in_its_tile_and_image(path, kind):
    w = np.ones((21, 19, 1, 1), "float32")
    x = np.ones((2, 400, 400, 1), "float32")
    x[0, 0, 0] = np.nan
    plan = plan_of(kind, w, 1, "same")
    got = plan(x)
    assert np.isnan(got[0, 0, 0])
    assert np.isfinite(got[1]).all()
    assert np.isfinite(got[0, 300:, 300:]).all()


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        ((1, 1024, 1024, 1), (64, 64, 1, 1), 1),
        ((1, 512, 512, 3), (31, 31, 3, 3), 1),
        ((1, 256, 256, 3), (33, 33, 3, 3), 2),
        ((1, 1000000, 1), (255, 1, 1), 1),
        ((1, 256, 256, 256, 1), (15, 15, 15, 1, 1), 1),
    ],
)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_workspace_is_small(shape, kernel, stride, layout):
    w = np.zeros(kernel, "float32")
    plan = plan_of("forward", w, stride, "same", data_format=layout, algorithm="auto")
    y_shape = (shape[0], *(n * stride for n in shape[1:-1]), kernel[-2])
    whole = 4 * (np.prod(shape) + np.prod(kernel) + np.prod(y_shape))
    back = plan_of("adjoint", w, stride, "same", data_format=layout, algorithm="auto")
    for p, (n, *sizes, c) in ((plan, shape), (back, y_shape)):
        given = (n, *sizes, c) if layout == "channels_last" else (n, c, *sizes)
        assert "Fourier" in p.explain(given)
        assert 0 < p.workspace_bytes(given, threads=2) < whole / 4


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_gradients_to_the_kernel_are_the_definition(path, case, layout):
    shape, kernel, stride, dilation, groups = CASES[case]
    padding = ((-3, 5), (7, -2), (-2, -1))[: len(shape) - 2]
    want, *arrays = defined_gradient(case, padding)
    x, y = (layout_of(a, layout) for a in arrays)
    options = {"dilation_rate": dilation, "groups": groups, "data_format": layout}
    for threads in (1, 3):
        out, untouched = guarded(kernel, "float64")
        convtranspose.conv_transpose_kernel_gradient(
            x, y, kernel[:-2], stride, padding, out=out, threads=threads, **options
        )
        near(out, want, 2e-16)
        assert untouched()


@cache
def defined_gradient(case, padding):
    shape, kernel, stride, dilation, groups = CASES[case]
    rng = np.random.default_rng(case)
    options = {"dilation_rate": dilation, "groups": groups}
    x = rng.standard_normal(shape)
    y = rng.standard_normal(
        convtranspose.plan(np.ones(kernel), stride, padding, **options).output_shape(shape)
    )
    return reference.kernel_gradient(x, y, kernel[:-2], stride, padding, **options), x, y


@pytest.mark.parametrize(("shape", "kernel", "stride", "groups"), BITS)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_gradients_have_the_same_bits_for_any_thread_count(path, shape, kernel, stride, groups, layout):
    rng = np.random.default_rng(2)
    y_shape = convtranspose.plan(np.ones(kernel, "float32"), stride, "same", groups=groups).output_shape(
        shape
    )
    x, y = (layout_of(rng.standard_normal(of).astype("float32"), layout) for of in (shape, y_shape))
    one, *others = (
        convtranspose.conv_transpose_kernel_gradient(
            x, y, kernel[:-2], stride, "same", data_format=layout, groups=groups, threads=threads
        )
        for threads in (1, 2, 5)
    )
    for other in others:
        assert other.tobytes() == one.tobytes()


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
def test_gradients_of_halves_add_up(half):
    """Bands of many images add their sums."""
    rng = np.random.default_rng(8)
    x, y = (rng.integers(-2, 3, (5, 200, 210, 1)).astype(half) for _ in "xy")
    got = convtranspose.conv_transpose_kernel_gradient(x, y, (33, 31), 1, "same").astype("float64")
    want = convtranspose.conv_transpose_kernel_gradient(
        x.astype("float64"), y.astype("float64"), (33, 31), 1, "same"
    )
    near(got, want, 1e-3 if half is np.float16 else 1e-2)


def test_gradients_take_it_where_it_is_faster(path):
    """Sums of whole numbers are whole, and exact, unless they have been spectra."""
    rng = np.random.default_rng(9)
    x, y = (rng.integers(-2, 3, (1, 150, 140, 2)).astype("float32") for _ in "xy")
    for size, whole in (((31, 29), False), ((3, 3), True), ((5, 1), True)):
        got = convtranspose.conv_transpose_kernel_gradient(x, y, size, 1, "same")
        assert (got == np.rint(got)).all() == whole
        near(got, reference.kernel_gradient(x, y, size, 1, "same"), 1e-7)
    x[0, 0, 0, 1] = np.nan
    got = convtranspose.conv_transpose_kernel_gradient(x, y, (31, 29), 1, "same")
    assert np.isnan(got[:, :, :, 1]).all()
    assert np.isfinite(got[:, :, :, 0]).all()


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no alarm on this system")
def test_a_long_run_is_interrupted():
    class AlarmError(Exception):
        pass

    def ring(*_):
        raise AlarmError

    x = np.broadcast_to(np.float32(1), (24, 700, 700, 16))
    plan = plan_of("forward", np.ones((64, 64, 1, 16), "float32"), 1, ((100, 100), (100, 100)))
    y = plan(x[:1])
    out = np.broadcast_to(y, (24, *y.shape[1:])).copy()
    out[-1] = 7
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(AlarmError):
            plan(x, out=out, threads=1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (out[-1] == 7).all()
