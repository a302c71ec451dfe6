import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import golden_builtins
from convtranspose import regularizers
from convtranspose.dialects import TF_KERAS_2_9, TF_KERAS_2_21, TFJS
from convtranspose.regularizers import L1, L1L2, L2, OrthogonalRegularizer

X = np.random.default_rng(4).normal(size=(5, 7))
PENALTIES = [
    *(L1(0.3), L2(0.2), L1L2(0.3, 0.2), L1L2()),
    *(OrthogonalRegularizer(0.5, m, signed=s) for m in ("rows", "columns") for s in (False, True)),
]


@golden_builtins.parameters("regularizers.")
def test_recorded(case):
    golden_builtins.check(case, regularizers, lambda regularizer, w: regularizer(w))


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_gradient_equals_finite_differences(penalty):
    expected, step = np.empty_like(X), 1e-6
    for index in np.ndindex(X.shape):
        moved = np.zeros_like(X)
        moved[index] = step
        expected[index] = (penalty(X + moved) - penalty(X - moved)) / (2 * step)
    gradient = penalty.gradient(X)
    # Central differences of 1e-6: rounding leaves about 1e-9.
    assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)
    assert gradient.dtype == X.dtype
    assert penalty.gradient(X.astype("float32")).dtype == np.float32


def test_values():
    x = np.array([[-2.0, 4.0], [1.0, 0.0]])
    assert L1L2(0.5, 0.25)(x) == 0.5 * 7 + 0.25 * 21
    assert L2(0.25)(x) == 0.25 * 21
    assert L1(0.5)(x) == 3.5
    assert isinstance(L1(0.5)(x.astype("float32")), float)


def test_sums_do_not_drift_in_float32():
    x = np.full(10**6, 0.1, "float32")
    assert_allclose(L1(1.0)(x), 1e6 * float(np.float32(0.1)), rtol=1e-12)


def test_factors_are_rounded_where_keras_rounds_them():
    assert L1(0.1).l1 == OrthogonalRegularizer(0.1).factor == float(np.float32(0.1))
    assert L2(0.1).l2 == L1L2(0.0, 0.1).l2 == 0.1
    assert regularizers.classes(TF_KERAS_2_9)["L2"](0.1).l2 == float(np.float32(0.1))
    assert regularizers.get("l1_l2", TF_KERAS_2_9).l2 == float(np.float32(0.01))


def test_defaults_of_names_and_classes():
    assert regularizers.get("l2").l2 == 0.01
    assert regularizers.get("L1L2").get_config() == {"l1": 0.0, "l2": 0.0}
    assert regularizers.get("l1l2", TFJS).get_config() == {"l1": 0.01, "l2": 0.01}
    assert L1(None).get_config() == L1().get_config()


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "a", [0.1]])
@pytest.mark.parametrize(("kind", "name"), [(L1, "l1"), (L2, "l2"), (OrthogonalRegularizer, "factor")])
def test_bad_factors(kind, name, value):
    with pytest.raises(ValueError, match=f"{name} is not a valid regularization penalty number"):
        kind(value)


def test_orthogonal():
    turned, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))
    assert_allclose(OrthogonalRegularizer(1.0)(3 * turned), 0, atol=1e-14)
    assert_allclose(OrthogonalRegularizer(1.0, "columns")(np.ones((5, 3))), 1, rtol=1e-14)
    opposite = np.array([[1.0, 2.0], [-2.0, -4.0]])
    assert_allclose(OrthogonalRegularizer(0.5)(opposite), 0.5, rtol=1e-14)
    assert_allclose(regularizers.get("orthogonal_regularizer", TF_KERAS_2_9)(opposite), -0.01, rtol=1e-7)
    assert OrthogonalRegularizer()(np.ones((1, 4))) == 0


def test_orthogonal_of_a_zero_row():
    x = X.copy()
    x[2] = 0
    assert np.isfinite(OrthogonalRegularizer()(x))
    assert np.isfinite(OrthogonalRegularizer().gradient(x)).all()


def test_orthogonal_refuses_kernels_and_modes():
    with pytest.raises(ValueError, match=r"must have rank 2\. Got shape \(2, 3, 4\) of rank 3"):
        OrthogonalRegularizer()(np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match=r"mode: expected one of 'rows', 'columns'\. Got mode='both'"):
        OrthogonalRegularizer(mode="both")


def test_the_base_class():
    base = regularizers.get("Regularizer")
    assert base(X) == 0
    for method in (base.get_config, lambda: base.gradient(X)):
        with pytest.raises(NotImplementedError, match="Regularizer does not implement"):
            method()
    assert "Regularizer" in repr(base)


def test_unknown_names_pass_in_one_generation():
    assert regularizers.get("anything", TF_KERAS_2_21) == "anything"
    assert regularizers.serialize("anything", TF_KERAS_2_21) == "anything"
    assert_array_equal(regularizers.get("l2", TF_KERAS_2_21).gradient(np.zeros(2)), 0)
