"""Layers of one channel per group: each compiled size and stride, every border, both formats."""

import numpy as np
import pytest

import convtranspose
from convtranspose import plans, reference

# What kernels exist for, and what falls to the general ones: a gap, no overlap, dilation, other axes.
KERNELS = [
    # kernel, strides, dilation
    ((3, 3), 1, 1),
    ((5, 5), 1, 1),
    ((7, 7), 1, 1),
    ((2, 2), 2, 1),
    ((3, 3), 2, 1),
    ((4, 4), 2, 1),
    ((5, 5), 2, 1),
    ((2, 5), (1, 2), 1),
    ((3, 8), (2, 4), 1),
    ((6,), 4, 1),
    ((3, 3), 1, (2, 3)),
    ((3, 2), (2, 3), 1),
    ((2, 3), 2, (1, 3)),
    ((3, 4, 4), (1, 2, 2), 1),
    ((2, 3, 3), (3, 1, 1), (2, 1, 1)),
    ((2, 32), (1, 16), 1),
    ((35,), 12, 1),
]
PADDINGS = ["valid", "same", "wide", "deep"]


def crop(padding, rank):
    """`wide` keeps columns that no tap reaches, `deep` leaves out whole samples."""
    return {"wide": ((-7, -9),) * rank, "deep": ((2, 1),) * rank}.get(padding, padding)


def arrays(kernel, strides, dilation, padding, layout, channels, dtype, sizes):
    """Small whole numbers, their destinations by the definition, and the options."""
    rng = np.random.default_rng(channels + len(kernel))
    rank = len(kernel)
    options = {"strides": strides, "padding": crop(padding, rank), "dilation_rate": dilation}
    options |= {"groups": channels, "data_format": layout}
    shape = (2, channels, *sizes) if layout == "channels_first" else (2, *sizes, channels)
    x = rng.integers(-3, 4, shape).astype(dtype)
    w = rng.integers(-3, 4, (*kernel, 1, channels)).astype(dtype)
    b = rng.integers(-3, 4, channels).astype(dtype)
    return x, w, b, options


def marked(shape, dtype):
    """An array between two stretches of a mark, and those."""
    memory = np.full(int(np.prod(shape)) + 128, 7.25, dtype)
    return memory[64:-64].reshape(shape), (memory[:64], memory[-64:])


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("kernel", "strides", "dilation"), KERNELS)
def test_every_border_is_the_definition(path, kernel, strides, dilation, layout):
    for number, padding in enumerate(PADDINGS):
        # One vector or several, with and without a rest, on either side of the sizes of a tile.
        for channels, last in ((3, 43), (19, 5), (33, 2)):
            sizes = (*(2, 7)[: len(kernel) - 1], last) if len(kernel) > 1 else (last,)
            dtype = ("float32", "float64")[(number + channels) % 2]
            x, w, b, options = arrays(kernel, strides, dilation, padding, layout, channels, dtype, sizes)
            y = reference.conv_transpose(x, w, **options)
            y = y + (b if layout == "channels_last" else b.reshape(-1, *[1] * len(kernel)))
            out, marks = marked(y.shape, dtype)
            convtranspose.conv_transpose(x, w, bias=b, out=out, threads=1 + number, **options)
            np.testing.assert_array_equal(out, y, err_msg=f"{padding}, {channels} channels")
            assert all((mark == 7.25).all() for mark in marks)

            want = reference.conv(y, w, sizes, **options)
            out, marks = marked(want.shape, dtype)
            convtranspose.conv(y.astype(dtype), w, out=out, threads=1 + number, **options)
            np.testing.assert_array_equal(out, want, err_msg=f"adjoint, {padding}, {channels} channels")
            assert all((mark == 7.25).all() for mark in marks)

            y = np.rint(y / 16).astype(dtype)
            want = reference.kernel_gradient(x, y, kernel, **options)
            out, marks = marked(want.shape, dtype)
            gradient = convtranspose.conv_transpose_kernel_gradient
            gradient(x, y, kernel, out=out, threads=1 + number, **options)
            np.testing.assert_array_equal(out, want, err_msg=f"kernel, {padding}, {channels} channels")
            assert all((mark == 7.25).all() for mark in marks)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 2), (1, 3), (4, 1), (2, 1)])
