"""The adjoint by Winograd forms: the phases of its source are summed as points."""

import ctypes
import mmap
import sys

import ml_dtypes
import numpy as np
import pytest

import convtranspose
from convtranspose import reference
from convtranspose.plans import Plan

from .test_methods import guarded


def adjoint(w, strides, padding, algorithm="winograd", **options):
    return Plan("adjoint", w, convtranspose.plan(w, strides, padding, **options).options, algorithm=algorithm)


def integers(rng, shape, dtype="float32"):
    return rng.integers(-3, 4, shape).astype(dtype)


def layout_of(a, layout):
    return a if layout == "channels_last" else np.ascontiguousarray(np.moveaxis(a, -1, 1))


# Result, kernel (*k, c_out / groups, c_in), strides, dilation, groups.
EXACT = [
    # equal taps for all phases of the source: two, three; odd ends, few channels
    ((2, 37, 19), (4, 17, 19), 2, 1, 1),
    ((3, 9, 11, 17), (4, 4, 5, 17), 2, 1, 1),
    ((1, 5, 6, 7, 35), (4, 4, 4, 3, 35), 2, 1, 1),
    ((2, 13, 11, 20), (3, 3, 16, 20), 1, 1, 1),
    ((1, 2, 5, 33), (6, 9, 7, 33), (2, 3), 1, 1),
    # unequal ones: some lack the last tap
    ((2, 13, 12, 33), (3, 3, 16, 33), 2, 1, 1),
    ((2, 11, 9, 17), (5, 4, 6, 17), (2, 3), 1, 1),
    ((1, 4, 5, 3, 16), (3, 5, 3, 4, 16), 2, 1, 1),
    ((2, 8, 5, 6), (5, 4, 20, 6), 3, 1, 2),
    # an axis of single taps; strides beyond the kernel
    ((1, 4, 5, 3, 16), (1, 3, 4, 4, 16), (1, 2, 2), 1, 1),
    ((2, 7, 9, 18), (2, 4, 5, 18), (3, 2), 1, 1),
    # taps that are apart: strands, with phases of their own or without
    ((2, 13, 11, 16), (3, 3, 20, 16), 1, 2, 1),
    ((2, 13, 9, 16), (3, 3, 8, 16), 2, 2, 1),
    ((1, 13, 9, 16), (3, 4, 8, 16), 2, 3, 1),
    ((1, 7, 5, 9, 17), (4, 3, 5, 4, 17), (2, 1, 3), (3, 2, 1), 1),
    ((2, 1, 1, 18), (4, 3, 7, 18), (2, 1), 1, 1),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "dilation", "groups"), EXACT)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", ["valid", "same", "crop"])
def test_small_integers_are_exact(path, shape, kernel, stride, dilation, groups, layout, padding):
    """In double precision for the forms that divide by three."""
    rng = np.random.default_rng(4)
    if padding == "crop":  # zeros added here, samples dropped there
        padding = [(-1, 2), (1, -2), (-2, -1)][: len(shape) - 2]
    w = integers(rng, kernel, "float64")
    options = {"dilation_rate": dilation, "groups": groups}
    plan = adjoint(w, stride, padding, data_format=layout, **options)
    y = integers(rng, convtranspose.plan(w, stride, padding, **options).output_shape(shape), "float64")
    want = layout_of(reference.conv(y, w, shape[1:-1], stride, padding, **options), layout)
    y = layout_of(y, layout)
    assert "F(" in plan.explain(y.shape)
    for threads in (1, 2, 5):
        out, untouched = guarded(want.shape, "float64")
        plan(y, out=out, threads=threads)
        np.testing.assert_allclose(out, want, rtol=0, atol=1e-12 * np.abs(want).max())
        assert untouched()


