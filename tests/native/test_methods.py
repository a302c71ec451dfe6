"""Every method on every path against the definition, with tails, and nothing written beside."""

import re

import numpy as np
import pytest

import convtranspose
from convtranspose import reference
from convtranspose.plans import Plan, native_module

from .problems import random_case

SEEDS = range(150)


def guarded(shape, dtype):
    """An array inside a larger one full of a mark, and a check that the mark is untouched."""
    count = int(np.prod(shape))
    memory = np.full(count + 256, 7.25, dtype)
    out = memory[128 : 128 + count].reshape(shape)

    def untouched():
        return (memory[:128] == 7.25).all() and (memory[128 + count :] == 7.25).all()

    return out, untouched


def check_on_threads(plan, x, want):
    """The exact result on any number of threads, and nothing beside it."""
    for threads in (1, 2, 5):
        out, untouched = guarded(want.shape, x.dtype)
        plan(x, out=out, threads=threads)
        np.testing.assert_array_equal(out, want)
        assert untouched()


def test_more_than_one_path_is_tested_on_x86():
    assert native_module.paths()[-1] in ("baseline", "neon")


@pytest.mark.parametrize("part", range(5))
def test_forward_adjoint_and_kernel_gradient_are_the_definition(path, part):
    for seed in SEEDS[part::5]:
        case = random_case(seed)
        threads = 1 + seed % 3
        out, untouched = guarded(case.y.shape, case.dtype)
        convtranspose.conv_transpose(case.x, case.w, bias=case.b, out=out, threads=threads, **case.options)
        np.testing.assert_array_equal(out, case.y, err_msg=f"forward, seed {seed}")
        assert untouched(), seed
        plan = convtranspose.plan(case.w, bias=case.b, **case.options)
        np.testing.assert_array_equal(plan(case.x, threads=threads), case.y, err_msg=f"plan, seed {seed}")
        if not case.y.size:
            continue
        out, untouched = guarded(case.x.shape, case.dtype)
        convtranspose.conv(case.dy, case.w, out=out, threads=threads, **case.options)
        np.testing.assert_array_equal(out, case.adjoint(), err_msg=f"adjoint, seed {seed}")
        assert untouched(), seed
        out, untouched = guarded(case.w.shape, case.dtype)
        convtranspose.conv_transpose_kernel_gradient(
            case.x, case.dy, case.kernel_size, out=out, threads=threads, **case.options
        )
        np.testing.assert_array_equal(out, case.kernel_gradient(), err_msg=f"kernel gradient, seed {seed}")
        assert untouched(), seed


@pytest.mark.parametrize("part", range(3))
def test_any_memory_layout(path, part):
    for seed in SEEDS[part:60:3]:
        case = random_case(seed)
        order = np.random.default_rng(seed).permutation(case.x.ndim)
        x = np.ascontiguousarray(case.x.transpose(order)).transpose(np.argsort(order))[:, ::-1]
        wide = np.zeros((*case.y.shape[:-1], case.y.shape[-1] * 3), case.dtype)
        out = wide[..., 1::3]
        want = convtranspose.conv_transpose(np.ascontiguousarray(x), case.w, **case.options)
        convtranspose.conv_transpose(x, case.w, out=out, **case.options)
        np.testing.assert_array_equal(out, want, err_msg=f"seed {seed}")
        assert not wide[..., 0::3].any()
        assert not wide[..., 2::3].any()


WINOGRAD = [
    # input, kernel (*k, c_out / g, c_in), strides, dilation, groups: odd ends, few channels
    ((2, 37, 19), (4, 33, 19), 2, 1, 1),
    ((3, 9, 11, 17), (4, 4, 40, 17), 2, 1, 1),
    ((1, 7, 13, 16), (3, 3, 33, 16), 2, 1, 1),
    ((2, 8, 5, 6), (5, 6, 20, 6), 3, 1, 2),
    ((1, 5, 6, 7, 5), (4, 4, 4, 17, 5), 2, 1, 1),
    ((1, 4, 5, 3, 8), (1, 3, 4, 16, 8), (1, 2, 2), 1, 1),
    ((2, 11, 6), (2, 18, 6), 1, 1, 1),
    # three taps; two and three; three at stride three
    ((2, 13, 11, 16), (3, 3, 20, 16), 1, 1, 1),
    ((1, 13, 12, 16), (5, 5, 20, 16), 2, 1, 1),
    ((2, 7, 9, 5), (9, 8, 17, 5), 3, 1, 1),
    # taps that are apart; residues without taps; every axis its own
    ((2, 13, 11, 16), (3, 3, 20, 16), 1, 2, 1),
    ((2, 13, 9, 8), (3, 3, 16, 8), 2, 2, 1),
    ((1, 13, 9, 8), (3, 4, 16, 8), 2, 3, 1),
    ((1, 7, 5, 9, 4), (4, 3, 5, 17, 4), (2, 1, 3), (3, 2, 1), 1),
    ((2, 1, 1, 7), (4, 3, 18, 7), (2, 1), 1, 1),
    # long phases in parts: alone, beside shorter ones, dilated, along several axes
    ((3, 61, 7), (25, 18, 7), 4, 1, 1),
    ((2, 29, 5), (9, 17, 5), 1, 3, 1),
    ((2, 9, 11, 5), (8, 6, 18, 5), 1, 1, 1),
    ((1, 5, 6, 7, 4), (7, 4, 6, 17, 4), 1, 1, 1),
    # planes that leave together: rows of several passes
    ((3, 14, 14, 24), (3, 3, 33, 24), 2, 1, 1),
    ((1, 3, 14, 13, 24), (3, 3, 3, 40, 24), 2, 1, 1),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "dilation", "groups"), WINOGRAD)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", ["valid", "same", "crop"])