@pytest.mark.parametrize(("kernel", "strides"), [((3, 3), 1), ((4, 4), 2), ((3, 2, 6), 4)])
def test_one_channel_on_one_side(path, kernel, strides, inputs, outputs, layout):
    rng = np.random.default_rng(inputs)
    sizes = (3, 5, 19)[-len(kernel) :]
    options = {"strides": strides, "padding": "same", "groups": 5, "data_format": layout}
    c = 5 * inputs
    shape = (2, c, *sizes) if layout == "channels_first" else (2, *sizes, c)
    x = rng.integers(-3, 4, shape).astype("float32")
    w = rng.integers(-3, 4, (*kernel, outputs, c)).astype("float32")
    b = rng.integers(-3, 4, 5 * outputs).astype("float32")
    plan = convtranspose.plan(w, bias=b, **options)
    assert layout == "channels_last" or "depthwise method" in plan.explain(shape)
    y = reference.conv_transpose(x, w, **options)
    per_channel = b if layout == "channels_last" else b.reshape(-1, *[1] * len(kernel))
    np.testing.assert_array_equal(plan(x, threads=3), y + per_channel)
    y = np.rint(y / 16).astype("float32")
    adjoint = plans.Plan("adjoint", w, plan.options)
    assert "depthwise method" in adjoint.explain(y.shape) or (layout == "channels_last" and outputs == 1)
    np.testing.assert_array_equal(adjoint(y, threads=3), reference.conv(y, w, sizes, **options))
    gradient = convtranspose.conv_transpose_kernel_gradient(x, y, kernel, threads=3, **options)
    np.testing.assert_array_equal(gradient, reference.kernel_gradient(x, y, kernel, **options))

    # The same bits for any threads and split of the batch.
    x = rng.standard_normal(x.shape).astype("float32")
    one = plan(x, threads=1)
    assert plan(x, threads=5).tobytes() == one.tobytes()
    assert np.concatenate([plan(x[:1]), plan(x[1:])]).tobytes() == one.tobytes()
    back = adjoint(one, threads=1)
    assert adjoint(one, threads=5).tobytes() == back.tobytes()
    assert np.concatenate([adjoint(one[:1]), adjoint(one[1:])]).tobytes() == back.tobytes()
    apart = np.stack([one, one], -1)[..., 0]  # memory in an order that no kernel has
    np.testing.assert_allclose(adjoint(apart), back, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 1), (3, 2), (4, 2), (5, 1), (5, 2)])
