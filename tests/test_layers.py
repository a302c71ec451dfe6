"""The layers: errors, gradients, packed weights, names, losses, models. Values are in tests/golden."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest

from convtranspose import activations, conv_transpose, initializers, reference
from convtranspose.dialects import KERAS3, TF_KERAS_2_9, Dialect
from convtranspose.layers import (
    Conv1DTranspose,
    Conv2DTranspose,
    Conv3DTranspose,
    Dense,
    InputLayer,
    InputSpec,
    Layer,
    Sequential,
    Variable,
    clear_session,
    deserialize,
    name_scope,
    serialize,
)

BY_RANK = {1: Conv1DTranspose, 2: Conv2DTranspose, 3: Conv3DTranspose}
SIZES = (5, 3, 2)


def grid(*shape: int, seed: int = 0, dtype: str = "float32") -> Any:
    """Small integers: sums of their products are exact in any order."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


def smooth(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def filled(layer: Layer, shape: tuple[int, ...]) -> Layer:
    """The layer, built, with small integers as weights."""
    layer.build(shape)
    layer.set_weights([grid(*w.shape, seed=n + 1) for n, w in enumerate(layer.weights)])
    return layer


def slope(function: Any, at: Any, direction: Any, step: float = 1e-6) -> float:
    return float((function(at + step * direction) - function(at - step * direction)) / (2 * step))


# The computation


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("groups", [1, 2])
def test_call_is_the_operation(rank: int, data_format: str, groups: int) -> None:
    sizes = SIZES[:rank]
    shape = (3, *sizes, 4) if data_format == "channels_last" else (3, 4, *sizes)
    layer = filled(
        BY_RANK[rank](6, 3, 2, "same", data_format=data_format, groups=groups, activation="relu"), shape
    )
    x = grid(*shape)
    wanted = reference.conv_transpose(
        x,
        layer.weights[0].value,
        2,
        "same",
        data_format=data_format,
        groups=groups,
        bias=layer.weights[1].value,
    )
    np.testing.assert_array_equal(layer(x), np.maximum(wanted, 0).astype("float32"))
    assert layer.compute_output_shape(shape) == wanted.shape
    assert layer.weights[0].shape == (*(3,) * rank, 6 // groups, 4)


def test_crops_are_an_extension() -> None:
    layer = filled(Conv2DTranspose(2, 3, 2, padding=((1, 2), (0, -1))), (1, 5, 3, 2))
    x = grid(1, 5, 3, 2)
    kernel, bias = layer.get_weights()
    wanted = conv_transpose(x, kernel, 2, ((1, 2), (0, -1)), bias=bias)
    np.testing.assert_array_equal(layer(x), wanted)
    assert layer.compute_output_shape((1, None, 3, 2)) == (1, None, wanted.shape[2], 2)
    assert Conv2DTranspose.from_config(layer.get_config()).padding == ((1, 2), (0, -1))


def test_strided_dilation_is_an_option() -> None:
    with pytest.raises(ValueError, match=r"strides > 1 together .* allow_strided_dilation=True"):
        Conv2DTranspose(2, 3, (1, 2), dilation_rate=(2, 1))
    layer = filled(
        Conv2DTranspose(2, 3, (1, 2), dilation_rate=(2, 1), allow_strided_dilation=True), (1, 5, 3, 2)
    )
    x = grid(1, 5, 3, 2)
    wanted = reference.conv_transpose(x, layer.weights[0].value, (1, 2), dilation_rate=(2, 1))
    np.testing.assert_array_equal(layer(x), wanted.astype("float32") + layer.weights[1].value)
    config = layer.get_config()
    assert config["allow_strided_dilation"] is True
    assert Conv2DTranspose.from_config(config).get_config() == config


def test_inputs_are_cast_to_the_layer() -> None:
    layer = filled(Conv1DTranspose(2, 3), (None, 5, 3))
    x = grid(1, 5, 3)
    for given in (x.astype("float64"), x.astype("float16"), x.astype(">f4"), x.tolist(), x[:, ::-1][:, ::-1]):
        y = layer(given)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, layer(x))
    with pytest.raises(TypeError, match=r"inputs must be float32, .* but it is int64"):
        layer(x.astype("int64"))


def test_no_autocast() -> None:
    layer = filled(Conv1DTranspose(2, 3, autocast=False), (None, 5, 3))
    with pytest.raises(TypeError, match="inputs is float64 and kernel is float32"):
        layer(grid(1, 5, 3, dtype="float64"))


@pytest.mark.parametrize("dtype", ["float64", "float16", "mixed_float16", np.float64, np.dtype("float16")])
def test_types(dtype: Any) -> None:
    layer = Conv1DTranspose(2, 3, dtype=dtype, kernel_initializer="ones", bias_initializer="ones")
    y = layer(grid(1, 5, 3))
    mixed = dtype == "mixed_float16"
    compute = np.dtype("float16" if mixed else dtype)
    assert y.dtype == compute
    assert layer.compute_dtype == compute.name
    assert layer.dtype == ("float32" if mixed else compute.name)
    assert layer.weights[0].dtype.name == layer.dtype
    again = Conv1DTranspose.from_config(layer.get_config())
    assert (again.dtype, again.compute_dtype) == (layer.dtype, layer.compute_dtype)


def test_glu_halves_the_channels() -> None:
    layer = filled(Conv1DTranspose(4, 3, activation="glu"), (1, 5, 3))
    x = grid(1, 5, 3)
    linear = filled(Conv1DTranspose(4, 3), (1, 5, 3))
    np.testing.assert_array_equal(layer(x), activations.get("glu")(linear(x)))
    assert layer(x).shape == layer.compute_output_shape(x.shape) == (1, 7, 2)


def test_a_callable_as_activation() -> None:
    layer = filled(Conv1DTranspose(2, 3, activation=np.square), (1, 5, 3))
    x = grid(1, 5, 3)
    np.testing.assert_array_equal(layer(x), filled(Conv1DTranspose(2, 3), (1, 5, 3))(x) ** 2)
    with pytest.raises(TypeError, match="derivative of the activation square is not known"):
        layer.vjp(x)


# Packed weights


def test_changed_weights_are_noticed() -> None:
    layer = filled(Conv2DTranspose(2, 3), (1, 5, 3, 2))
    x = grid(1, 5, 3, 2)
    first = layer(x)
    layer.kernel.assign(2 * layer.kernel.value)
    bias = layer.weights[1].value
    np.testing.assert_array_equal(layer(x) - bias, 2 * (first - bias))
    layer.weights[1].assign(bias + 1)
    np.testing.assert_array_equal(layer(x) - bias - 1, 2 * (first - bias))
    layer.set_weights([w / 2 for w in layer.get_weights()])
    np.testing.assert_array_equal(layer(x), (2 * (first - bias) + bias + 1) / 2)


def test_the_plan_is_kept_while_weights_are() -> None:
    layer = filled(Conv2DTranspose(2, 3), (1, 5, 3, 2))
    layer(grid(1, 5, 3, 2))
    kept = layer._packed
    layer(grid(2, 7, 3, 2))
    assert layer._packed is kept
    layer.kernel.assign(layer.kernel.value)
    layer(grid(1, 5, 3, 2))
    assert layer._packed is not kept


def test_weights_cannot_be_changed_behind_the_layer() -> None:
    layer = filled(Conv2DTranspose(2, 3), (1, 5, 3, 2))
    with pytest.raises(ValueError, match="read-only"):
        layer.kernel.value[...] = 0
    given = layer.get_weights()
    given[0][...] = 7  # a copy
    assert not np.array_equal(layer.get_weights()[0], given[0])


def test_copies_are_their_own() -> None:
    layer = filled(Conv2DTranspose(2, 3, activation="relu"), (1, 5, 3, 2))
    x = grid(1, 5, 3, 2)
    y = layer(x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(other(x), y)
        with pytest.raises(ValueError, match="read-only"):
            other.kernel.value[...] = 0
        other.kernel.assign(0 * other.kernel.value)
        assert not np.array_equal(other(x), y)
    np.testing.assert_array_equal(layer(x), y)
    foreign = Conv2DTranspose.in_dialect(TF_KERAS_2_9)(2, 3)
    assert type(pickle.loads(pickle.dumps(foreign))) is type(foreign)


# Gradients


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("activation", [None, "tanh", "softmax", "gelu", "glu"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_vjp_against_finite_differences(rank: int, activation: Any, data_format: str) -> None:
    sizes = SIZES[:rank]
    shape = (2, *sizes, 3) if data_format == "channels_last" else (2, 3, *sizes)
    layer = BY_RANK[rank](
        4, 3, 2, "same", data_format=data_format, activation=activation, dtype="float64", use_bias=rank != 2
    )
    layer.build(shape)
    layer.set_weights([smooth(*w.shape, seed=n + 1) for n, w in enumerate(layer.weights)])
    x = smooth(*shape, seed=7)
    outputs, pullback = layer.vjp(x)
    np.testing.assert_array_equal(outputs, layer(x))
    weigh = smooth(*outputs.shape, seed=8)
    gradients = pullback(weigh)
    along = smooth(*shape, seed=9)
    expected = slope(lambda at: np.sum(weigh * layer(at)), x, along)
    assert np.sum(gradients.inputs * along) == pytest.approx(expected, rel=1e-6)
    assert len(gradients.weights) == len(layer.trainable_weights)
    for variable, gradient in zip(layer.trainable_weights, gradients.weights, strict=True):
        along, value = smooth(*variable.shape, seed=10), variable.value

        def loss(at: Any, variable: Variable = variable) -> Any:
            variable.assign(at)
            return np.sum(weigh * layer(x))

        expected = slope(loss, value, along)
        variable.assign(value)
        assert np.sum(gradient * along) == pytest.approx(expected, rel=1e-6, abs=1e-7)  # some are 0


def test_pullback_keeps_the_weights_of_its_call() -> None:
    layer = filled(Conv1DTranspose(2, 3), (1, 5, 3))
    x = grid(1, 5, 3)
    outputs, pullback = layer.vjp(x)
    before = pullback(np.ones_like(outputs))
    layer.kernel.assign(0 * layer.kernel.value)
    after = pullback(np.ones_like(outputs))
    np.testing.assert_array_equal(before.inputs, after.inputs)
    np.testing.assert_array_equal(before.kernel, after.weights[0])
    with pytest.raises(ValueError, match=r"gradient must have the shape \(1, 7, 2\) .* Got \(1, 7\)"):
        pullback(np.ones((1, 7), "float32"))


def test_vjp_of_a_model() -> None:
    model = Sequential(
        [
            Conv2DTranspose(3, 3, 2, "same", activation="tanh", input_shape=(3, 2, 2), dtype="float64"),
            Conv2DTranspose(2, 2, activation="sigmoid", use_bias=False, dtype="float64"),
        ]
    )
    model.set_weights([smooth(*w.shape, seed=n) for n, w in enumerate(model.weights)])
    x = smooth(2, 3, 2, 2, seed=5)
    outputs, pullback = model.vjp(x)
    weigh, along = smooth(*outputs.shape, seed=6), smooth(*x.shape, seed=7)
    gradients = pullback(weigh)
    expected = slope(lambda at: np.sum(weigh * model(at)), x, along)
    assert np.sum(gradients.inputs * along) == pytest.approx(expected, rel=1e-6)
    assert [g.shape for g in gradients.weights] == [w.shape for w in model.trainable_weights]
    first = model.weights[0]
    value, along = first.value, smooth(*first.shape, seed=8)

    def loss(at: Any) -> Any:
        first.assign(at)
        return np.sum(weigh * model(x))

    assert np.sum(gradients.weights[0] * along) == pytest.approx(slope(loss, value, along), rel=1e-6)


def test_frozen_weights_have_no_place_among_gradients() -> None:
    model = Sequential([Conv1DTranspose(2, 3, input_shape=(5, 1)), Conv1DTranspose(1, 2)])
    model.layers[0].trainable = False
    outputs, pullback = model.vjp(grid(1, 5, 1))
    gradients = pullback(np.ones_like(outputs))
    assert [g.shape for g in gradients.weights] == [(2, 1, 2), (1,)]
    assert [w.shape for w in model.non_trainable_weights] == [(3, 2, 1), (2,)]


# Losses and constraints


def test_losses_in_order() -> None:
    layer = Conv1DTranspose(
        2,
        3,
        kernel_initializer="ones",
        bias_initializer="ones",
        kernel_regularizer="l2",
        bias_regularizer="l1",
        activity_regularizer="l1",
    )
    layer(np.ones((2, 4, 1), "float32"))
    layer.add_loss(0.5)
    activity = (12 + 6) * 2 * 0.01  # 4 inputs of 3 taps and 6 biases, for 2 filters; a batch is averaged
    np.testing.assert_allclose(layer.losses, [activity, 0.5, 6 * 0.01, 2 * 0.01], rtol=1e-6)
    layer(np.ones((2, 4, 1), "float32"))
    assert len(layer.losses) == 3
    assert len(Sequential([layer]).losses) == 3
    layer.trainable = False
    assert len(layer.losses) == 1


def test_constraints_are_applied_after_an_update() -> None:
    layer = filled(Conv1DTranspose(2, 3, kernel_constraint="non_neg"), (1, 5, 1))
    assert layer.weights[0].value.min() < 0  # setting weights applies none, as in Keras
    layer.apply_constraints()
    assert layer.weights[0].value.min() == 0
    bias = layer.get_weights()[1]
    layer.weights[0].assign(-np.ones((3, 2, 1)))
    layer.weights[0].constrain()
    np.testing.assert_array_equal(layer.weights[0].value, 0)
    np.testing.assert_array_equal(layer.get_weights()[1], bias)


# Names


def test_automatic_names() -> None:
    clear_session()
    assert [Conv2DTranspose(1, 2).name for _ in range(2)] == ["conv2d_transpose", "conv2d_transpose_1"]
    assert Conv1DTranspose(1, 2, name="mine").name == "mine"
    assert Conv1DTranspose(1, 2).name == "conv1d_transpose"

    class HTTPUp2x(Conv2DTranspose):
        pass

    assert HTTPUp2x(1, 2).name == "http_up2x"
    assert Conv2DTranspose.in_dialect(TF_KERAS_2_9)(1, 2).name == "conv2d_transpose"  # counts alone
    clear_session()
    assert Conv2DTranspose(1, 2).name == "conv2d_transpose"


def test_paths_of_weights() -> None:
    layer = Conv1DTranspose(2, 3, name="up")
    with name_scope("outer"):
        layer.build((None, 5, 1))
    assert [(w.name, w.path) for w in layer.weights] == [
        ("kernel", "outer/up/kernel"),
        ("bias", "outer/up/bias"),
    ]
    inner = Sequential([Conv1DTranspose(2, 3, name="a")], name="inner")
    model = Sequential([inner, Conv1DTranspose(1, 2, name="b")], name="model")
    model.build((None, 5, 1))
    assert [w.path for w in model.weights][::2] == ["model/inner/a/kernel", "model/b/kernel"]
    assert [layer.name for layer in model.submodules] == ["inner", "a", "b"]


def test_names_of_keras2() -> None:
    cls = Conv1DTranspose.in_dialect(TF_KERAS_2_9)
    built, called = cls(2, 3, name="a"), cls(2, 3, name="b")
    built.build((None, 5, 1))
    called(grid(1, 5, 1))
    assert [w.name for w in (built.weights[0], called.weights[0])] == ["kernel:0", "b/kernel:0"]
    model = Sequential.in_dialect(TF_KERAS_2_9)([cls(2, 3, name="c", input_shape=(5, 1))], name="m")
    assert [w.name for w in model.weights] == ["c/kernel:0", "c/bias:0"]


# Checks


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"filters": 0}, ValueError, r"filters must be positive. Got filters=0"),
        ({"filters": "2"}, TypeError, r"filters must be an int, but '2' is a str"),
        ({"kernel_size": (3, 3, 3)}, ValueError, r"kernel_size must be an int or a tuple of 2 ints.* has 3"),
        ({"kernel_size": 2.0}, ValueError, r"kernel_size must be an int .* Got kernel_size=2.0"),
        ({"kernel_size": (0, 3)}, ValueError, r"kernel_size must be at least 1 .* axis 0 it is 0"),
        ({"strides": (1, -1)}, ValueError, r"strides must be at least 1 .* axis 1 it is -1"),
        ({"dilation_rate": None}, ValueError, r"dilation_rate must be an int or a tuple of 2 ints"),
        ({"strides": 2, "output_padding": (0, 2)}, ValueError, r"smaller than the stride .* axis 1 it is 2"),
        ({"padding": "causal"}, ValueError, r"'causal' has no meaning"),
        ({"padding": None}, ValueError, r"padding must be 'valid', 'same' or 2 crops"),
        ({"data_format": "NHWC"}, ValueError, r"data_format must be .* Got 'NHWC'"),
        ({"groups": 0}, ValueError, r"groups must be at least 1. Got groups=0"),
        ({"groups": 2, "filters": 3}, ValueError, r"3 filters do not split into 2 groups"),
        ({"activation": "nosuch"}, ValueError, r"activation.*nosuch"),
        ({"kernel_initializer": 3}, ValueError, r"initializer.*3"),
        ({"flavour": 1}, ValueError, r"unknown keyword arguments: flavour. Conv2DTranspose also takes name"),
        ({"name": "a/b"}, ValueError, r"name must be a string without '/'. Got 'a/b'"),
        ({"dtype": "nonsense"}, ValueError, r"dtype must be the name of a floating-point type.*'nonsense'"),
    ],
)
def test_constructor_errors(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Conv2DTranspose(**{"filters": 4, "kernel_size": 3, **arguments})


def test_build_errors() -> None:
    for shape, message in (
        (
            (1, 5, 3),
            r"layer 'conv2d.*': input_shape must have 4 axes, the batch first, but it has 3",
        ),
        ((1, 5, 5, None), r"channels of input_shape must be known, but axis -1 is None"),
        ((1, 5, 5, 3), r"3 channels do not split into 2 groups"),
    ):
        layer = Conv2DTranspose(4, 3, groups=2)
        with pytest.raises(ValueError, match=message):
            layer.build(shape)
        assert not layer.built
        assert layer.weights == []
    with pytest.raises(ValueError, match=r"must be of a floating-point type, but the layer's dtype is int32"):
        Conv2DTranspose(4, 3, dtype="int32").build((1, 5, 5, 3))
    wrong = Conv2DTranspose(4, 3, bias_initializer=lambda shape, dtype=None: np.ones(1))
    with pytest.raises(ValueError, match=r"initializer of 'bias' must return the shape \(4,\)"):
        wrong.build((1, 5, 5, 1))
    assert wrong.weights == []
    built = filled(Conv2DTranspose(4, 3, name="up"), (1, 5, 5, 1))
    with pytest.raises(ValueError, match=r"layer 'up' has its weights already, .* \(1, 5, 5, 1\)"):
        built.build((1, 5, 5, 1))


def test_call_errors() -> None:
    layer = Conv2DTranspose(4, 3, name="up")
    with pytest.raises(ValueError, match=r"layer 'up' expected min_ndim=4, found ndim=3"):
        layer(grid(5, 3, 2))
    layer(grid(1, 5, 3, 2))
    with pytest.raises(ValueError, match=r"axis -1 of its inputs to have the length 2, but it has 3"):
        layer(grid(1, 5, 3, 3))
    with pytest.raises(ValueError, match=r"inputs must have 4 axes"):
        layer(grid(1, 5, 3, 2, 2))
    with pytest.raises(ValueError, match=r"input_shape must have 4 axes"):
        layer.compute_output_shape((1, 2, 3))


def test_set_weights_errors_change_nothing() -> None:
    layer = Conv2DTranspose(4, 3, name="up")
    with pytest.raises(ValueError, match=r"set_weights got 2 arrays, .* has 0 weights. Build it first"):
        layer.set_weights([grid(3, 3, 4, 2), grid(4)])
    with pytest.raises(ValueError, match=r"layer 'up' has no weights to count yet"):
        layer.count_params()
    filled(layer, (1, 5, 3, 2))
    before = layer.get_weights()
    with pytest.raises(ValueError, match=r"has the shape \(4,\), but set_weights got \(3,\)"):
        layer.set_weights([grid(3, 3, 4, 2, seed=9), grid(3)])
    with pytest.raises(ValueError, match=r"'up/bias' has \(4,\) and the new value has \(1,\)"):
        layer.weights[1].assign([1.0])
    for array, old in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, old)
    assert layer.count_params() == 3 * 3 * 4 * 2 + 4