FORMS = [
    # result, kernel, stride, dilation: the sizes that the forms are good for
    ((1, 6, 2, 8), (2, 2, 64, 8), 1, 1),
    ((1, 14, 8, 40), (4, 4, 32, 40), 2, 1),
    ((2, 3, 16, 8), (4, 4, 32, 8), 2, 1),
    ((1, 16, 2, 8), (3, 3, 32, 8), 1, 1),
    ((1, 16, 17, 18), (5, 5, 35, 18), 2, 1),
    ((1, 6, 3, 8), (3, 3, 64, 8), 1, 1),
    ((1, 2, 9, 8), (4, 4, 48, 8), 1, 1),
    ((2, 13, 11, 17), (10, 7, 33, 17), 2, (1, 3)),
    ((1, 5, 6, 4, 5), (5, 3, 4, 32, 5), 1, 1),
    # as long as the outputs of one tile, or of many
    *(((1, m, 8), (r, 64, 8), 1, 1) for m in (2, 3, 40) for r in (2, 3)),
    *(((1, m, 8), (2 * r, 64, 8), 2, 1) for m, r in ((2, 4), (3, 4), (2, 5))),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "dilation"), FORMS)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_forms(path, shape, kernel, stride, dilation, layout):
    rng = np.random.default_rng(6)
    w = rng.standard_normal(kernel)
    forward = convtranspose.plan(w, stride, "same", dilation_rate=dilation)
    y = rng.standard_normal(forward.output_shape(shape))
    want = layout_of(reference.conv(y, w, shape[1:-1], stride, "same", dilation_rate=dilation), layout)
    y = layout_of(y, layout)
    plan = adjoint(w, stride, "same", data_format=layout, dilation_rate=dilation)
    assert "F(" in plan.explain(y.shape)
    one = plan(y, threads=1)
    np.testing.assert_allclose(one, want, rtol=0, atol=1e-13 * np.abs(want).max())
    for threads in (2, 5):
        assert plan(y, threads=threads).tobytes() == one.tobytes()


def test_every_form_is_tested():
    said = []
    for shape, kernel, stride, dilation in FORMS:
        w = np.ones(kernel)
        forward = convtranspose.plan(w, stride, "same", dilation_rate=dilation)
        plan = adjoint(w, stride, "same", dilation_rate=dilation)
        said.append(plan.explain(forward.output_shape(shape)))
    for form in (f"F({m},{r})" for m, r in ("22", "32", "42", "23", "33", "43", "24", "34", "25")):
        assert any(form in text for text in said), (form, said)


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        # sums of 32 to 4096 products
        ((1, 600, 33), (16, 4, 33), 8),
        ((1, 16, 16, 32), (5, 5, 8, 32), 2),
        ((1, 24, 24, 32), (4, 4, 8, 32), 2),
        ((1, 12, 12, 32), (3, 3, 8, 32), 2),
        ((1, 16, 16, 16), (3, 3, 256, 16), 1),
        ((1, 8, 8, 16), (4, 4, 1024, 16), 2),
        ((1, 12, 12, 12, 16), (4, 4, 4, 4, 16), 2),
        ((1, 8, 8, 8, 16), (3, 3, 3, 32, 16), 1),
        ((1, 17, 16, 16), (5, 5, 32, 16), 1),
        ((1, 300, 32), (14, 8, 32), 4),
    ],
)
def test_error_is_near_the_direct_one(path, shape, kernel, stride):
    rng = np.random.default_rng(5)
    w = rng.standard_normal(kernel).astype("float32")
    plans = {name: adjoint(w, stride, "same", name) for name in ("direct", "winograd")}
    y = rng.standard_normal(convtranspose.plan(w, stride, "same").output_shape(shape)).astype("float32")
    want = reference.conv(y, w, shape[1:-1], stride, "same")
    error = {}
    for name, plan in plans.items():
        beside = plan(y) - want
        error[name] = np.sqrt((beside**2).mean()), np.abs(beside).max()
    # Four times is the promise: of the typical error here, and, with chance in it, of the largest one.
    assert 0 < error["winograd"][0] <= 4 * error["direct"][0]
    assert error["winograd"][1] <= 5 * error["direct"][1]