def test_one_source_plane_gives_every_output(path, kernel, stride):
    rng = np.random.default_rng(kernel)
    layer = {"strides": stride, "data_format": "channels_first"}
    for outputs, height, width in ((5, 7, 43), (1, 11, 16), (19, 2, 5)):
        x = rng.integers(-3, 4, (2, 1, height, width)).astype("float32")
        w = rng.integers(-3, 4, (kernel, kernel, outputs, 1)).astype("float32")
        b = rng.integers(-3, 4, outputs).astype("float32")
        for padding in ("valid", "same", ((0, 1), (1, 0)), ((2, 1), (1, 2)), ((-3, -2), (-5, -4))):
            plan = convtranspose.plan(w, bias=b, padding=padding, **layer)
            assert "depthwise method" in plan.explain(x.shape)
            y = reference.conv_transpose(x, w, padding=padding, **layer) + b.reshape(-1, 1, 1)
            out, marks = marked(y.shape, "float32")
            plan(x, out=out, threads=3)
            np.testing.assert_array_equal(out, y, err_msg=f"{padding}, {outputs} outputs")
            assert all((mark == 7.25).all() for mark in marks)

    w = rng.standard_normal((kernel, kernel, 7, 1)).astype("float32")
    x = rng.standard_normal((2, 1, 29, 37)).astype("float32")
    plan = convtranspose.plan(w, padding="same", **layer)
    one = plan(x, threads=1)
    assert plan(x, threads=5).tobytes() == one.tobytes()
    assert np.concatenate([plan(x[:1]), plan(x[1:])]).tobytes() == one.tobytes()
    for crop in (1, 2):  # the terms of a sample do not depend on where its line begins
        cut = convtranspose.plan(w, padding=((crop, crop),) * 2, **layer)(x)
        full = convtranspose.plan(w, padding="valid", **layer)(x)
        assert cut.tobytes() == full[..., crop:-crop, crop:-crop].tobytes()


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("channels", [3, 35])
@pytest.mark.parametrize(("kernel", "strides", "dilation"), KERNELS)
def test_same_bits_however_the_work_is_cut(path, kernel, strides, dilation, layout, channels):
    sizes = (3, 11, 37)[-len(kernel) :]
    x, w, _, options = arrays(kernel, strides, dilation, "same", layout, channels, "float32", sizes)
    rng = np.random.default_rng(6)
    x, w = (rng.standard_normal(a.shape).astype("float32") for a in (x, w))
    one = convtranspose.conv_transpose(x, w, threads=1, **options)
    back = convtranspose.conv(one, w, threads=1, **options)
    gradient = convtranspose.conv_transpose_kernel_gradient
    dw = gradient(x, one, kernel, threads=1, **options)
    for threads in (2, 5):
        assert gradient(x, one, kernel, threads=threads, **options).tobytes() == dw.tobytes()
        assert convtranspose.conv_transpose(x, w, threads=threads, **options).tobytes() == one.tobytes()
        assert convtranspose.conv(one, w, threads=threads, **options).tobytes() == back.tobytes()
    halves = [convtranspose.conv_transpose(part, w, **options) for part in (x[:1], x[1:])]
    assert np.concatenate(halves).tobytes() == one.tobytes()
    # Memory in another order takes another method, which must add in the same order.
    axis = 1 if layout == "channels_first" else -1
    other = np.ascontiguousarray(np.moveaxis(x, axis, -1 if axis == 1 else 1))
    other = np.moveaxis(other, -1 if axis == 1 else 1, axis)
    assert convtranspose.conv_transpose(other, w, **options).tobytes() == one.tobytes()


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 2), (5, 2), (8, 4), (6, 3)])
def test_infinities_stay_where_their_terms_are(path, kernel, stride, layout):
    x = np.ones((1, 9, 41, 20), "float32")
    x[0, 0, 0, 3] = x[0, 8, 40, 19] = np.inf
    x[0, 4, 17, 0] = np.nan
    w = np.ones((kernel, kernel, 1, 20), "float32")
    options = {"strides": stride, "padding": "same", "groups": 20, "data_format": layout}
    if layout == "channels_first":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    y = convtranspose.conv_transpose(x, w, **options)
    np.testing.assert_array_equal(y, reference.conv_transpose(x, w, **options))
    np.testing.assert_array_equal(
        convtranspose.conv(y, w, **options), reference.conv(y, w, (9, 41), **options)
    )
    for a, b in ((x, np.ones_like(y)), (np.ones_like(x), y)):
        np.testing.assert_array_equal(
            convtranspose.conv_transpose_kernel_gradient(a, b, (kernel, kernel), **options),
            reference.kernel_gradient(a, b, (kernel, kernel), **options),
        )


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("channels", [3, 48])
def test_the_workspace_is_small(path, layout, channels):
    shape = (2, 56, 57, channels) if layout == "channels_last" else (2, channels, 56, 57)
    w = np.ones((4, 4, 1, channels), "float32")
    plan = convtranspose.plan(w, 2, "same", groups=channels, data_format=layout)
    assert "depthwise" in plan.explain(shape)
    arrays = 4 * (int(np.prod(shape)) + int(np.prod(plan.output_shape(shape))) + w.size)
    assert plan.workspace_bytes(shape) < arrays / 4


