import copy
import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import golden_builtins
from convtranspose import activations
from convtranspose.activations import Activation
from convtranspose.dialects import DIALECTS, KERAS3, TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21, TFJS

X = np.random.default_rng(5).normal(size=(3, 7)) * 2
ARGUMENTS = {"threshold": {"threshold": 0.3, "default_value": -1.7}}
OTHER_SHAPE = {"glu"}
EVERY = [
    pytest.param(dialect, name, id=f"{dialect.name}-{name}")
    for dialect in DIALECTS.values()
    for name in activations.names(dialect)
]


@golden_builtins.parameters("activations.", "act_")
def test_recorded(case):
    golden_builtins.check(case, activations, lambda activation, x: activation(x))


def arguments(name):
    return ARGUMENTS.get(name, {})


def even(name, x):
    return x[:, :6] if name in OTHER_SHAPE else x


@pytest.mark.parametrize(("dialect", "name"), EVERY)
def test_derivative_equals_finite_differences(dialect, name):
    activation, x = activations.get(name, dialect), even(name, X)
    y, pullback = activation.vjp(x, **arguments(name))
    assert_array_equal(y, activation(x, **arguments(name)))
    g = np.random.default_rng(6).normal(size=y.shape)
    step = 1e-6
    expected = np.empty_like(x)
    for index in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[index] = step
        up, down = activation(x + moved, **arguments(name)), activation(x - moved, **arguments(name))
        expected[index] = np.sum(g * (up - down)) / (2 * step)
    # Central differences of 1e-6: rounding leaves about 1e-9.
    assert_allclose(pullback(g), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("dialect", "name"), EVERY)
def test_type_stays_and_nothing_warns_at_the_ends(dialect, name, dtype):
    largest = float(np.finfo(dtype).max)
    x = np.array([[-largest, -1e4, -100.0, -0.0, 0.0, 5.5, 100.0, largest]], dtype)
    y, pullback = activations.get(name, dialect).vjp(x, **arguments(name))
    back = pullback(np.ones_like(y))
    assert y.dtype == back.dtype == x.dtype
    assert not np.isnan(y).any()
    assert not np.isnan(back).any()
    assert back.shape == x.shape


@pytest.mark.parametrize("name", activations.names())
def test_float16_is_computed_in_float32(name):
    x = even(name, X).astype("float16")
    expected = activations.get(name)(x.astype("float32"), **arguments(name)).astype("float16")
    assert_array_equal(activations.get(name)(x, **arguments(name)), expected)


def test_bfloat16():
    bfloat16 = pytest.importorskip("ml_dtypes", reason="ml_dtypes gives NumPy its bfloat16").bfloat16
    x = np.array([-2.0, 0.5, 3.0], bfloat16)
    y, pullback = activations.vjp("relu", x)
    assert y.dtype == pullback(np.ones(3)).dtype == x.dtype
    assert_array_equal(y.astype("float32"), [0, 0.5, 3])


def test_integers_become_float32():
    y = activations.get("relu")(np.array([-2, 3]))
    assert y.dtype == np.float32
    assert_array_equal(y, [0, 3])


def test_complex_numbers_are_refused():
    with pytest.raises(TypeError, match="real numbers, but x is complex128"):
        activations.get("tanh")(np.zeros(2, complex))


def test_the_input_is_not_returned_itself():
    x = np.ones(3)
    activations.get("linear")(x)[0] = 5
    assert x[0] == 1


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "sparsemax"])
def test_axis(name):
    x = np.random.default_rng(1).normal(size=(2, 3, 5))
    activation = activations.get(name)
    y, pullback = activation.vjp(x, axis=1)
    swapped, back = activation.vjp(np.swapaxes(x, 1, 2))
    assert_allclose(y, np.swapaxes(swapped, 1, 2), rtol=1e-14)
    g = np.random.default_rng(2).normal(size=x.shape)
    assert_allclose(pullback(g), np.swapaxes(back(np.swapaxes(g, 1, 2)), 1, 2), rtol=1e-12, atol=1e-14)
    total = np.exp(y) if name == "log_softmax" else y
    assert_allclose(total.sum(axis=1), 1, rtol=1e-14)


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    x = np.array([[0.5, 0.1, -2.0], [3.0, 3.0, -1.0]])
    assert_allclose(activations.sparsemax(x), [[0.7, 0.3, 0], [0.5, 0.5, 0]], rtol=1e-15)