def test_winograd_is_exact_on_small_integers(path, shape, kernel, stride, dilation, groups, layout, padding):
    """Forms with points 0, 1, -1 and infinity divide by two at most."""
    rng = np.random.default_rng(4)
    if padding == "crop":  # zeros added here, destinations dropped there
        padding = [(-1, 2), (1, -2), (-2, -1)][: len(shape) - 2]
    x = rng.integers(-3, 4, shape).astype("float32")
    w = rng.integers(-3, 4, kernel).astype("float32")
    b = rng.integers(-3, 4, kernel[-2] * groups).astype("float32")
    want = reference.conv_transpose(x, w, stride, padding, dilation_rate=dilation, groups=groups, bias=b)
    if layout == "channels_first":
        x, want = np.ascontiguousarray(np.moveaxis(x, -1, 1)), np.moveaxis(want, -1, 1)
    options = {"bias": b, "groups": groups, "data_format": layout, "dilation_rate": dilation}
    plan = convtranspose.plan(w, stride, padding, **options, algorithm="winograd")
    assert "Winograd" in plan.explain(x.shape)
    check_on_threads(plan, x, want)


FORMS = [
    # input, kernel, stride, dilation: the sizes that the forms are good for
    ((1, 35, 33), (2, 8, 33), 1, 1),
    ((1, 6, 2, 64), (2, 2, 8, 64), 1, 1),
    ((1, 14, 8, 32), (4, 4, 8, 32), 2, 1),
    ((2, 3, 16, 32), (4, 4, 8, 32), 2, 1),
    ((1, 16, 2, 32), (3, 3, 8, 32), 1, 1),
    ((1, 7, 16, 17, 32), (3, 3, 3, 5, 32), 1, (1, 2, 1)),
    ((1, 16, 17, 35), (5, 5, 18, 35), 2, 1),
    ((1, 6, 3, 64), (3, 3, 8, 64), 1, 1),
    ((1, 2, 9, 48), (4, 4, 8, 48), 1, 1),
    ((2, 13, 11, 33), (10, 7, 17, 33), 2, (1, 3)),
    ((1, 5, 6, 4, 32), (5, 3, 4, 5, 32), 1, 1),
    ((1, 4, 5, 32), (5, 5, 8, 32), 1, 1),
    # long phases in parts
    ((2, 201, 40), (25, 33, 40), 4, 1),
    ((3, 47, 40), (13, 17, 40), 1, 2),
    ((2, 37, 13, 33), (9, 7, 17, 33), 1, 1),
    ((1, 6, 7, 11, 32), (7, 2, 6, 9, 32), 1, 1),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "dilation"), FORMS)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_winograd_forms(path, shape, kernel, stride, dilation, layout):
    rng = np.random.default_rng(6)
    x, w = rng.standard_normal(shape), rng.standard_normal(kernel)
    want = reference.conv_transpose(x, w, stride, "same", dilation_rate=dilation)
    if layout == "channels_first":
        x, want = np.ascontiguousarray(np.moveaxis(x, -1, 1)), np.moveaxis(want, -1, 1)
    options = {"data_format": layout, "dilation_rate": dilation, "algorithm": "winograd"}
    plan = convtranspose.plan(w, stride, "same", **options)
    assert "Winograd" in plan.explain(x.shape)
    one = plan(x, threads=1)
    np.testing.assert_allclose(one, want, rtol=0, atol=1e-13 * np.abs(want).max())
    for threads in (2, 5):
        assert plan(x, threads=threads).tobytes() == one.tobytes()


