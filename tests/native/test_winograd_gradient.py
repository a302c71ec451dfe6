"""Kernel gradients with fewer multiplications."""

from __future__ import annotations

import numpy as np
import pytest

import convtranspose
from convtranspose import reference

# inputs (n, ..., c_in), taps, c_out, strides, padding, dilation, groups: phases of two to five taps, of
# different lengths and none at all, strands of dilated taps, crops, tiles that images do not fill, chunks of
# channels, several boxes, slices of a small kernel, one and three axes.
PROBLEMS = [
    ((2, 11, 13, 37), (4, 4), 41, 2, "same", 1, 1),
    ((3, 7, 5, 64), (3, 3), 67, 2, "same", 1, 1),
    ((9, 7, 7, 83), (5, 5), 33, 1, "same", 1, 1),
    ((1, 17, 19, 32), (3, 3), 32, 1, "valid", 1, 1),
    ((1, 13, 11, 33), (4, 3), 34, (1, 2), ((2, 0), (-1, 3)), 1, 1),
    ((2, 9, 7, 64), (5, 3), 70, (2, 3), ((4, 5), (0, 1)), 1, 2),
    ((1, 14, 17, 32), (3, 3), 32, 1, "same", (2, 3), 1),
    ((1, 11, 9, 35), (3, 4), 32, 2, "same", (2, 3), 1),
    ((2, 3, 5, 7, 32), (3, 4, 2), 33, (1, 2, 1), "same", 1, 1),
    ((1, 5, 4, 6, 32), (4, 4, 4), 32, 2, "same", 1, 1),
    ((2, 131, 32), (9,), 32, 3, "same", 1, 1),
    ((4, 1201, 32), (4,), 32, 2, "valid", 1, 1),
]


