"""The row method's Winograd forms along h: tiles of lines, on every path."""

import numpy as np
import pytest

import convtranspose
from convtranspose import reference

CASES = [
    # inputs, kernel, strides, form: every number of taps, tiles that the image does not fill
    ((2, 11, 37, 33), (9, 9, 1, 33), 3, "F(4,3)"),
    ((1, 7, 19, 33), (4, 9, 3, 33), (1, 3), "F(3,4)"),
    ((1, 5, 6, 21), (16, 16, 21, 21), 8, "F(3,2)"),
    ((1, 1, 1, 21), (9, 10, 11, 21), 5, "F(3,2)"),
    ((2, 13, 35, 23), (9, 9, 3, 23), (3, 2), "F(2,3)"),
    ((1, 17, 41, 40), (5, 12, 2, 40), (1, 4), "F(2,5)"),
    ((1, 67, 5, 40), (7, 12, 5, 40), 4, "F(4,2)"),
    ((1, 3, 9, 10, 40), (2, 9, 9, 2, 40), (2, 3, 3), "F(4,3)"),
    ((1, 4, 9, 7, 40), (5, 6, 6, 3, 40), (2, 2, 2), "F(4,3)"),
]


def made(case, layout, padding, dtype, algorithm="auto"):
    shape, kernel, strides, _ = case
    rng = np.random.default_rng(8)
    x, w = rng.standard_normal(shape).astype(dtype), rng.standard_normal(kernel).astype(dtype)
    b = rng.standard_normal(kernel[-2]).astype(dtype)
    if padding == "crop":  # zeros added here, destinations dropped there
        padding = [(-1, 2), (3, -2), (-2, 1)][: len(shape) - 2]
    want = reference.conv_transpose(x, w, strides, padding, bias=b)
    if layout == "channels_first":
        x, want = np.ascontiguousarray(np.moveaxis(x, -1, 1)), np.moveaxis(want, -1, 1)
    plan = convtranspose.plan(w, strides, padding, bias=b, data_format=layout, algorithm=algorithm)
    return plan, x, want


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", ["valid", "same", "crop"])
def test_values_are_the_definition_and_threads_and_batches_keep_the_bits(path, case, layout, padding):
    plan, x, want = made(case, layout, padding, "float64")
    got = plan(x, threads=1)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-13 * np.abs(want).max())
    for threads in (2, 5):
        assert plan(x, threads=threads).tobytes() == got.tobytes()
    for n in range(len(x)):
        assert plan(x[n : n + 1]).tobytes() == got[n : n + 1].tobytes()
    out = np.full_like(want, np.nan, order="F")
    plan(np.asfortranarray(x), out=out)
    np.testing.assert_allclose(out, want, rtol=0, atol=1e-13 * np.abs(want).max())


@pytest.mark.parametrize("case", CASES)
def test_the_error_is_near_the_direct_one(path, case):
    error = {}
    for algorithm in ("direct", "auto"):
        plan, x, _ = made(case, "channels_first", "valid", "float32", algorithm)
        exact = made(case, "channels_first", "valid", "float64", "direct")[0](x.astype("float64"))
        error[algorithm] = np.sqrt(((plan(x) - exact) ** 2).mean())
    assert 0 < error["auto"] <= 4 * error["direct"]


def test_every_form_is_taken_and_direct_means_none():
    said = set()
    for case in CASES:
        plan, x, _ = made(case, "channels_first", "valid", "float32")
        assert f"row method: Winograd {case[-1]} along h" in plan.explain(x.shape), plan.explain(x.shape)
        said.add(case[-1])
        direct = made(case, "channels_first", "valid", "float32", "direct")[0]
        assert "Winograd" not in direct.explain(x.shape)
    assert said == {"F(3,2)", "F(4,2)", "F(2,3)", "F(4,3)", "F(3,4)", "F(2,5)"}
    short = convtranspose.plan(np.ones((3, 3, 1, 16), "float32"), 1, "same", data_format="channels_first")
    assert "Winograd" not in short.explain((1, 16, 28, 28))  # one row for all transforms


def test_a_large_image_is_cut_into_blocks_of_whole_tiles(path):
    plan, x, _ = made(((1, 101, 333, 40), (9, 9, 1, 40), 3, ""), "channels_first", "same", "float32")
    want = made(((1, 101, 333, 40), (9, 9, 1, 40), 3, ""), "channels_first", "same", "float32", "direct")[0](
        x
    )
    got = plan(x, threads=3)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-5 * np.abs(want).max())
    assert plan(x, threads=1).tobytes() == got.tobytes()
    whole = 4 * (x.size + want.size + 81 * 40)
    assert plan.workspace_bytes(x.shape, threads=2) < whole / 4


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_a_large_result_goes_around_the_caches_wherever_its_rows_begin(path, layout):
    rng = np.random.default_rng(10)
    x, w = rng.integers(-3, 4, (1, 33, 61, 21)), rng.integers(-3, 4, (16, 16, 5, 21))
    want = reference.conv_transpose(x, w, 8, "same").astype("float32")
    if layout == "channels_first":
        x, want = np.moveaxis(x, -1, 1), np.moveaxis(want, -1, 1)
    plan = convtranspose.plan(w.astype("float32"), 8, "same", data_format=layout, algorithm="direct")
    big = np.full((5, *want.shape[1:]), np.nan, "float32")  # several times the second cache
    plan(np.repeat(x, 5, 0).astype("float32"), out=big)
    for got in big:
        np.testing.assert_array_equal(got, want[0])