def test_auto_takes_it_where_it_is_faster(path):
    w = np.ones((4, 4, 64, 64), "float32")
    plan = adjoint(w, 2, "same", "auto")
    assert "F(" in plan.explain((1, 64, 64, 64))
    assert "Winograd" not in plan.explain((64, 2, 2, 64))  # a quarter of a tile
    assert "Winograd" not in adjoint(w, 2, "same", "direct").explain((1, 64, 64, 64))
    few = np.ones((4, 4, 2, 64), "float32")
    assert "Winograd" not in adjoint(few, 2, "same", "auto").explain((1, 64, 64, 2))
    one_tap = np.ones((2, 2, 64, 64), "float32")
    assert "F(" not in adjoint(one_tap, 2, "valid").explain((1, 64, 64, 64))
    # Single channels have methods of their own, unless the form is asked for.
    image = np.ones((4, 4, 64, 1), "float32")
    assert "Winograd" not in adjoint(image, 2, "same", "auto").explain((1, 64, 64, 64))
    assert "F(" in adjoint(image, 2, "same").explain((1, 64, 64, 64))


def test_the_choice_ignores_the_batch():
    plan = adjoint(np.ones((4, 4, 64, 128), "float32"), 2, "same", "auto")
    said = {plan.explain((n, 18, 20, 64)).split(" tasks")[0].rsplit(",", 1)[0] for n in (1, 7, 64)}
    assert len(said) == 1


BITS = [
    ((5, 19, 17, 32), (3, 3, 64, 32), 1, 1),
    ((5, 19, 17, 48), (4, 4, 40, 48), 2, 1),
    ((3, 6, 7, 9, 32), (4, 3, 5, 48, 32), 2, 1),
    ((3, 201, 48), (16, 33, 48), 8, 1),
    ((3, 21, 19, 64), (5, 5, 32, 64), 2, 2),
    # more sources than scratch memory has points for: their sums are cut, at other places for more threads
    ((2, 7, 8, 6, 64), (4, 4, 4, 64, 64), 2, 1),
    ((2, 9, 8, 15, 64), (4, 3, 7, 64, 64), 2, 1),
    ((3, 16, 17, 64), (6, 6, 64, 64), 3, 1),
    # more weights than the second cache holds: cut for more tiles, with the panels in one part or two
    ((3, 24, 20, 256), (4, 4, 128, 256), 2, 1),
    ((2, 8, 8, 8, 160), (4, 4, 4, 64, 160), 2, 1),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "groups"), BITS)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_same_bits_for_any_thread_count_and_batch_split(path, shape, kernel, stride, groups, layout):
    rng = np.random.default_rng(1)
    w = rng.standard_normal(kernel).astype("float32")
    forward = convtranspose.plan(w, stride, "same", groups=groups)
    y = layout_of(rng.standard_normal(forward.output_shape(shape)).astype("float32"), layout)
    plan = adjoint(w, stride, "same", "auto", data_format=layout, groups=groups)
    assert "F(" in plan.explain(y.shape)
    one = plan(y, threads=1)
    for threads in (2, 5):
        assert plan(y, threads=threads).tobytes() == one.tobytes()
    parts = np.concatenate([plan(y[n : n + 1]) for n in range(len(y))])
    assert parts.tobytes() == one.tobytes()


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_many_sources_need_little_memory(path, layout, threads):
    """Eight phases of a stride in space: the points of all of them would be as large as the arrays."""
    shape, w = (1, 8, 8, 8, 128), np.zeros((4, 4, 4, 128, 128), "float32")
    forward = convtranspose.plan(w, 2, "same")
    y = layout_of(np.zeros(forward.output_shape(shape), "float32"), layout)
    plan = adjoint(w, 2, "same", data_format=layout)
    assert "F(" in plan.explain(y.shape)
    whole = y.nbytes + w.nbytes + 4 * np.prod(shape)
    assert 0 < plan.workspace_bytes(y.shape, threads=threads) < whole / 4


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
def test_halves_have_the_bits_of_float(half):
    rng = np.random.default_rng(2)
    w = rng.standard_normal((4, 4, 32, 48)).astype(half)
    y = rng.standard_normal((2, 24, 20, 32)).astype(half)
    plan, exact = (adjoint(k, 2, "same") for k in (w, w.astype("float32")))
    assert "F(" in plan.explain(y.shape)
    assert plan(y).tobytes() == exact(y.astype("float32")).astype(half).tobytes()


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_non_finite_weight_stays_where_its_terms_are(path, bad):
    y, w = np.ones((1, 10, 8, 40), "float32"), np.ones((4, 4, 40, 24), "float32")
    w[0, 3, 1, 2] = bad
    with np.errstate(invalid="ignore"):
        want = reference.conv(y, w, (5, 4), 2, "same").astype("float32")
        got = adjoint(w, 2, "same")(y)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "dilation"),
    [
        ((1, 64, 64, 256), (4, 4, 64, 256), 2, 1),
        ((16, 8, 8, 512), (4, 4, 256, 512), 2, 1),
        ((1, 16, 16, 16, 128), (4, 4, 4, 64, 128), 2, 1),
        ((1, 64, 64, 64), (3, 3, 64, 64), 1, 2),
        ((8, 8, 8, 256), (3, 3, 256, 256), 1, 1),
        ((1, 86, 512), (16, 256, 512), 8, 1),
        ((1, 64, 64, 256), (3, 3, 128, 256), 2, 1),
    ],
)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_workspace_is_small(shape, kernel, stride, dilation, layout):
    w = np.zeros(kernel, "float32")
    y_shape = convtranspose.plan(w, stride, "same", dilation_rate=dilation).output_shape(shape)
    whole = 4 * (np.prod(shape) + np.prod(kernel) + np.prod(y_shape))
    plan = adjoint(w, stride, "same", "auto", data_format=layout, dilation_rate=dilation)
    if layout == "channels_first":
        y_shape = (y_shape[0], y_shape[-1], *y_shape[1:-1])
    assert "F(" in plan.explain(y_shape)
    assert 0 < plan.workspace_bytes(y_shape, threads=1) < whole / 4


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_windows_hold_the_lines_of_one_phase(layout):
    """All of them, for both threads, would need more than a quarter of the arrays."""
    w = np.zeros((4, 4, 256, 256), "float32")
    plan = adjoint(w, 2, "same", "auto", data_format=layout)
    y_shape = (1, 64, 48, 256) if layout == "channels_last" else (1, 256, 64, 48)
    assert "F(" in plan.explain(y_shape)
    whole = 4 * (w.size + 5 * 32 * 24 * 256)
    assert plan.workspace_bytes(y_shape, threads=2) < whole / 4