def arrays(problem, data_format):
    shape, taps, c_out, strides, padding, dilation, groups = problem
    options = {
        "strides": strides,
        "padding": padding,
        "dilation_rate": dilation,
        "groups": groups,
        "data_format": data_format,
    }
    if data_format == "channels_first":
        shape = (shape[0], shape[-1], *shape[1:-1])
    kernel = np.ones((*taps, c_out // groups, problem[0][-1]), "float32")
    rng = np.random.default_rng(11)
    out = convtranspose.plan(kernel, **options).output_shape(shape)
    return rng.standard_normal(shape), rng.standard_normal(out), taps, options


def gradient(x, y, taps, options, **more):
    return convtranspose.conv_transpose_kernel_gradient(x, y, taps, **options, **more)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_gradient_is_the_definition_but_for_rounding(path, problem, data_format):
    x, y, taps, options = arrays(problem, data_format)
    want = reference.kernel_gradient(x, y, taps, **options)
    scale = np.sqrt(np.mean(want**2))
    got = gradient(x, y, taps, options, algorithm="winograd")
    assert got.tobytes() != gradient(x, y, taps, options, algorithm="direct").tobytes()  # it was used
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-13 * scale)
    narrow = x.astype("float32"), y.astype("float32")
    want = reference.kernel_gradient(*(a.astype("float64") for a in narrow), taps, **options)
    errors = {
        algorithm: np.sqrt(np.mean((gradient(*narrow, taps, options, algorithm=algorithm) - want) ** 2))
        for algorithm in ("direct", "winograd")
    }
    assert errors["winograd"] <= 4 * errors["direct"]


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_bits_do_not_depend_on_the_threads(path, problem, data_format):
    x, y, taps, options = arrays(problem, data_format)
    x, y = x.astype("float32"), y.astype("float32")
    one, *others = (
        gradient(x, y, taps, options, threads=threads, algorithm="winograd") for threads in (1, 2, 5)
    )
    for other in others:
        assert other.tobytes() == one.tobytes()


def test_direct_adds_every_term_and_automatic_takes_fewer(path):
    """Sums of small whole numbers are exact, whatever their order."""
    rng = np.random.default_rng(3)
    x, y = (rng.integers(-2, 3, (2, 24, 24, 64)).astype("float32") for _ in range(2))
    options = {"padding": "same"}
    want = reference.kernel_gradient(x, y, (3, 3), **options)
    np.testing.assert_array_equal(gradient(x, y, (3, 3), options, algorithm="direct"), want)
    x, y = x / 7, y / 7
    direct = gradient(x, y, (3, 3), options, algorithm="direct")
    automatic = gradient(x, y, (3, 3), options)
    assert automatic.tobytes() == gradient(x, y, (3, 3), options, algorithm="winograd").tobytes()
    assert automatic.tobytes() != direct.tobytes()
    np.testing.assert_allclose(automatic, direct, rtol=0, atol=3e-6 * np.abs(direct).max())


@pytest.mark.parametrize("taps", [(2, 2), (3, 1)])
def test_kernels_without_a_form_are_summed_directly(path, taps):
    """One tap per phase, or fewer channels than a point pays for."""
    x, y = np.ones((1, 5, 7, 32), "float32"), np.ones((1, 10, 14, 32 if taps == (2, 2) else 8), "float32")
    options = {"strides": 2, "padding": "same"}
    got = gradient(x, y, taps, options, algorithm="winograd")
    np.testing.assert_array_equal(got, reference.kernel_gradient(x, y, taps, **options))


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_halves_are_multiplied_as_float32(path, half):
    dtype = np.dtype("float16") if half == "float16" else pytest.importorskip("ml_dtypes").bfloat16
    x, y, taps, options = arrays(PROBLEMS[0], "channels_last")
    x, y = x.astype(dtype), y.astype(dtype)
    got = gradient(x, y, taps, options, algorithm="winograd").astype("float64")
    want = reference.kernel_gradient(x.astype("float64"), y.astype("float64"), taps, **options)
    np.testing.assert_allclose(got, want, rtol=0.01, atol=1e-3 * np.abs(want).max())


def test_only_the_arrays_are_read(path):
    """Tiles reach beyond images, and what lies behind the arrays would show in every sum."""
    memory = np.full(2 * 5 * 7 * 33 + 2 * 64, np.nan, "float32")
    x = memory[64:-64].reshape(2, 5, 7, 33)
    x[...] = 1
    outside = np.full(2 * 10 * 14 * 35 + 2 * 64, np.nan, "float32")
    y = outside[64:-64].reshape(2, 10, 14, 35)
    y[...] = 1
    options = {"strides": 2, "padding": "same"}
    got = gradient(x, y, (4, 4), options, threads=1, algorithm="winograd")
    np.testing.assert_allclose(got, reference.kernel_gradient(x, y, (4, 4), **options), rtol=1e-5)
    first = {**options, "data_format": "channels_first"}
    x, y = x.reshape(2, 33, 5, 7), y.reshape(2, 35, 10, 14)
    got = gradient(x, y, (4, 4), first, threads=1, algorithm="winograd")
    np.testing.assert_allclose(got, reference.kernel_gradient(x, y, (4, 4), **first), rtol=1e-5)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_number_that_is_not_finite_stays_with_its_channels(path, bad):
    """It may spread among the taps, but not to the sums of other channels of either side."""
    x, y = np.ones((2, 5, 7, 35), "float32"), np.ones((2, 10, 14, 33), "float32")
    options = {"strides": 2, "padding": "same", "algorithm": "winograd"}
    clean = gradient(x, y, (4, 4), options)
    x[1, 4, 6, 3] = bad
    got = gradient(x, y, (4, 4), options)
    assert not np.isfinite(got[1, 1, :, 3]).any()
    others = [c for c in range(35) if c != 3]
    np.testing.assert_array_equal(got[..., others], clean[..., others])
    x[1, 4, 6, 3] = 1
    y[0, 4, 4, 0] = bad
    got = gradient(x, y, (4, 4), options)
    assert not np.isfinite(got[1, 1, 0]).any()
    np.testing.assert_array_equal(got[:, :, 1:], clean[:, :, 1:])


def test_algorithm_is_checked():
    x, y = np.ones((1, 3, 4), "float32"), np.ones((1, 6, 4), "float32")
    with pytest.raises(ValueError, match=r"algorithm must be 'auto', 'direct' or 'winograd'\. Got 'fft'"):
        gradient(x, y, 2, {"strides": 2}, algorithm="fft")