@pytest.mark.parametrize("width", [64, 61])
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_winograd_of_a_large_result(path, width, layout):
    """Several times the caches, beside phases of a single tap: results are streamed where lines are whole."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal((3, 71, width, 32)).astype("float32")
    w = rng.standard_normal((3, 3, 32, 32)).astype("float32")
    b = rng.standard_normal(32).astype("float32")
    want = reference.conv_transpose(x, w, 2, "same", bias=b)
    if layout == "channels_first":
        x, want = np.ascontiguousarray(np.moveaxis(x, -1, 1)), np.moveaxis(want, -1, 1)
    plan = convtranspose.plan(w, 2, "same", bias=b, data_format=layout, algorithm="winograd")
    for threads in (1, 2):
        out, untouched = guarded(want.shape, "float32")
        plan(x, out=out, threads=threads)
        np.testing.assert_allclose(out, want, rtol=0, atol=1e-5 * np.abs(want).max())
        assert untouched()
        fresh = plan(x, threads=threads)  # begins with a cache line
        np.testing.assert_allclose(fresh, want, rtol=0, atol=1e-5 * np.abs(want).max())


# Planes that leave together though every pass copies a window of its own, and those that take turns instead,
# several strands of h to a pass.
PLANES = [
    ((1, 2, 5, 64), (2, 2, 40, 64), (3, 1), (2, 1), 1, "valid", "float64"),
    ((5, 7, 13, 128), (2, 2, 16, 128), 1, (2, 1), 2, "valid", "float64"),
    ((2, 9, 9, 480), (6, 6, 32, 480), 3, 1, 1, "same", "float32"),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "dilation", "groups", "padding", "dtype"), PLANES)
def test_planes_leave_together(path, shape, kernel, stride, dilation, groups, padding, dtype):
    rng = np.random.default_rng(12)
    x, w = rng.standard_normal(shape).astype(dtype), rng.standard_normal(kernel).astype(dtype)
    options = {"dilation_rate": dilation, "groups": groups}
    want = np.moveaxis(reference.conv_transpose(x, w, stride, padding, **options), -1, 1)
    x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    plan = convtranspose.plan(
        w, stride, padding, data_format="channels_first", algorithm="winograd", **options
    )
    rounding = {"float32": 1e-5, "float64": 1e-13}[dtype]
    for threads in (1, 2, 5):
        out, untouched = guarded(want.shape, dtype)
        plan(x, out=out, threads=threads)
        np.testing.assert_allclose(out, want, rtol=0, atol=rounding * np.abs(want).max())
        assert untouched()


def test_every_winograd_form_is_tested():
    said = [
        convtranspose.plan(
            np.ones(kernel), stride, "same", dilation_rate=dilation, algorithm="winograd"
        ).explain(shape)
        for shape, kernel, stride, dilation in FORMS
    ]
    outputs_and_taps = ("22", "32", "42", "23", "33", "43", "24", "34", "25")
    for form in (f"F({m},{r})" for m, r in outputs_and_taps):
        assert any(form in text for text in said), (form, said)


ERRORS = [
    # input, kernel, stride: sums of 64 to 4096 terms
    ((1, 600, 512), (16, 32, 512), 8),
    ((1, 24, 24, 32), (4, 4, 32, 32), 2),
    ((1, 24, 24, 128), (4, 4, 32, 128), 2),
    ((1, 16, 16, 256), (3, 3, 16, 256), 1),
    ((1, 8, 8, 1024), (4, 4, 16, 1024), 2),
    ((1, 8, 8, 8, 64), (4, 4, 4, 16, 64), 2),
    ((1, 8, 8, 8, 32), (3, 3, 3, 16, 32), 1),
    ((1, 12, 12, 64), (5, 5, 32, 64), 1),
    ((1, 300, 32), (14, 64, 32), 4),
    ((1, 8, 6, 4, 32), (4, 4, 4, 16, 32), 1),
    ((1, 96, 64), (25, 16, 64), 4),
    ((1, 16, 16, 32), (7, 7, 16, 32), 1),
    ((1, 12, 12, 64), (9, 4, 16, 64), 1),
]


@pytest.mark.parametrize(("shape", "kernel", "stride"), ERRORS)
def test_winograd_error_is_near_the_direct_one(path, shape, kernel, stride):
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal(shape).astype("float32"), rng.standard_normal(kernel).astype("float32")
    want = reference.conv_transpose(x, w, stride, "same")
    error = {}
    for name in ("direct", "winograd"):
        beside = convtranspose.conv_transpose(x, w, stride, "same", algorithm=name) - want
        error[name] = np.sqrt((beside**2).mean()), np.abs(beside).max()
    # Four times is the promise: of the typical error here, and, with chance in it, of the largest one.
    assert 0 < error["winograd"][0] <= 4 * error["direct"][0]
    assert error["winograd"][1] <= 5 * error["direct"][1]


def test_auto_takes_winograd_where_it_is_faster(path):
    plan = convtranspose.plan(np.ones((4, 4, 64, 64), "float32"), 2, "same")
    assert "Winograd" in plan.explain((1, 32, 32, 64))
    assert "Winograd" in plan.explain((1, 8, 8, 64))
    assert "Winograd" not in plan.explain((64, 1, 1, 64))  # a quarter of a tile
    few = convtranspose.plan(np.ones((4, 4, 64, 2), "float32"), 2, "same")
    assert "Winograd" not in few.explain((1, 32, 32, 2))  # transforms would cost more than they save
    direct = convtranspose.plan(np.ones((4, 4, 64, 64), "float32"), 2, "same", algorithm="direct")
    assert "Winograd" not in direct.explain((1, 32, 32, 64))
    one_tap = convtranspose.plan(np.ones((2, 2, 64, 64), "float32"), 2, algorithm="winograd")
    assert "Winograd F" not in one_tap.explain((1, 32, 32, 64))


def test_a_kernel_that_is_used_once_pays_for_its_transform():
    """Many weights and few pixels: packing would take longer than the direct sum."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1, 8, 9, 128)).astype("float32")
    w = rng.standard_normal((4, 4, 96, 128)).astype("float32")
    assert "Winograd" in convtranspose.plan(w, 2, "same").explain(x.shape)
    direct = convtranspose.conv_transpose(x, w, 2, "same", algorithm="direct")
    assert convtranspose.conv_transpose(x, w, 2, "same").tobytes() == direct.tobytes()


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", ["same", "valid", "crop"])
@pytest.mark.parametrize(
    ("sizes", "kernel", "strides", "dilation", "groups"),
    [
        ((14, 13), (3, 3), 2, 1, 1),
        ((12, 3), (3, 3), 2, 1, 1),  # rows too short for tiles along them
        ((13, 17), (3, 3), 2, (1, 3), 1),
        ((10, 14), (3, 4), (2, 3), 1, 2),
        ((7, 5, 14), (3, 3, 3), 2, 1, 1),
        ((9, 40), (1, 3), (1, 2), 1, 1),
    ],
)
def test_phases_of_one_tap_along_an_axis_take_a_form_where_it_pays(
    path, sizes, kernel, strides, dilation, groups, padding, layout
):
    rng = np.random.default_rng(3)
    if padding == "crop":
        padding = ((-2, 1), (3, -1), (1, 1))[: len(sizes)]
    percent = []
    for channels in (32, 256):
        x = rng.standard_normal((3, *sizes, groups * channels)).astype("float32")
        w = rng.standard_normal((*kernel, 34, groups * channels)).astype("float32")
        b = rng.standard_normal(34 * groups).astype("float32")
        if layout == "channels_first":
            x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
        options = {"dilation_rate": dilation, "groups": groups, "data_format": layout, "bias": b}
        plan = convtranspose.plan(w, strides, padding, **options, algorithm="winograd")
        percent.append(int(re.search(r"(\d+) % of the multiplications", plan.explain(x.shape))[1]))
        one = plan(x, threads=1)
        wanted = reference.conv_transpose(x, w, strides, padding, **options)
        np.testing.assert_allclose(one, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
        for threads in (2, 5):
            assert plan(x, threads=threads).tobytes() == one.tobytes()
        assert np.concatenate([plan(x[:1]), plan(x[1:])]).tobytes() == one.tobytes()
    if min(sizes) > 3:  # smaller ones leave tiles half empty
        assert (percent[0] > percent[1]) == (kernel != (1, 3))  # which has no phases of both sorts


ADDED = [
    # shape, kernel, stride, dilation, groups
    ((2, 8, 8, 16), (4, 4, 16, 16), 2, 1, 1),
    ((1, 9, 7, 100), (4, 4, 50, 100), 2, 1, 1),  # pieces of channels, a last panel of half a width
    ((3, 5, 6, 97), (3, 3, 33, 97), 2, 1, 1),  # phases of one tap and of two
    ((2, 4, 3, 200), (4, 4, 34, 200), 2, 1, 1),
    ((2, 6, 5, 24), (3, 4, 18, 24), (2, 2), (1, 3), 2),
    ((2, 11, 5, 7, 24), (1, 4, 4, 18, 24), (1, 2, 2), 1, 1),
    ((2, 30, 40), (16, 20, 40), 8, 1, 1),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "dilation", "groups"), ADDED)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", ["same", "valid", "crop"])
