import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from convtranspose._erf import erf, erfc

# Dense over all three intervals and around their borders.
X = np.concatenate(
    [np.linspace(-6, 26, 1601), [0.46875, -0.46875, 4.0, -4.0, 0.4687501, 3.9999999, 4.0000001]]
)


@pytest.mark.parametrize(("ours", "theirs"), [(erf, math.erf), (erfc, math.erfc)])
def test_float64_against_the_c_library(ours, theirs):
    assert_allclose(ours(X), [theirs(x) for x in X], rtol=2e-15)


@pytest.mark.parametrize(("ours", "theirs"), [(erf, math.erf), (erfc, math.erfc)])
def test_float32_against_the_c_library(ours, theirs):
    x = X[X < 9].astype(np.float32)  # beyond, erfc is no normal float32 any more
    y = ours(x)
    assert y.dtype == np.float32
    # exp of a squared argument costs a few of the 24 bits.
    assert_allclose(y, [theirs(float(v)) for v in x], rtol=1e-6)


def test_ends():
    x = np.array([-np.inf, -1e300, -0.0, 1e300, np.inf, np.nan])
    assert_array_equal(erf(x), [-1, -1, 0, 1, 1, np.nan])
    assert_array_equal(erfc(x), [2, 2, 1, 0, 0, np.nan])
    assert np.signbit(erf(-0.0))