def test_input_spec() -> None:
    spec = InputSpec(max_ndim=3, axes={-1: 2}, shape=(None, 2))
    spec.check((5, 2), "x")
    with pytest.raises(ValueError, match=r"layer 'x' expected max_ndim=3, found ndim=4"):
        spec.check((1, 1, 1, 2), "x")
    with pytest.raises(ValueError, match=r"expected inputs of shape \(None, 2\)"):
        spec.check((5, 5, 2), "x")


def test_many_lengths_do_not_pile_up() -> None:
    layer = filled(Conv1DTranspose(1, 2), (None, None, 1))
    for n in range(1, 600):
        layer(np.ones((1, n, 1), "float32"))
    assert len(layer._admitted) <= 256


# Configurations


def test_configurations_come_back() -> None:
    layer = Conv2DTranspose(
        4, (2, 3), (3, 2), "same", (2, 1), activation="relu", kernel_regularizer="l2", name="up", groups=2
    )
    config = json.loads(json.dumps(layer.get_config()))
    again = Conv2DTranspose.from_config(config)
    assert again.get_config() == layer.get_config()
    assert type(again.kernel_size) is tuple
    assert deserialize(serialize(layer)).get_config() == layer.get_config()


def test_deserialize_errors_and_custom_objects() -> None:
    with pytest.raises(TypeError, match=r"unknown layer class 'Lambda'. Known are: .*Conv2DTranspose"):
        deserialize({"class_name": "Lambda", "config": {}})
    with pytest.raises(ValueError, match="must hold class_name and config"):
        deserialize({"class_name": "Conv2DTranspose"})

    class Mine(Conv2DTranspose):
        pass

    data = serialize(Sequential([Mine(2, 3, name="m")]))
    with pytest.raises(TypeError, match="unknown layer class 'Mine'"):
        deserialize(data)
    made = deserialize(data, {"Mine": Mine})
    assert isinstance(made, Sequential)
    assert type(made.layers[0]) is Mine