def test_weights_added_up_where_they_are_used(path, shape, kernel, stride, dilation, groups, padding, layout):
    rng = np.random.default_rng(9)
    rank = len(shape) - 2
    if padding == "crop":
        padding = [(-1, 2), (1, -2), (-1, 1)][:rank]
    x = rng.standard_normal((*shape[:-1], shape[-1] * groups)).astype("float32")
    w = rng.standard_normal((*kernel[:-1], x.shape[-1])).astype("float32")
    b = rng.standard_normal(w.shape[-2] * groups).astype("float32")
    if layout == "channels_first":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    options = {"data_format": layout, "dilation_rate": dilation, "groups": groups, "bias": b}
    kept = convtranspose.plan(w, stride, padding, **options, algorithm="winograd")
    once = Plan("forward", w, kept.options, bias=b, algorithm="winograd", once=True)
    assert "added up" not in kept.explain(x.shape)
    if path == "x86_v4":  # 32 registers, which are worth it
        assert "added up" in once.explain(x.shape)
    want = reference.conv_transpose(x, w, stride, padding, **options)
    for threads in (1, 2, 5):
        y = once(x, threads=threads)
        np.testing.assert_allclose(y, want, rtol=0, atol=1e-5 * np.abs(want).max())
        assert y.tobytes() == once(x).tobytes()


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_weights_added_up_are_those_that_are_kept(path, layout):
    """Few tiles have their weights added up, many have them kept: the bits are the same."""
    rng = np.random.default_rng(10)
    x = rng.standard_normal((320, 4, 4, 520)).astype("float32")
    w = rng.standard_normal((4, 4, 128, 520)).astype("float32")
    if layout == "channels_first":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    plan = convtranspose.plan(w, 2, "same", data_format=layout, algorithm="winograd")
    if path == "x86_v4":
        assert "added up" in plan.explain(x[:1].shape)
    assert "added up" not in plan.explain(x.shape)
    kept = plan(x)
    for threads in (1, 2, 5):
        parts = [plan(x[:1], threads=threads), plan(x[1:3], threads=threads), plan(x[3:])]
        assert np.concatenate(parts).tobytes() == kept.tobytes()


def test_a_form_that_no_phase_takes_is_none():
    """Of a kernel whose results are cropped to one phase of one tap."""
    plan = convtranspose.plan(np.ones((3, 3, 64, 64), "float32"), 2, ((1, 1), (1, 1)))
    assert plan.output_shape((1, 1, 1, 64)) == (1, 1, 1, 64)
    assert "Winograd" not in plan.explain((1, 1, 1, 64))
    assert "Winograd" in plan.explain((1, 20, 20, 64))


def test_winograd_choice_ignores_the_batch():
    plan = convtranspose.plan(np.ones((4, 4, 64, 128), "float32"), 2, "same")
    said = [plan.explain((n, 9, 10, 128)).split(" tasks")[0].rsplit(",", 1)[0] for n in (1, 7, 64)]
    assert len(set(said)) == 1


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "dilation"),
    [
        ((1, 64, 64, 256), (4, 4, 64, 256), 2, 1),
        ((16, 8, 8, 512), (4, 4, 256, 512), 2, 1),
        ((1, 9, 9, 9, 64), (4, 4, 4, 64, 64), 2, 1),
        ((1, 64, 64, 64), (3, 3, 64, 64), 1, 2),
        ((8, 8, 8, 256), (3, 3, 256, 256), 1, 1),
        ((1, 86, 512), (16, 256, 512), 8, 1),
        ((4, 64, 512), (25, 256, 512), 4, 1),
        ((1, 32, 32, 64), (7, 7, 64, 64), 1, 1),
    ],
)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_winograd_workspace_is_small(shape, kernel, stride, dilation, layout):
    if layout == "channels_first":
        shape = (shape[0], shape[-1], *shape[1:-1])
    w = np.zeros(kernel, "float32")
    plan = convtranspose.plan(w, stride, "same", data_format=layout, dilation_rate=dilation)
    assert "Winograd" in plan.explain(shape)
    whole = 4 * (np.prod(shape) + np.prod(kernel) + np.prod(plan.output_shape(shape)))
    assert 0 < plan.workspace_bytes(shape, threads=1) < whole / 4