def test_large_windows_are_read_where_they_lie(path):
    """The adjoint of an upsampling: inside of the array nothing is copied, and borders give the same bits."""
    rng = np.random.default_rng(8)
    w = rng.standard_normal((32, 32, 1, 3)).astype("float32")
    layer = {"strides": 16, "groups": 3, "data_format": "channels_first"}
    y = rng.standard_normal((1, 3, 9 * 16 + 16, 7 * 16 + 16)).astype("float32")
    inside = plans.Plan("adjoint", w, convtranspose.plan(w, padding="valid", **layer).options)
    assert "dot method" in inside.explain(y.shape)
    assert inside.workspace_bytes(y.shape) == 0
    many = convtranspose.plan(np.ones((32, 32, 1, 21)), 16, groups=21, data_format="channels_first")
    assert "dot method" in plans.Plan("adjoint", np.ones((32, 32, 1, 21), "f4"), many.options).explain(
        (1, 21, 160, 128)
    )
    want = inside(y)
    np.testing.assert_allclose(
        want, reference.conv(y.astype("float64"), w.astype("float64"), (9, 7), **layer), rtol=0, atol=2e-4
    )
    inner = y[:, :, 16:-16, 16:-16]  # needs copies now, of windows that lose what is zero in the other
    zeros = np.zeros_like(y)
    zeros[:, :, 16:-16, 16:-16] = inner
    bordered = convtranspose.conv(inner, w, **(layer | {"padding": ((16, 16), (16, 16))}))
    assert bordered.tobytes() == inside(zeros).tobytes()


@pytest.mark.parametrize("channels", [2, 3])
def test_narrow_layers_in_any_memory(path, channels):
    """Channels that are not neighbours, and positions with a gap between them."""
    x, w, b, options = arrays((4, 4), 2, 1, "same", "channels_last", channels, "float32", (7, 43))
    want = reference.conv_transpose(x, w, **options) + b
    wide = np.full((*want.shape[:-1], 2 * channels + 1), 7.25, "float32")
    for out in (wide[..., :channels], wide[..., 1::2]):
        wide[...] = 7.25
        convtranspose.conv_transpose(x, w, bias=b, out=out, **options)
        np.testing.assert_array_equal(out, want)
        assert (wide == 7.25).sum() >= (channels + 1) * want[..., 0].size


def test_results_beyond_the_caches_are_those_of_any_place(path):
    """Aligned results of many megabytes go around the caches; others cannot."""
    rng = np.random.default_rng(3)
    x = rng.integers(-3, 4, (1, 92, 91, 128)).astype("float32")
    plan = convtranspose.plan(rng.integers(-3, 4, (4, 4, 1, 128)).astype("float32"), 2, "same", groups=128)
    out = plan(x)
    assert out.nbytes > 12 * 2**20
    elsewhere = np.empty(out.size + 1, "float32")[1:].reshape(out.shape)
    np.testing.assert_array_equal(plan(x, out=elsewhere, threads=2), out)