def test_gelu_keeps_its_digits_far_left():
    x = -9.0
    expected = 0.5 * x * math.erfc(9 / math.sqrt(2))
    assert_allclose(activations.gelu(x), expected, rtol=1e-13)


def test_glu_needs_halves():
    with pytest.raises(ValueError, match=r"divisible by 2, but on axis -1 it is 7\. Got x of shape \(3, 7\)"):
        activations.get("glu")(X)


def test_hard_sigmoid_of_two_generations():
    x = np.array([-2.75, 1.0, 2.75])
    assert_allclose(activations.get("hard_sigmoid", KERAS3)(x), (x + 3) / 6, rtol=1e-15)
    assert_array_equal(activations.get("hard_sigmoid", TF_KERAS_2_9)(x), [0, 0.7, 1])
    assert_array_equal(activations.get("hardSigmoid", TFJS)(x), [0, 0.7, 1])


@pytest.mark.parametrize(
    ("given", "x", "expected"),
    [
        ({"negative_slope": 0.5}, [-4, 0, 3], [-2, 0, 3]),
        ({"max_value": 2}, [-4, 1, 3], [0, 1, 2]),
        ({"threshold": 2}, [1, 2, 3], [0, 0, 3]),
        ({"negative_slope": 0.5, "max_value": 5, "threshold": 1}, [-1, 1, 4, 8], [-1, 0, 4, 5]),
    ],
)
def test_relu_arguments(given, x, expected):
    assert_array_equal(activations.relu(np.array(x, float), **given), expected)


def test_a_gradient_of_another_shape_is_refused():
    _, pullback = activations.vjp("tanh", np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"shape of the outputs of tanh, \(2, 3\)\. Got \(3, 2\)"):
        pullback(np.zeros((3, 2)))


@pytest.mark.parametrize("function", [np.tanh, lambda x: x])
def test_a_plain_callable_runs_but_has_no_derivative(function):
    assert activations.get(function) is function
    with pytest.raises(TypeError, match=r"derivative of the activation .* is not known"):
        activations.vjp(function, X)


def test_an_object_with_vjp_is_differentiated_by_it():
    class Twice:
        def __call__(self, x):
            return 2 * x

        def vjp(self, x):
            return 2 * x, lambda g: 2 * g

    y, pullback = activations.vjp(Twice(), np.ones(2))
    assert_array_equal(y, pullback(np.ones(2)))


def test_unknown_name_says_what_was_meant():
    with pytest.raises(ValueError, match=r"identifier: sigmiod\. keras3 has .* Did you mean 'sigmoid'"):
        activations.get("sigmiod")
    with pytest.raises(ValueError, match=r"Unknown activation function: xyz.*Known: elu, exponential"):
        activations.get("xyz", TF_KERAS_2_4)


@pytest.mark.parametrize(
    ("dialect", "error", "message"),
    [
        (KERAS3, ValueError, "Could not interpret activation function identifier: 3"),
        (TF_KERAS_2_4, TypeError, "Could not interpret activation function identifier: 3"),
        (TFJS, ValueError, "activation: Improper config format: 3"),
    ],
)
def test_what_is_neither_name_nor_callable(dialect, error, message):
    with pytest.raises(error, match=message):
        activations.get(3, dialect)


@pytest.mark.parametrize(("dialect", "name"), EVERY)
def test_what_is_written_is_read_again(dialect, name):
    activation = activations.get(name, dialect)
    assert activations.get(activations.serialize(activation, dialect), dialect) is activation