PROJECTION = [
    # input, kernel (*k, c_out / g, c_in), strides, dilation, padding, groups
    ((2, 61, 24), (25, 1, 24), 4, 1, "same", 1),
    ((1, 3, 67), (3, 2, 67), 1, 2, "valid", 1),
    ((1, 5, 48), (5, 1, 48), 2, 1, ((-3, -7),), 2),
    ((2, 17, 19, 31), (5, 5, 1, 31), 2, 1, "same", 1),
    ((1, 3, 2, 64), (4, 4, 3, 64), 2, 1, ((1, 2), (0, 3)), 1),
    ((1, 41, 130, 24), (3, 4, 1, 24), (1, 3), (5, 2), "same", 1),
    ((1, 5, 7, 11, 32), (3, 3, 3, 1, 32), 2, 1, "same", 1),
    ((1, 4, 3, 5, 64), (4, 2, 4, 3, 64), (2, 3, 1), 1, "valid", 1),
    # lines that are joined to one sum, of one or several channels, with any crop
    ((3, 13, 11, 33), (3, 3, 1, 33), 1, 1, "same", 1),
    ((2, 9, 14, 80), (5, 4, 1, 80), 2, 1, "same", 2),
    ((1, 23, 17, 37), (5, 3, 1, 37), (2, 1), 1, ((3, 4), (0, 2)), 1),
    ((1, 7, 18, 65), (3, 7, 1, 65), (1, 3), (2, 1), ((-2, 3), (4, 0)), 1),
    ((1, 61, 18, 130), (3, 7, 1, 130), (1, 3), (2, 1), ((-9, -7), (4, 0)), 1),
    ((1, 11, 13, 130), (4, 4, 3, 130), 2, 1, "same", 1),
    ((2, 29, 31, 37), (3, 3, 1, 37), 1, (1, 9), "same", 1),
    ((1, 4, 13, 6, 64), (4, 3, 3, 1, 64), (2, 1, 1), 1, "same", 1),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "dilation", "padding", "groups"), PROJECTION)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_projection_is_exact_on_small_integers(
    path, shape, kernel, stride, dilation, padding, groups, layout
):
    rng = np.random.default_rng(6)
    x = rng.integers(-3, 4, shape).astype("float32")
    w = rng.integers(-3, 4, kernel).astype("float32")
    b = rng.integers(-3, 4, kernel[-2] * groups).astype("float32")
    x[0, 1] = np.inf  # must not spread beyond its taps
    with np.errstate(invalid="ignore"):
        want = reference.conv_transpose(
            x, w, stride, padding, dilation_rate=dilation, groups=groups, bias=b
        ).astype("float32")
    if layout == "channels_first":
        x, want = np.ascontiguousarray(np.moveaxis(x, -1, 1)), np.moveaxis(want, -1, 1)
    options = {"bias": b, "groups": groups, "data_format": layout, "dilation_rate": dilation}
    plan = convtranspose.plan(w, stride, padding, **options)
    assert "projection" in plan.explain(x.shape)
    check_on_threads(plan, x, want)


def test_columns_that_no_tap_reaches_hold_the_bias_as_it_is(path):
    bias = np.array([-0.0], "float32")
    plan = convtranspose.plan(np.ones((3, 2, 1, 32), "float32"), (1, 2), ((1, 1), (-1, 1)), bias=bias)
    x = np.ones((1, 9, 11, 32), "float32")
    assert "projection" in plan.explain(x.shape)
    assert np.signbit(plan(x)[:, :, 0]).all()


BITS = [
    # input, kernel (*k, c_out / g, c_in), strides, groups: each method at sizes that cut into many tasks
    ((5, 37, 31, 33), (4, 4, 48, 33), 2, 1),
    ((5, 37, 31, 33), (5, 5, 3, 33), 2, 1),
    ((5, 37, 31, 32), (3, 3, 1, 32), 2, 32),
    ((3, 7, 11, 13, 5), (3, 3, 3, 17, 5), 2, 1),
    ((2, 301, 64), (25, 1, 64), 4, 1),
    ((5, 37, 31, 1), (5, 5, 19, 1), 2, 1),
    ((3, 201, 3), (16, 7, 3), 8, 1),
    ((2, 67, 71, 35), (3, 3, 1, 35), 1, 1),
    ((2, 4001, 40), (6, 1, 40), 4, 40),
]

