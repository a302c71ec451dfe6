"""The NumPy path by itself: the same methods as the native module, on the same arguments."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from convtranspose import _numpy_path, arguments, plans, reference
from samples import CALLS, whole


def problem(call):
    x, w, _ = call.arrays()
    return arguments.problem(arguments.options(w.shape, **call.options), x.shape)


def operator(kind, call, kernel, known):
    o = known.options
    return _numpy_path.Operator(kind, kernel, o.strides, o.dilation_rate, o.groups, o.data_format, "auto")


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forward(call, dtype):
    x, w, b = call.arrays(dtype)
    known = problem(call)
    out = np.full(known.output_shape, np.nan, dtype)
    operator("forward", call, w, known).run(x, out, known.geometry, b, 1)
    np.testing.assert_array_equal(out, call.outputs())


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_adjoint_and_kernel_gradient(call):
    x, w, _ = call.arrays()
    known = problem(call)
    y = whole(4, known.output_shape)
    dx = np.full(x.shape, np.nan, "float32")
    operator("adjoint", call, w, known).run(y, dx, known.geometry, None, 1)
    np.testing.assert_array_equal(dx, reference.conv(y, w, call.sizes, **call.options))
    dw = np.full(w.shape, np.nan, "float32")
    o = known.options
    _numpy_path.kernel_gradient(x, y, dw, known.geometry, o.groups, o.data_format, 1)
    np.testing.assert_array_equal(dw, reference.kernel_gradient(x, y, call.kernel, **call.options))


@pytest.mark.parametrize("kind", ["forward", "adjoint"])
def test_reports(kind):
    call = CALLS[1]
    _, w, _ = call.arrays()
    known = problem(call)
    made = operator(kind, call, w, known)
    assert "NumPy path" in made.explain(known.geometry, 1)
    assert 0 < made.workspace_bytes(known.geometry, 1, 1) < 10_000


def test_a_stride_far_beyond_the_kernel_costs_only_its_output():
    known = arguments.problem(arguments.options((1, 1, 1), 2**20), (1, 2, 1))
    out = np.ones(known.output_shape, "float32")
    made = _numpy_path.Operator("forward", np.ones((1, 1, 1), "float32"), (2**20,), (1,), 1, "channels_last")
    made.run(np.ones((1, 2, 1), "float32"), out, known.geometry, None, 1)
    assert np.flatnonzero(out).tolist() == [0, 2**20]


@pytest.mark.skipif(plans.native_module is None, reason=f"no native module: {plans.native_absence}")
def test_the_native_module_offers_the_same():
    for name, member in vars(_numpy_path.Operator).items():
        if inspect.isfunction(member) and not name.startswith("_"):
            assert callable(getattr(plans.native_module.Operator, name))
    assert callable(plans.native_module.kernel_gradient)