def before_a_forbidden_page(shape):
    """A float32 array whose last number is the last one of a page, with nothing readable behind it."""
    page = mmap.PAGESIZE
    size = 4 * int(np.prod(shape))
    memory = mmap.mmap(-1, (size // page + 2) * page)
    array = np.frombuffer(memory, "u1")
    forbidden = len(array) // page * page - page
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    assert mprotect(ctypes.c_void_p(array.ctypes.data + forbidden), ctypes.c_size_t(page), 0) == 0
    return array[forbidden - size : forbidden].view("float32").reshape(shape)


@pytest.mark.skipif(sys.platform == "win32", reason="pages are protected by other means there")
@pytest.mark.parametrize("kind", ["forward", "adjoint"])
@pytest.mark.parametrize(
    ("channels", "groups", "width"), [(1, 1, 9), (3, 1, 1), (21, 1, 11), (7, 3, 5), (40, 1, 4)]
)
def test_nothing_behind_the_samples_is_read(path, kind, channels, groups, width):
    """Vectors may reach beyond the channels of a sample, never beyond the array."""
    rng = np.random.default_rng(5)
    w = rng.standard_normal((4, 4, channels, channels * groups), "float32")
    plan = convtranspose.plan(w, 2, "same", groups=groups)
    plan = Plan(kind, w, plan.options, algorithm="winograd")
    x = before_a_forbidden_page((2, 6, 2 * width, channels * groups))
    x[...] = rng.standard_normal(x.shape, "float32")
    want = Plan(kind, w, plan.options, algorithm="direct")(x)
    np.testing.assert_allclose(plan(x), want, atol=1e-4)
    # Lines apart, and axes in another order: what follows a sample is no sample then, or an earlier one.
    apart = np.full((2, 6, 4 * width, channels * groups), np.nan, "float32")[:, :, ::2]
    turned = np.empty((2, 2 * width, 6, channels * groups), "float32").swapaxes(1, 2)
    apart[...] = turned[...] = x
    for view in (apart, turned, x[:, ::-1]):
        np.testing.assert_array_equal(plan(view), plan(np.ascontiguousarray(view)))