BITS_WINOGRAD = [
    ((5, 19, 17, 64), (3, 3, 32, 64), 1, 1),
    ((3, 6, 7, 9, 48), (4, 3, 5, 32, 48), 2, 1),
    ((5, 67, 64), (25, 32, 64), 4, 1),
    ((3, 17, 13, 40), (7, 9, 40, 40), 1, 1),
    ((3, 29, 28, 64), (3, 3, 64, 64), 2, 1),
    ((2, 8, 7, 9, 64), (4, 4, 4, 48, 64), 2, 1),  # planar phases of w by turns where memory is short
    ((3, 7, 7, 128), (5, 5, 64, 128), 2, 1),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "groups"), BITS + BITS_WINOGRAD)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_same_bits_for_any_thread_count_and_batch_split(path, shape, kernel, stride, groups, layout):
    rng = np.random.default_rng(1)
    x = rng.standard_normal(shape).astype("float32")
    if layout == "channels_first":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    w = rng.standard_normal(kernel).astype("float32")
    plan = convtranspose.plan(w, stride, "same", data_format=layout, groups=groups)
    one = plan(x, threads=1)
    for threads in (2, 5):
        assert plan(x, threads=threads).tobytes() == one.tobytes()
    parts = np.concatenate([plan(x[:1]), plan(x[1:])])
    assert parts.tobytes() == one.tobytes()

    options = {"strides": stride, "padding": "same", "data_format": layout, "groups": groups}
    adjoint = convtranspose.conv(one, w, threads=1, **options)
    gradient = convtranspose.conv_transpose_kernel_gradient(x, one, w.shape[:-2], threads=1, **options)
    for threads in (2, 5):
        assert convtranspose.conv(one, w, threads=threads, **options).tobytes() == adjoint.tobytes()
        again = convtranspose.conv_transpose_kernel_gradient(x, one, w.shape[:-2], threads=threads, **options)
        assert again.tobytes() == gradient.tobytes()


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 2), (2, 3), (1, (3, 1))])
def test_same_bits_where_taps_are_apart(path, stride, dilation, layout):
    """Strands of one phase are multiplied together, as many as a block of any size has."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 31, 26, 48)).astype("float32")
    if layout == "channels_first":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    w = rng.standard_normal((3, 3, 20, 48)).astype("float32")
    plan = convtranspose.plan(w, stride, "same", data_format=layout, dilation_rate=dilation)
    backward = Plan("adjoint", w, plan.options)
    y, gradient = plan(x, threads=1), backward(plan(x), threads=1)
    for threads in (2, 5):
        assert plan(x, threads=threads).tobytes() == y.tobytes()
        assert backward(y, threads=threads).tobytes() == gradient.tobytes()


# Kernels that are small beside their arrays, whose gradients are cut into slices of positions; one has its
# vectors along the outputs. And groups of whole cache lines, which are tasks of their own; lines and planes
# that no tap joins.
GRADIENTS = [
    ((1, 3001, 32), (4, 16, 32), 2, 1),
    ((3, 61, 67, 35), (2, 3, 3, 35), 2, 1),
    ((3, 61, 67, 5), (3, 3, 32, 5), 2, 1),
    ((2, 401, 96), (5, 16, 96), 3, 6),
    ((3, 21, 19, 40), (3, 2, 33, 40), (5, 4), 1),
    ((1, 5, 6, 7, 32), (1, 2, 2, 16, 32), (3, 3, 2), 1),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "groups"), GRADIENTS)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_kernel_gradients_over_many_positions(path, shape, kernel, stride, groups, layout):
    rng = np.random.default_rng(3)
    size = kernel[:-2]
    y_shape = convtranspose.plan(np.ones(kernel, "float32"), stride, groups=groups).output_shape(shape)
    x, y = (rng.integers(-2, 3, of).astype("float32") for of in (shape, y_shape))
    want = reference.kernel_gradient(x, y, size, stride, groups=groups)
    if layout == "channels_first":
        x, y = (np.ascontiguousarray(np.moveaxis(a, -1, 1)) for a in (x, y))
    options = {"strides": stride, "groups": groups, "data_format": layout}
    for threads in (1, 2, 3, 16):
        out, untouched = guarded(kernel, "float32")
        convtranspose.conv_transpose_kernel_gradient(x, y, size, out=out, threads=threads, **options)
        np.testing.assert_array_equal(out, want)
        assert untouched()
    # Sums that round have the same bits too.
    x, y = (rng.standard_normal(a.shape).astype("float32") for a in (x, y))
    one, *others = (
        convtranspose.conv_transpose_kernel_gradient(x, y, size, threads=threads, **options)
        for threads in (1, 2, 3, 16)
    )
    for other in others:
        assert other.tobytes() == one.tobytes()


@pytest.mark.parametrize(("shape", "kernel", "stride", "groups"), BITS)
def test_float_sums_are_close_to_the_definition(path, shape, kernel, stride, groups):
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal(shape), rng.standard_normal(kernel)
    want = reference.conv_transpose(x, w, stride, groups=groups)
    # Rounding errors of n-term sums grow like sqrt(n): 1e-6 and 1e-15 leave a margin of about ten.
    for dtype, tolerance in (("float32", 1e-6), ("float64", 2e-15)):
        got = convtranspose.conv_transpose(x.astype(dtype), w.astype(dtype), stride, groups=groups)
        exact = (
            want
            if dtype == "float64"
            else reference.conv_transpose(x.astype(dtype), w.astype(dtype), stride, groups=groups)
        )
        assert np.linalg.norm(got - exact) <= tolerance * np.linalg.norm(exact)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("channels", [2, 40])
@pytest.mark.parametrize("size", [(6, 5), (1, 1), (3, 31)])
def test_a_non_finite_weight_stays_where_its_terms_are(path, bad, channels, size):
    x, w = np.ones((1, *size, 3), "float32"), np.ones((3, 3, channels, 3), "float32")
    w[0, 0, 1, 2] = bad
    with np.errstate(invalid="ignore"):
        want = reference.conv_transpose(x, w, 2, "same").astype("float32")
        adjoint = reference.conv(want, w, size, 2, "same").astype("float32")
    np.testing.assert_array_equal(convtranspose.conv_transpose(x, w, 2, "same"), want)
    np.testing.assert_array_equal(convtranspose.plan(w, 2, "same")(x), want)
    np.testing.assert_array_equal(convtranspose.conv(want, w, 2, "same"), adjoint)


@pytest.mark.parametrize("channels", [3, 48, 150])
@pytest.mark.parametrize("shape", [(1, 1, 1, 67), (3, 5, 7, 67), (17, 2, 3, 67), (2, 37, 41, 67)])
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_one_call_has_the_bits_of_the_plan(path, shape, channels, layout):
    rng = np.random.default_rng(6)
    x = rng.standard_normal(shape).astype("float32")
    w = rng.standard_normal((4, 3, channels, shape[-1])).astype("float32")
    if layout == "channels_first":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    options = {"strides": 2, "padding": "same", "data_format": layout, "algorithm": "direct"}
    plan = convtranspose.plan(w, **options)
    want = plan(x)
    for threads in (1, 2, 5):
        assert convtranspose.conv_transpose(x, w, threads=threads, **options).tobytes() == want.tobytes()
    del options["algorithm"]
    auto = convtranspose.conv_transpose(x, w, **options)
    for image in range(len(x)):
        part = convtranspose.conv_transpose(x[image : image + 1], w, threads=2, **options)
        assert part.tobytes() == auto[image : image + 1].tobytes()
    adjoint = Plan("adjoint", w, plan.options, algorithm="direct")(want)
    auto = convtranspose.conv(want, w, **options)
    for threads in (1, 2, 5):
        once = Plan("adjoint", w, plan.options, algorithm="direct", once=True)
        assert once(want, threads=threads).tobytes() == adjoint.tobytes()
        assert convtranspose.conv(want, w, threads=threads, **options).tobytes() == auto.tobytes()


@pytest.mark.parametrize("channels", [1, 40])
def test_a_non_finite_input_stays_where_its_terms_are(path, channels):
    x, w = np.ones((1, 7, 9, 2), "float32"), np.ones((5, 5, channels, 2), "float32")
    x[0, 3, 4, 1] = np.inf
    got = convtranspose.conv_transpose(x, w, 4, "same")
    assert np.isinf(got).sum() == 25 * channels
    assert not np.isnan(got).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("width", [2, 3, 4])
def test_large_aligned_results_are_those_of_any_place(path, layout, dtype, width):
    """Aligned results of megabytes go around the caches."""
    rng = np.random.default_rng(7)
    # Sums of more than a few terms, which hide their stores.
    x = rng.integers(-3, 4, (1, 80, 64, 9) if layout == "channels_last" else (1, 9, 80, 64)).astype(dtype)
    w = rng.integers(-3, 4, (2, width, 128, 9)).astype(dtype)
    plan = convtranspose.plan(w, 2, "same", data_format=layout, algorithm="direct")
    rows = layout == "channels_first" and width != 3  # short sums that share their taps
    assert ("row method" if rows else "channel method") in plan.explain(x.shape)
    out = plan(x)
    assert out.nbytes > 2**23
    assert out.ctypes.data % 64 == 0
    elsewhere = np.empty(out.size + 1, dtype)[1:].reshape(out.shape)
    np.testing.assert_array_equal(plan(x, out=elsewhere, threads=2), out)
    want = reference.conv_transpose(x, w, 2, "same", data_format=layout)
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_large_results_of_forms_are_those_of_any_place(path, layout):
    """What a plan keeps of one call is for arrays of the same alignment only."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((1, 80, 64, 9) if layout == "channels_last" else (1, 9, 80, 64), "float32")
    w = rng.standard_normal((4, 4, 128, 9), "float32")
    plan = convtranspose.plan(w, 2, "same", data_format=layout, algorithm="winograd")
    out = plan(x)
    assert out.nbytes > 2**23
    assert out.ctypes.data % 64 == 0
    elsewhere = np.empty(out.size + 1, "float32")[1:].reshape(out.shape)
    for _ in range(2):
        np.testing.assert_array_equal(plan(x, out=elsewhere), out)
        np.testing.assert_array_equal(plan(x), out)
    want = reference.conv_transpose(x, w, 2, "same", data_format=layout)
    np.testing.assert_allclose(out, want, atol=1e-3)


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "strides", "algorithm"),
    [
        ((2, 64, 96, 20), (3, 3, 64, 20), 2, "winograd"),  # some phases are direct sums
        ((140, 1, 6, 16), (24, 24, 128, 16), 24, "direct"),  # lines of too many images for a buffer
    ],
)
def test_large_results_may_lie_in_another_order(path, x_shape, w_shape, strides, algorithm):
    """Channels of aligned results that are no neighbours do not go around the caches by vectors."""
    rng = np.random.default_rng(7)
    x, w = rng.standard_normal(x_shape, "float32"), rng.standard_normal(w_shape, "float32")
    plan = convtranspose.plan(w, strides, "same", algorithm=algorithm)
    want = plan(x)
    n, height, width, channels = want.shape
    memory = np.empty(want.size + 16, "float32")
    start = -memory.ctypes.data % 64 // 4
    planes = memory[start : start + want.size].reshape(n, channels, height, width)
    out = planes.transpose(0, 2, 3, 1)
    plan(x, out=out)
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("kernel", "channels", "groups", "strides", "sizes", "padding", "batch"),
    [
        ((40, 40), (21, 21), 1, 8, (5, 13), "valid", 1),
        ((40, 40), (21, 21), 1, 8, (3, 17), "same", 2),  # lines with halos
        ((40, 40), (5, 40), 1, 3, (4, 30), ((50, -3), (0, 13)), 1),  # results that no tap reaches, two panels
        ((64, 48), (7, 8), 1, (2, 3), (9, 14), "same", 1),  # runs longer than the stride, which share lines
        ((64, 48), (8, 8), 1, (16, 3), (5, 140), "same", 2),  # and shorter ones; lines in pieces
        ((1, 64, 48), (7, 8), 1, (1, 2, 3), (5, 9, 14), ((2, 2), (0, 0), (0, 0)), 1),  # no source in front
        ((33, 20), (48, 40), 2, (9, 4), (2, 15), "same", 1),
        ((9, 10, 8), (24, 33), 1, (2, 3, 4), (3, 2, 9), "valid", 1),
    ],
)
def test_long_sums_are_added_in_runs(path, layout, kernel, channels, groups, strides, sizes, padding, batch):
    """Taps of more weights than a second cache holds pass the tiles run by run, which changes no bit."""
    rng = np.random.default_rng(23)
    c_out, c_in = channels
    w = rng.integers(-3, 4, (*kernel, c_out // groups, c_in)).astype("float32")
    options = {"strides": strides, "padding": padding, "data_format": layout, "groups": groups}
    forward = convtranspose.plan(w, algorithm="direct", **options)
    at = 1 if layout == "channels_last" else 2
    x_shape = (batch, *sizes, c_in) if at == 1 else (batch, c_in, *sizes)
    dy = rng.integers(-3, 4, forward.output_shape(x_shape)).astype("float32")
    adjoint = Plan("adjoint", w, forward.options, algorithm="direct")
    want = reference.conv(dy, w, sizes, **options).astype("float32")
    check_on_threads(adjoint, dy, want)

    # Sums that are rounded: a result alone has the bits that it has among others.
    dy = rng.standard_normal(dy.shape, "float32")
    whole = adjoint(dy)
    check_on_threads(adjoint, dy, whole)
    for n in range(batch):
        np.testing.assert_array_equal(adjoint(dy[n : n + 1]), whole[n : n + 1])
    if padding == "valid":
        step, extent = np.atleast_1d(strides)[0], kernel[0]
        rows = tuple(slice(None) if axis != at else slice(step, step + extent) for axis in range(dy.ndim))
        first = tuple(slice(None) if axis != at else slice(1, 2) for axis in range(dy.ndim))
        np.testing.assert_array_equal(adjoint(np.ascontiguousarray(dy[rows])), whole[first])


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("part", "kernel", "channels", "stride", "size", "padding"),
    [
        ("adjoint", 64, (8, 8), 16, 16, "same"),  # windows of all taps would be half of it
        ("adjoint", 72, (1, 32), 1, 300, "valid"),  # sums that go on, of all results
        ("forward", 4, (21, 21), 2, 34, "valid"),
        ("adjoint", 3, (64, 64), 2, 7, "same"),
    ],
)
def test_workspace_of_direct_sums(path, layout, part, kernel, channels, stride, size, padding):
    w = np.ones((kernel, kernel, *channels), "float32")
    forward = convtranspose.plan(w, stride, padding, data_format=layout)
    at = 1 if layout == "channels_last" else 2
    x_shape = (1, size, size, channels[1]) if at == 1 else (1, channels[1], size, size)
    y_shape = forward.output_shape(x_shape)
    arrays = 4 * (np.prod(x_shape) + np.prod(y_shape)) + w.nbytes
    plan = Plan(part, w, forward.options, algorithm="direct")
    for threads in (1, 2):
        assert plan.workspace_bytes(x_shape if part == "forward" else y_shape, threads=threads) < arrays / 4


@pytest.mark.parametrize("channels", range(2, 18))
def test_few_planes_become_channels(path, channels):
    rng = np.random.default_rng(channels)
    x = rng.integers(-3, 4, (2, channels, 5, 37)).astype("float32")
    w = rng.integers(-3, 4, (3, 3, 33, channels)).astype("float32")
    plan = convtranspose.plan(w, 2, "same", data_format="channels_first", algorithm="direct")
    want = reference.conv_transpose(x, w, 2, "same", data_format="channels_first")
    check_on_threads(plan, x, want.astype("float32"))
    assert "channel method" in plan.explain(x.shape)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("kernel", "height", "padding"),
    [((1, 2, 2), 32, "valid"), ((1, 1, 4), 29, ((0, 0), (0, 0), (1, -2)))],  # 32: planes share cache sets
)
def test_sources_that_no_cache_holds(path, layout, kernel, height, padding):
    """Tasks fetch what the next one will read, and copy no more lines than the taps read."""
    rng = np.random.default_rng(11)
    strides = (1, 2, 3)
    x_shape = (2, 3, height, 64, 32)
    w = rng.integers(-3, 4, (*kernel, 40, 32)).astype("float32")
    options = {"strides": strides, "padding": padding, "data_format": layout}
    if layout == "channels_first":
        x_shape = (2, 32, 3, height, 64)
    x = rng.integers(-3, 4, x_shape).astype("float32")
    plan = convtranspose.plan(w, algorithm="direct", **options)
    want = reference.conv_transpose(x, w, **options)
    check_on_threads(plan, x, want)
    y = rng.integers(-3, 4, want.shape).astype("float32")
    assert y.nbytes > 2**22
    sizes = x.shape[2:] if layout == "channels_first" else x.shape[1:-1]
    back = reference.conv(y, w, sizes, **options)
    adjoint = Plan("adjoint", w, plan.options)
    assert "channel method" in adjoint.explain(y.shape)
    check_on_threads(adjoint, y, back)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_non_finite_gradient_stays_where_its_terms_are(path, channels, bad):
    """Lines of the source are read in whole vectors: what lies behind them must not count."""
    y, w = np.ones((1, 11, 37, 3), "float32"), np.ones((3, 5, 3, channels), "float32")
    y[0, 5, 17, 1] = bad
    plan = convtranspose.plans.Plan("adjoint", w, convtranspose.plan(w, 1, "same").options)
    got = plan(y)
    with np.errstate(invalid="ignore"):
        want = reference.conv(y, w, (11, 37), 1, "same")
    np.testing.assert_array_equal(got, want.astype("float32"))


