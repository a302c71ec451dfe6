"""Phases along w as channels: the same memory seen with unit stride, on every path."""

import numpy as np
import pytest

import convtranspose
from convtranspose import reference

from .test_methods import check_on_threads

CASES = [
    # inputs, kernel, strides, dilation
    ((2, 11, 7, 5), (9, 16, 22, 5), (3, 8), 1),
    ((1, 13, 3), (64, 3, 3), 32, 1),
    ((2, 6, 1, 2), (4, 48, 6, 2), (2, 24), (3, 1)),
    ((1, 3, 5, 6, 3), (4, 3, 32, 5, 3), (2, 2, 16), 1),
    ((1, 1, 1, 1), (16, 16, 8, 1), 16, 1),
    ((1, 29, 31, 2), (8, 12, 12, 2), (3, 4), 1),
]
PADDINGS = ["valid", "same", "whole", "uneven"]
PLANES = [
    CASES[1],
    ((2, 5, 9, 3), (6, 32, 5, 3), (3, 16), 1),
    ((1, 1, 1, 2), (48, 96, 3, 2), 48, 1),
    ((1, 9, 7, 5), (64, 64, 5, 5), 32, 1),  # few tiles, which planes share out
]


def made(case, padding, dtype="float32", **options):
    shape, kernel, strides, dilation = case
    rng = np.random.default_rng(9)
    axes = len(shape) - 2
    s = strides[-1] if isinstance(strides, tuple) else strides
    if padding == "whole":  # crops of whole runs, zeros added before the first
        padding = [(1, -2)] * (axes - 1) + [(-s, s if shape[-2] > 1 else 0)]
    elif padding == "uneven":
        padding = [(-1, 1)] * (axes - 1) + [(1, -2)]
    x = rng.integers(-3, 4, shape).astype(dtype)
    w = rng.integers(-3, 4, kernel).astype(dtype)
    b = rng.integers(-3, 4, kernel[-2]).astype(dtype)
    options = {"bias": b, "dilation_rate": dilation} | options
    want = reference.conv_transpose(x, w, strides, padding, bias=b, dilation_rate=dilation).astype(dtype)
    return convtranspose.plan(w, strides, padding, **options), x, want


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("padding", PADDINGS)
def test_sums_are_exact_wherever_a_row_is_cut(path, case, padding):
    plan, x, want = made(case, padding, algorithm="direct")
    if case[1][-2] <= 6:  # more fill the shorter vectors of some paths
        assert "phases along w as channels" in plan.explain(x.shape)
    check_on_threads(plan, x, want)
    for order in ((0, x.ndim - 1, *range(1, x.ndim - 1)), tuple(reversed(range(x.ndim)))):
        other = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
        out = np.full(np.array(want.shape)[list(order)], np.nan, want.dtype).transpose(np.argsort(order))
        np.testing.assert_array_equal(plan(other, out=out), want)
    gaps = np.full((*want.shape[:-2], want.shape[-2] + 3, want.shape[-1] + 2), np.nan, want.dtype)
    inside = gaps[..., 2:-1, 1:-1]
    np.testing.assert_array_equal(plan(x, out=inside), want)
    assert np.isnan(gaps).sum() == gaps.size - want.size  # nothing beside it was touched


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("padding", PADDINGS)
def test_one_call_and_auto_keep_the_bits_on_all_threads(path, case, padding):
    plan, x, want = made(case, padding)
    got = plan(x, threads=1)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())
    for threads in (2, 5):
        assert plan(x, threads=threads).tobytes() == got.tobytes()
    for n in range(len(x)):
        assert plan(x[n : n + 1]).tobytes() == got[n : n + 1].tobytes()


@pytest.mark.parametrize("algorithm", ["direct", "winograd", "auto"])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("case", PLANES)
def test_planes_have_phases_too(path, case, padding, algorithm):
    plan, x, want = made(case, padding, algorithm=algorithm, data_format="channels_first")
    x, want = (np.ascontiguousarray(np.moveaxis(a, -1, 1)) for a in (x, want))
    if algorithm != "winograd":
        assert "phases along w as channels" in plan.explain(x.shape)
    if algorithm == "direct":
        check_on_threads(plan, x, want)
    np.testing.assert_allclose(plan(x), want, rtol=0, atol=1e-5 * np.abs(want).max())
    for threads in (1, 2, 5):
        assert plan(x, threads=threads).tobytes() == plan(x).tobytes()
    gaps = np.full((*want.shape[:-1], want.shape[-1] + 3), np.nan, want.dtype)
    inside = gaps[..., 2:-1]
    assert plan(x, out=inside).tobytes() == plan(x).tobytes()
    assert np.isnan(gaps).sum() == gaps.size - want.size  # nothing beside it was touched


def test_planes_of_halves_keep_their_order(path):
    case = ((2, 5, 9, 3), (6, 32, 5, 3), (3, 16), 1)
    plan, x, want = made(case, "same", "float16", data_format="channels_first", algorithm="direct")
    got = plan(np.ascontiguousarray(np.moveaxis(x, -1, 1)))
    np.testing.assert_array_equal(got, np.moveaxis(want, -1, 1))


def test_the_reason_is_told():
    plan, x, _ = made(CASES[3], "same")
    said = plan.explain(x.shape)
    assert "phases along w as channels: channel method" in said
    assert "the rest of the rows in" in said
    plan, x, _ = made(CASES[3], "valid")
    assert "boxes" not in plan.explain(x.shape)
    plan = convtranspose.plan(np.ones((16, 15, 21, 5), "float32"), 8)  # a stride that leaves a remainder
    assert "phases along w" not in plan.explain((1, 11, 7, 5))


def test_the_workspace_is_small():
    plan = convtranspose.plan(np.ones((64, 64, 21, 21), "float32"), 32, "same")
    whole = 4 * (16 * 16 * 21 + 512 * 512 * 21 + 64 * 64 * 21 * 21)
    assert plan.workspace_bytes((1, 16, 16, 21), threads=2) < whole / 4