def test_an_own_layer() -> None:
    class Scale(Layer):
        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            self.factor = self.add_weight("factor", (input_shape[-1],), initializers.Constant(3))

        def call(self, inputs: Any) -> Any:
            return inputs * self.factor.value

    layer = Scale(name="s")
    np.testing.assert_array_equal(layer(grid(2, 3)), 3 * grid(2, 3))
    assert layer.built
    assert layer.weights[0].path == "s/factor"
    assert layer.get_config()["name"] == "s"
    with pytest.raises(NotImplementedError, match="Scale has no gradient"):
        layer.vjp(grid(2, 3))
    with pytest.raises(NotImplementedError, match="Scale must define compute_output_shape"):
        layer.compute_output_shape((2, 3))


class Block(Layer):
    """A layer that holds layers: in an attribute, a list and a dict, one of them twice."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        deconvolution, dense = (cls.in_dialect(self.dialect) for cls in (Conv2DTranspose, Dense))
        self.first = deconvolution(3, 2, name="first", kernel_regularizer="l2")
        self.rest = [deconvolution(2, 2, name="second", use_bias=False), self.first]
        self.named = {"last": dense(1, name="last")}
        self.scale = self.add_weight("scale", (1,), initializers.Constant(2))

    def call(self, inputs: Any) -> Any:
        return self.named["last"](self.rest[0](self.first(inputs))) * self.scale.value


@pytest.mark.parametrize("dialect", [KERAS3, TF_KERAS_2_9])
def test_layers_inside_a_layer_of_ones_own(dialect: Dialect) -> None:
    block = Block.in_dialect(dialect)(name="block")
    assert not block.built
    assert [layer.name for layer in block.submodules] == ["first", "second", "last"]
    outputs = block(grid(1, 3, 5, 2))
    assert block.built
    assert outputs.shape == (1, 5, 7, 1)
    suffix = dialect.weight_suffix
    inside = ("first/kernel", "first/bias", "second/kernel", "last/kernel", "last/bias")
    assert [w.path for w in block.weights][1:] == [f"block/{name}{suffix}" for name in inside]
    assert block.trainable_variables == block.weights
    assert block.count_params() == sum(w.value.size for w in block.weights)
    assert [float(loss) for loss in block.losses] == [float(loss) for loss in block.first.losses]
    block.set_weights([np.zeros(w.shape) for w in block.weights])
    assert not block(grid(1, 3, 5, 2)).any()
    block.trainable = False
    assert not block.rest[0].trainable
    assert block.trainable_weights == []


def test_shapes_are_known_once_built() -> None:
    layer = Conv2DTranspose(3, 3, 2, "same", name="up")
    for name in ("input_shape", "output_shape"):
        with pytest.raises(AttributeError, match=r"layer 'up' has no shapes yet\. Call it first"):
            getattr(layer, name)
    layer(grid(1, 5, 3, 2))
    assert (layer.input_shape, layer.output_shape) == ((1, 5, 3, 2), (1, 10, 6, 3))
    model = Sequential([InputLayer((5, 3, 2)), Conv2DTranspose(3, 3), Dense(7)])
    assert [layer.output_shape for layer in model.layers] == [(None, 7, 5, 3), (None, 7, 5, 7)]
    assert model.layers[0].input_shape == InputLayer((5, 3, 2)).output_shape == (None, 5, 3, 2)


def test_a_layer_without_weights_is_built_by_a_call() -> None:
    class Twice(Layer):
        def call(self, inputs: Any) -> Any:
            return 2 * inputs

    layer = Twice()
    layer(grid(2, 3))
    assert layer.built
    assert layer.count_params() == 0


def test_a_failed_build_keeps_what_was_there_before() -> None:
    class Late(Layer):
        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            self.add_weight("late", (1,))
            raise ValueError("not today")

        def call(self, inputs: Any) -> Any:
            return inputs

    layer = Late()
    early = layer.add_weight("early", (1,))
    for _ in range(2):
        with pytest.raises(ValueError, match="not today"):
            layer(grid(2, 3))
        assert not layer.built
        assert layer.weights == [early]


# Models


def decoder() -> Sequential:
    return Sequential(
        [
            Conv2DTranspose(3, 3, 2, "same", activation="relu", input_shape=(5, 3, 2), name="a"),
            Conv2DTranspose(1, 2, 2, name="b"),
        ],
        name="decoder",
    )


def test_sequential_is_its_layers_in_order() -> None:
    model = decoder()
    model.set_weights([grid(*w.shape, seed=n) for n, w in enumerate(model.weights)])
    x = grid(3, 5, 3, 2)
    a, b = model.layers
    np.testing.assert_array_equal(model(x), b(a(x)))
    assert (model.input_shape, model.output_shape) == ((None, 5, 3, 2), (None, 20, 12, 1))
    assert model.count_params() == 3 * 3 * 3 * 2 + 3 + 2 * 2 * 3 + 1
    assert model.get_layer("b") is model.get_layer(index=1) is b
    with pytest.raises(ValueError, match=r"no layer 'c'. There are: a, b"):
        model.get_layer("c")


def test_sequential_builds_late_too() -> None:
    model = Sequential()
    model.add(Conv1DTranspose(2, 3))
    assert not model.built
    with pytest.raises(ValueError, match="is not built yet"):
        _ = model.output_shape
    model(grid(2, 5, 3))
    assert model.built
    model.add(Conv1DTranspose(1, 2))
    assert model.layers[1].built
    assert model.output_shape == (2, 8, 1)
    assert Sequential([InputLayer((5, 3)), Conv1DTranspose(2, 3)]).output_shape == (None, 7, 2)


def test_sequential_errors() -> None:
    model = Sequential([Conv1DTranspose(2, 3, name="a")])
    with pytest.raises(ValueError, match="'a' is there twice"):
        model.add(Conv1DTranspose(2, 3, name="a"))
    with pytest.raises(TypeError, match=r"takes a layer, but 3 is a int"):
        model.add(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="an input layer must come first"):
        model.add(InputLayer((5, 3)))
    with pytest.raises(ValueError, match=r"InputLayer needs shape="):
        InputLayer()
    assert model.pop().name == "a"
    with pytest.raises(ValueError, match="there is no layer to remove"):
        model.pop()


@pytest.mark.parametrize("count", [0, 1, 7, 32, 33])
def test_predict_does_not_depend_on_batches(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    model = decoder()
    x = grid(count, 5, 3, 2)
    whole = model(x)
    for size in (None, 1, 5):
        np.testing.assert_array_equal(model.predict(x, batch_size=size), whole)
    assert capsys.readouterr().out == ""
    model.predict(x, batch_size=5, verbose=2)
    batches = -(-count // 5)
    assert f"{batches}/{batches}" in capsys.readouterr().out
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        model.predict(x, batch_size=0)


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = decoder()
    model.summary()
    printed = capsys.readouterr().out
    for part in ("decoder", "a (Conv2DTranspose)", "(None, 10, 6, 3)", "57", "Total 70, trainable 70"):
        assert part in printed
    lines: list[str] = []
    Sequential([Conv1DTranspose(2, 3)]).summary(lines.append)
    assert "?" in lines[4]


def test_models_come_back() -> None:
    for model in (decoder(), Sequential([Conv1DTranspose(2, 3)], name="open")):
        config = json.loads(json.dumps(model.get_config()))
        again = Sequential.from_config(config)
        assert json.loads(json.dumps(again.get_config())) == config
        assert again.built == model.built