@pytest.mark.parametrize("dialect", [TF_KERAS_2_9, TF_KERAS_2_21])
@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "ELU", "Softmax", "ThresholdedReLU", "PReLU"])
def test_activation_layers(dialect, name):
    activation = activations.get(name, dialect)
    written = activations.serialize(activation, dialect)
    again = activations.deserialize(written, dialect=dialect)
    assert activations.serialize(again, dialect) == written
    y, pullback = again.vjp(X)
    assert y.dtype == pullback(y).dtype == np.float32
    assert_array_equal(y, activation(X))
    assert_array_equal(copy.deepcopy(activation)(X), y)
    assert activations.serialize(pickle.loads(pickle.dumps(activation)), dialect) == written


def test_the_values_of_activation_layers():
    x = np.array([-2.0, 0.5, 3.0])
    get = activations.get
    assert_array_equal(get("PReLU", TF_KERAS_2_9)(x), [0, 0.5, 3])
    assert_array_equal(get("ThresholdedReLU", TF_KERAS_2_9)(x), [0, 0, 3])
    assert_allclose(get("LeakyReLU", TF_KERAS_2_9)(x), [-0.6, 0.5, 3], rtol=1e-6)
    bounded = {"class_name": "ReLU", "config": {"max_value": 2.0, "negative_slope": 0.5}}
    assert_array_equal(get(bounded, TF_KERAS_2_4)(x), [-1, 0.5, 2])
    assert_array_equal(get({"module": "keras.layers", **bounded, "registered_name": None})(x), [-1, 0.5, 2])


def test_an_activation_layer_refuses_what_it_does_not_know():
    with pytest.raises(TypeError, match="ReLU has no argument slope"):
        activations.get({"class_name": "ReLU", "config": {"slope": 1}})


def test_a_configuration_of_an_unknown_class():
    config = {"class_name": "Swoosh", "config": {}}
    with pytest.raises(TypeError, match="Could not locate class 'Swoosh'"):
        activations.get(config)
    with pytest.raises(ValueError, match="Unknown activation function: Swoosh"):
        activations.get(config, TF_KERAS_2_9)
    with pytest.raises(ValueError, match="'class_name' must be a string"):
        activations.get({"config": {}})


def test_functions_of_your_own():
    def wave(x):
        return np.sin(x)

    written = activations.serialize(wave)
    assert written == {
        "module": "builtins",
        "class_name": "function",
        "config": "wave",
        "registered_name": "function",
    }
    assert activations.deserialize(written, {"wave": wave}) is wave
    assert activations.serialize(wave, TF_KERAS_2_4) == "wave"
    assert activations.deserialize("wave", {"wave": wave}, dialect=TF_KERAS_2_4) is wave
    with pytest.raises(ValueError, match="has no name to write there"):
        activations.serialize(lambda x: x)
    assert activations.serialize(lambda x: x, TF_KERAS_2_9) == "<lambda>"
    with pytest.raises(ValueError, match="it is not callable"):
        activations.serialize("relu")


def test_what_another_generation_calls_otherwise_is_not_written():
    old = activations.get("hard_sigmoid", TF_KERAS_2_9)
    with pytest.raises(ValueError, match="keras3 has no name for <activation hard_sigmoid>"):
        activations.serialize(old, KERAS3)
    with pytest.raises(ValueError, match="keras3 has no name for <activation gelu, approximate=True>"):
        activations.serialize(activations.gelu.bind(approximate=True))
    assert activations.serialize(activations.gelu.bind(approximate=True), TFJS) == "gelu_new"


def test_copies_are_the_same_object():
    for activation in (activations.relu, activations.get("hard_sigmoid", TF_KERAS_2_4)):
        assert copy.copy(activation) is copy.deepcopy(activation) is activation
        assert pickle.loads(pickle.dumps(activation)) is activation
    bound = activations.leaky_relu.bind(negative_slope=0.5)
    assert pickle.loads(pickle.dumps(bound))(-2.0) == -1


def test_bind_refuses_unknown_arguments():
    with pytest.raises(TypeError, match="relu has no argument slope"):
        activations.relu.bind(slope=1)


def test_an_activation_of_your_own():
    square = Activation("square", np.square, lambda g, x, y: 2 * g * x)
    y, pullback = activations.vjp(square, np.array([3.0]))
    assert (y, pullback([1.0]), square.__name__) == (9, 6, "square")
    assert activations.serialize(square, TF_KERAS_2_4) == "square"
