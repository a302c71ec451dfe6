"""Every built-in name of the installed Keras 3 and tf_keras, against ours: values, forms, derivatives."""

from __future__ import annotations

import importlib
import os
import warnings

import numpy as np
import pytest

from convtranspose import activations, constraints, initializers, regularizers
from convtranspose.dialects import KERAS3, TF_KERAS_2_21

DIALECTS = {"keras": KERAS3, "tf_keras": TF_KERAS_2_21}
# Listed with their reasons in tests/golden/deviations.
DIFFERENT = {"sparsemax"}
ROUNDED = {"gelu", "leaky_relu"}
NEEDS_ARGUMENTS = {"threshold", "constant", "Constant"}
X = np.linspace(-7.3, 8.1, 70).reshape(2, 35)[:, :34]


@pytest.fixture(scope="module", params=DIALECTS)
def program(request):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tf = pytest.importorskip("tensorflow", reason="TensorFlow computes the gradients", exc_type=ImportError)
    pytest.importorskip(request.param, reason=f"{request.param} is the other side", exc_type=ImportError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = importlib.import_module(request.param)
    if request.param == "keras" and found.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend here; set KERAS_BACKEND=tensorflow")
    return found, tf, DIALECTS[request.param]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations(program, dtype):
    keras, tf, dialect = program
    checked = 0
    for name in set(activations.names(dialect)) - DIFFERENT - NEEDS_ARGUMENTS:
        theirs, ours = keras.activations.get(name), activations.get(name, dialect)
        assert keras.activations.serialize(theirs) == activations.serialize(ours, dialect)
        x = tf.constant(X.astype(dtype))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = theirs(x)
            weights = tf.cast(tf.reshape(tf.range(tf.size(y)) % 5 - 2, tf.shape(y)), dtype)
            total = tf.reduce_sum(y * weights)
        values, pullback = ours.vjp(X.astype(dtype))
        tolerance = 1e-5 if dtype == "float32" else 1e-8 if name in ROUNDED else 1e-12
        for actual, expected in ((values, y), (pullback(weights.numpy()), tape.gradient(total, x))):
            expected = expected.numpy()
            assert actual.dtype == expected.dtype
            assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max(), name
        checked += 1
    assert checked > 15


@pytest.mark.filterwarnings("ignore")
def test_initializers(program):
    keras, _, dialect = program
    for name, make in initializers.classes(dialect).items():
        if name in NEEDS_ARGUMENTS or name.lower() == "initializer":
            continue
        theirs, ours = keras.initializers.get(name), make()
        expected = keras.initializers.serialize(theirs)
        actual = initializers.serialize(ours, dialect)
        assert actual == expected
        assert list(actual["config"]) == list(expected["config"])
        matrix, transform = "dentity" in name, name.lower().startswith("stft")
        shape = (7, 5) if matrix else (9, 1, 5) if transform else (3, 3, 40, 50)
        a, b = ours(shape), np.asarray(theirs(shape))
        assert a.dtype == b.dtype
        if b.std() == 0 or matrix or transform:
            np.testing.assert_allclose(a, b, atol=1e-6)  # cosines in float32
        else:
            assert abs(a.mean() - b.mean()) < 5 * b.std() * (2 / b.size) ** 0.5
            assert abs(a.std() / b.std() - 1) < 5 * (1 / b.size) ** 0.5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("module", [regularizers, constraints], ids=["regularizers", "constraints"])
def test_regularizers_and_constraints(program, module):
    keras, tf, dialect = program
    theirs_of = getattr(keras, module.__name__.rpartition(".")[2])
    for name in module.classes(dialect):
        if name.lower() == "regularizer":
            continue
        theirs, ours = theirs_of.get(name), module.get(name, dialect)
        assert module.serialize(ours, dialect) == theirs_of.serialize(theirs)
        w = np.random.default_rng(1).normal(size=(9, 20) if "rthogonal" in name else (3, 3, 4, 5))
        x = tf.constant(w.astype("float32"))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = theirs(x)
        pairs = [(ours(w.astype("float32")), y)]
        if module is regularizers:
            slope = tape.gradient(y, x)
            pairs.append((ours.gradient(w.astype("float32")), 0 * w if slope is None else slope))
        for actual, expected in pairs:
            np.testing.assert_allclose(
                actual, np.asarray(expected), rtol=1e-5, atol=1e-5 * np.abs(np.asarray(expected)).max()
            )