@pytest.mark.parametrize(("kernel", "stride", "width"), [(5, 2, 96), (3, 1, 192)])
def test_planes_beyond_the_caches_are_those_of_any_place(path, kernel, stride, width):
    rng = np.random.default_rng(4)
    x = rng.integers(-3, 4, (1, 1, 192 // stride, width)).astype("float32")
    w = rng.integers(-3, 4, (kernel, kernel, 96, 1)).astype("float32")
    plan = convtranspose.plan(w, stride, "same", data_format="channels_first")
    shape = plan.output_shape(x.shape)
    memory = np.empty(int(np.prod(shape)) + 17, "float32")
    start = -memory.ctypes.data % 64 // 4
    assert memory.nbytes > 12 * 2**20
    aligned = memory[start : start + int(np.prod(shape))].reshape(shape)
    plan(x, out=aligned)
    elsewhere = np.empty(aligned.size + 17, "float32")[start + 1 : start + 1 + aligned.size].reshape(shape)
    np.testing.assert_array_equal(plan(x, out=elsewhere, threads=2), aligned)
    few = reference.conv_transpose(x, w[:, :, :3], stride, "same", data_format="channels_first")
    np.testing.assert_array_equal(aligned[:, :3], few)


@pytest.mark.parametrize(
    ("kernel", "stride", "channels", "sizes"),
    [((4, 4), 2, 300, (21, 22)), ((2, 3), 3, 300, (21, 22)), ((4, 4, 4), 2, 80, (5, 14, 14))],
)
def test_many_small_planes_are_those_of_each_image(path, kernel, stride, channels, sizes):
    """Megabytes of planes leave the caches whole, and are fetched before they are read; an image is none."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((6, channels, *sizes)).astype("float32")
    w = rng.standard_normal((*kernel, 1, channels)).astype("float32")
    plan = convtranspose.plan(w, stride, "same", groups=channels, data_format="channels_first")
    adjoint = plans.Plan("adjoint", w, plan.options)
    out, marks = marked(plan.output_shape(x.shape), "float32")
    assert out.nbytes > 12 * 2**20
    for threads in (1, 2):
        out[...] = 7.25
        plan(x, out=out, threads=threads)
        assert out.tobytes() == b"".join(plan(image[None]).tobytes() for image in x)
        assert all((mark == 7.25).all() for mark in marks)
        back = adjoint(out, threads=threads)
        assert back.tobytes() == b"".join(adjoint(image[None]).tobytes() for image in out)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("kernel", "strides", "sizes"),
    [
        ((3, 3), 1, (83, 41)),
        ((7, 7), 1, (43, 41)),
        ((2, 2), 2, (43, 41)),
        ((3, 3), 2, (43, 41)),
        ((4, 4), 2, (43, 41)),
        ((5, 5), 2, (42, 41)),
        ((8, 8), 4, (23, 31)),
        ((4, 4), 2, (1, 300)),
        ((3, 3), 1, (1, 300)),
        ((4, 4, 4), 2, (7, 11, 13)),
        ((3, 4, 4), (1, 2, 2), (9, 11, 13)),
        ((3, 3, 3), 1, (9, 41, 13)),
    ],
)
def test_rows_of_several_lines_and_tasks(path, kernel, strides, sizes, layout):
    """Lines that share their rows with neighbours, some of which another task computes."""
    for number, padding in enumerate(PADDINGS):
        channels, dtype = (48, 144)[number % 2], ("float32", "float64")[number // 2]
        x, w, _, options = arrays(kernel, strides, 1, padding, layout, channels, dtype, sizes)
        y = reference.conv_transpose(x, w, **options).astype(dtype)
        back = reference.conv(y, w, sizes, **options)
        for threads in (1, 2, 5):
            for transform, source, want in (
                (convtranspose.conv_transpose, x, y),
                (convtranspose.conv, y, back),
            ):
                out, marks = marked(want.shape, dtype)
                transform(source, w, out=out, threads=threads, **options)
                np.testing.assert_array_equal(out, want, err_msg=padding)
                assert all((mark == 7.25).all() for mark in marks)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_many_planes_meet_in_a_sum(path, layout):
    """More rows per line than the plane kernels keep the weights of."""
    x, w, _, options = arrays((6, 3, 3), 1, 1, "same", layout, 3, "float32", (7, 5, 37))
    y = reference.conv_transpose(x, w, **options)
    np.testing.assert_array_equal(convtranspose.conv_transpose(x, w, **options), y)
    back = convtranspose.conv(y.astype("float32"), w, **options)
    np.testing.assert_array_equal(back, reference.conv(y, w, (7, 5, 37), **options))


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("kernel", "strides", "sizes"), [((4, 4), 2, (113, 224)), ((3, 3), 1, (226, 448))])
def test_a_large_result(path, layout, kernel, strides, sizes):
    """Several times the caches, lines whole: where the path can it stores around them."""
    x, w, b, options = arrays(kernel, strides, 1, "same", layout, 16, "float32", sizes)
    y = reference.conv_transpose(x, w, **options)
    y = y + (b if layout == "channels_last" else b.reshape(-1, 1, 1))
    plan = convtranspose.plan(w, bias=b, **options)
    for threads in (1, 2):
        np.testing.assert_array_equal(plan(x, threads=threads), y)
