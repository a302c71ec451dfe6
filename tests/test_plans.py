"""Plans: made once, run at any size."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from convtranspose import Plan, activations, conv_transpose, plan, plans, reference
from samples import CALLS, whole

KERNEL = whole(2, (3, 3, 5, 3))
OPTIONS = {"strides": 2, "padding": "same"}


def test_one_plan_runs_at_any_size(path):
    made = plan(KERNEL, **OPTIONS)
    assert isinstance(made, Plan)
    for sizes in ((1, 5, 7), (4, 5, 7), (1, 1, 1), (2, 13, 1), (0, 3, 3)):
        x = whole(1, (*sizes, 3))
        np.testing.assert_array_equal(made(x), reference.conv_transpose(x, KERNEL, **OPTIONS))
        assert made.output_shape(x.shape) == made(x).shape


def test_a_new_size_packs_nothing(path, monkeypatch):
    packed = []
    pack = plans.operator
    monkeypatch.setattr(plans, "operator", lambda *a: packed.append(a) or pack(*a))
    made = plan(KERNEL, **OPTIONS)
    for n in range(1, 20):
        made(np.ones((1, n, 3, 3), "float32"))
    assert len(packed) == 1


def test_sizes_do_not_pile_up(path):
    made = plan(np.ones((1, 1, 1), "float32"))
    for n in range(1, 600):
        made(np.ones((1, n, 1), "float32"))
    assert len(made._sizes) <= 256


def test_a_plan_keeps_its_own_weights(path):
    for shape in ((3, 3, 5, 3), (3, 3, 1, 1)):  # packing the second moves nothing
        kernel, bias = whole(2, shape), whole(3, shape[2:3])
        made = plan(kernel, **OPTIONS, bias=bias)
        x = whole(1, (2, 5, 7, shape[-1]))
        before = made(x)
        kernel[...] = 0
        bias[...] = 0
        np.testing.assert_array_equal(made(x), before)


def test_out_and_threads(path):
    made = plan(KERNEL, **OPTIONS, bias=whole(3, (5,)), activation="relu")
    x = whole(1, (2, 5, 7, 3))
    out = np.empty(made.output_shape(x.shape), "float32")
    assert made(x, out=out, threads=2) is out
    np.testing.assert_array_equal(out, np.maximum(made(x, threads=1), 0))
    inside = plan(np.ones((1, 1, 5, 5), "float32"))
    with pytest.raises(ValueError, match="out must not share memory"):
        inside(out, out=out)


def test_attributes(path):
    made = plan(KERNEL.astype("float16"), **OPTIONS, data_format="channels_first")
    assert made.dtype == np.float16
    assert made.options.strides == (2, 2)
    assert made.options.kernel_shape == (3, 3, 5, 3)
    assert made.output_shape((2, 3, 5, 7)) == (2, 5, 10, 14)


def test_reports(path):
    for call in CALLS:
        x, w, _ = call.arrays()
        made = plan(w, **call.options)
        assert isinstance(made.explain(x.shape), str)
        assert ("NumPy" in made.explain(x.shape)) == (path == "numpy")
        assert made.workspace_bytes(x.shape) >= 0
        assert made.workspace_bytes(x.shape, threads=1) <= made.workspace_bytes(x.shape, threads=4)


def test_workspace_of_a_large_run_is_small():
    """Far below the column matrix of output x taps, which would be 256 MiB here."""
    made = plan(np.ones((4, 4, 16, 16), "float32"), 2, "same")
    shape = (1, 256, 256, 16)
    data = 4 * (np.prod(shape) + np.prod(made.output_shape(shape)) + 16 * 16 * 16)
    limit = 0.5 if plans.native_module is None else 0.25
    assert made.workspace_bytes(shape) < limit * data


def test_one_plan_in_many_threads(path):
    made = plan(KERNEL, **OPTIONS)
    inputs = [whole(n, (1, 3 + n % 5, 7, 3)) for n in range(40)]
    answers = [None] * len(inputs)

    def work(part):
        for n in range(part, len(inputs), 4):
            answers[n] = made(inputs[n])

    workers = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for x, y in zip(inputs, answers, strict=True):
        np.testing.assert_array_equal(y, reference.conv_transpose(x, KERNEL, **OPTIONS))


def test_adjoint_plans_run_backwards(path):
    options = plan(KERNEL, **OPTIONS).options
    backwards = Plan("adjoint", KERNEL, options)
    y = whole(1, (2, 10, 14, 5))
    assert backwards.output_shape(y.shape) == (2, 5, 7, 3)
    np.testing.assert_array_equal(backwards(y), reference.conv(y, KERNEL, (5, 7), **OPTIONS))


def test_the_operation_packs_nothing_when_sizes_are_wrong(path, monkeypatch):
    monkeypatch.setattr(plans, "operator", lambda *a: pytest.fail("packed before the check"))
    with pytest.raises(ValueError, match="kernel expects 3 input channels"):
        conv_transpose(np.ones((1, 5, 7, 2), "float32"), KERNEL)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "gelu", lambda y: y - y.mean()])
def test_an_activation_in_parts_is_the_one_of_the_whole(activation, layout):
    rng = np.random.default_rng(7)
    x, w = rng.standard_normal((5, 61, 61, 61)).astype("float32"), np.eye(61, dtype="float32")[None, None]
    options = {"data_format": layout, "activation": activation}
    want = activations.get(activation)(plan(w, data_format=layout)(x))
    np.testing.assert_array_equal(plan(w, **options)(x), want)
    out = np.zeros((*want.shape[:-1], 2 * want.shape[-1]), "float32")[..., ::2]
    plan(w, **options)(x, out=out)
    np.testing.assert_array_equal(out, want)
