import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import golden_builtins
from convtranspose import constraints
from convtranspose.dialects import TF_KERAS_2_9

W = np.random.default_rng(3).normal(size=(3, 5, 7, 2))


@golden_builtins.parameters("constraints.")
def test_recorded(case):
    golden_builtins.check(case, constraints, lambda constraint, w: constraint(w))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", constraints.classes(TF_KERAS_2_9))
def test_type_and_shape_stay(name, dtype):
    w = W[:, :3].astype(dtype)
    kept = w.copy()
    result = constraints.get(name, TF_KERAS_2_9)(w)
    assert (result.dtype, result.shape) == (w.dtype, w.shape)
    assert_array_equal(w, kept)


@pytest.mark.parametrize("axis", [0, 2, -1, (0, 1), [0, 1, 3]])
def test_norms(axis):
    over = tuple(axis) if isinstance(axis, list) else axis

    def norms(w):
        return np.sqrt(np.sum(w * w, axis=over))

    # The 1e-7 in the denominator is all that may be missing.
    missing = norms(W) / (norms(W) + 1e-7)
    assert_allclose(norms(constraints.UnitNorm(axis)(W)), missing, rtol=1e-12)
    capped = np.minimum(norms(W), 0.5)
    assert_allclose(norms(constraints.MaxNorm(0.5, axis)(W)), capped * missing, rtol=1e-12)
    bounds = np.clip(norms(W), 1.5, 2.5)
    assert_allclose(norms(constraints.MinMaxNorm(1.5, 2.5, 1.0, axis)(W)), bounds * missing, rtol=1e-12)
    halfway = (bounds + norms(W)) / 2 * missing
    assert_allclose(norms(constraints.MinMaxNorm(1.5, 2.5, 0.5, axis)(W)), halfway, rtol=1e-12)


def test_a_zero_weight_stays_zero():
    for name in ("max_norm", "unit_norm", "min_max_norm"):
        assert_array_equal(constraints.get(name)(np.zeros((3, 2))), 0)


def test_non_neg():
    assert_array_equal(constraints.NonNeg()(W), np.where(W > 0, W, 0))


# What tf_keras 2.21 gives for np.arange(k * k).reshape(k, k): the value of each ring from the middle.
@pytest.mark.parametrize(
    ("size", "rings"), [(2, [0]), (3, [0, 4]), (4, [5, 15]), (5, [6, 12, 18]), (6, [14, 28, 35])]
)
def test_radial_constraint(size, rings):
    kernel = np.arange(float(size * size)).reshape(size, size, 1, 1) + np.zeros((2, 3))
    result = constraints.RadialConstraint()(kernel)
    middle = (size - 1) / 2
    for i, j in np.ndindex(size, size):
        ring = int(max(abs(i - middle), abs(j - middle)))
        assert_array_equal(result[i, j], np.full((2, 3), rings[ring]))


def test_radial_constraint_needs_a_square_kernel_of_a_picture():
    with pytest.raises(ValueError, match=r"square kernel of at least 2 x 2\. Got 3 x 5"):
        constraints.RadialConstraint()(W)
    with pytest.raises(ValueError, match=r"rank 4.*Got shape \(3, 3, 2\) of rank 3"):
        constraints.RadialConstraint()(np.zeros((3, 3, 2)))


def test_repr():
    assert repr(constraints.MaxNorm(3.0, [0, 1])) == "MaxNorm(max_value=3.0, axis=[0, 1])"