def test_few_destination_channels_take_the_dot_method(path):
    w = np.ones((5, 5, 16, 1), "float32")
    plan = convtranspose.plans.Plan("adjoint", w, convtranspose.plan(w, 2, "same").options)
    assert "dot method" in plan.explain((1, 18, 18, 16))


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_short_sums_leave_the_vectors_of_few_channels_sooner(path, layout):
    """13 output channels leave a fifth of their vectors empty on every path."""
    for inputs, method in ((16, "row method"), (96, "channel method")):
        w = np.arange(9 * 13 * inputs).reshape(3, 3, 13, inputs).astype("float32") % 7 - 3
        plan = convtranspose.plan(w, 2, "same", data_format=layout, algorithm="direct")
        shape = (2, 9, 11, inputs) if layout == "channels_last" else (2, inputs, 9, 11)
        assert method in plan.explain(shape)
        x = np.arange(int(np.prod(shape))).reshape(shape).astype("float32") % 5 - 2
        np.testing.assert_array_equal(plan(x), reference.conv_transpose(x, w, 2, "same", data_format=layout))


def test_short_rows_of_many_images_share_tiles_on_every_path(path):
    plan = convtranspose.plan(np.ones((3, 3, 64, 64), "float32"), 2, "same", algorithm="direct")
    assert "along the batch" in plan.explain((32, 7, 7, 64))
    assert "along the last axis" in plan.explain((32, 7, 31, 64))
