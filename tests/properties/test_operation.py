"""Laws of the operation over random geometries. Whole numbers make every sum exact, so equal is equal."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convtranspose import conv, conv_transpose, conv_transpose_kernel_gradient, plan, reference
from paths import PATHS, on
from properties.strategies import Case, cases

# A busy machine is no reason to fail.
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
some = settings(few, max_examples=100)
# The sum of the definition, whatever is faster.
exact = partial(conv_transpose, algorithm="direct")
every_path = pytest.mark.parametrize("path", PATHS)


def equal(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(a, b)


@every_path
@some
@given(case=cases())
def test_operation_is_the_definition(path: str, case: Case) -> None:
    with on(path):
        equal(
            exact(case.x, case.w, **case.options),
            reference.conv_transpose(case.x, case.w, **case.options),
        )


@every_path
@few
@given(case=cases(), algorithm=st.sampled_from(["auto", "winograd"]))
def test_other_orders_of_sums_are_close(path: str, case: Case, algorithm: str) -> None:
    want = reference.conv_transpose(case.x, case.w, **case.options)
    # Rounding is a few units of 2**-24 of the sizes that are added up.
    sizes = reference.conv_transpose(abs(case.x), abs(case.w), **case.options)
    with on(path):
        got = conv_transpose(case.x, case.w, **case.options, algorithm=algorithm)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6 * sizes.max(initial=0))


@every_path
@few
@given(case=cases())
def test_adjoint_is_the_definition(path: str, case: Case) -> None:
    with on(path):
        equal(
            conv(case.dy, case.w, **case.options),
            reference.conv(case.dy, case.w, case.sizes, **case.options),
        )


@every_path
@few
@given(case=cases())
def test_kernel_gradient_is_the_definition(path: str, case: Case) -> None:
    size = case.w.shape[:-2]
    with on(path):
        equal(
            conv_transpose_kernel_gradient(case.x, case.dy, size, **case.options),
            reference.kernel_gradient(case.x, case.dy, size, **case.options),
        )


@few
@given(case=cases("float64"))
def test_three_operations_are_one_trilinear_form(case: Case) -> None:
    """<T(x, w), dy> = <x, T*(dy, w)> = <w, K(x, dy)>: each derivative is one of the other two."""
    y = exact(case.x, case.w, **case.options)
    dx = conv(case.dy, case.w, **case.options)
    dw = conv_transpose_kernel_gradient(case.x, case.dy, case.w.shape[:-2], **case.options)
    assert (dx.shape, dw.shape) == (case.x.shape, case.w.shape)
    assert (y * case.dy).sum() == (dx * case.x).sum() == (dw * case.w).sum()


@few
@given(case=cases("float64"), seed=st.integers(0, 99))
def test_kernel_gradient_is_the_transposed_jacobian(case: Case, seed: int) -> None:
    """A single one in the kernel reads one number of the gradient: a row of the Jacobian."""
    place = np.random.default_rng(seed).integers(case.w.size)
    unit = np.zeros_like(case.w)
    unit.flat[place] = 1
    dw = conv_transpose_kernel_gradient(case.x, case.dy, case.w.shape[:-2], **case.options)
    assert (exact(case.x, unit, **case.options) * case.dy).sum() == dw.flat[place]


@few
@given(case=cases(), other=st.integers(0, 99), factors=st.tuples(*[st.integers(-3, 3)] * 2))
def test_linear_in_inputs_and_in_kernel(case: Case, other: int, factors: tuple[int, int]) -> None:
    rng = np.random.default_rng(other)
    a, b = (np.float32(f) for f in factors)
    x2, w2 = (rng.integers(-4, 5, s.shape).astype("float32") for s in (case.x, case.w))
    y = exact(case.x, case.w, **case.options)
    equal(
        exact(a * case.x + b * x2, case.w, **case.options),
        a * y + b * exact(x2, case.w, **case.options),
    )
    equal(
        exact(case.x, a * case.w + b * w2, **case.options),
        a * y + b * exact(case.x, w2, **case.options),
    )


@every_path
@few
@given(case=cases(), threads=st.integers(1, 5), data=st.data())
def test_batch_split_and_threads_change_no_bit(
    path: str, case: Case, threads: int, data: st.DataObject
) -> None:
    """With numbers whose sums are not exact, too: the order of the sums is fixed."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(case.x.shape).astype("float32")
    w = rng.standard_normal(case.w.shape).astype("float32")
    cut = data.draw(st.integers(0, len(x)))
    with on(path):
        run = plan(w, **case.options)
        together = run(x, threads=1)
        equal(run(x, threads=threads), together)
        equal(np.concatenate([run(x[:cut]), run(x[cut:], threads=threads)]), together)


@few
@given(case=cases())
def test_out_is_filled_whatever_it_held(case: Case) -> None:
    y = exact(case.x, case.w, **case.options)
    out = np.full_like(y, np.nan)
    assert exact(case.x, case.w, **case.options, out=out) is out
    equal(out, y)


@few
@given(case=cases())
def test_data_formats_are_one_operation(case: Case) -> None:
    swapped = dict(case.options)
    first = swapped["data_format"] == "channels_first"
    swapped["data_format"] = "channels_last" if first else "channels_first"
    source, target = (1, -1) if first else (-1, 1)
    y = exact(np.moveaxis(case.x, source, target), case.w, **swapped)
    equal(np.moveaxis(y, target, source), exact(case.x, case.w, **case.options))


@few
@given(case=cases())
def test_turning_everything_around_turns_the_full_output_around(case: Case) -> None:
    options = {**case.options, "padding": ((0, 0),) * len(case.sizes), "output_padding": None}
    lead = 2 if options["data_format"] == "channels_first" else 1
    axes = tuple(range(lead, lead + len(case.sizes)))
    taps = tuple(range(len(case.sizes)))
    y = exact(np.flip(case.x, axes), np.flip(case.w, taps), **options)
    equal(np.flip(y, axes), exact(case.x, case.w, **options))
