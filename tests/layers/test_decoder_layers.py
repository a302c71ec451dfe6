"""Layers of decoders beside our own: against their definition in loops, in all generations' words."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from convtranspose import layers
from convtranspose.dialects import DIALECTS, KERAS3, TF_KERAS_2_9, TFJS
from convtranspose.layers import deserialize, serialize


def ints(shape, seed=0, low=-4, high=5):
    """Small integers: sums of them are exact in float32."""
    return np.random.default_rng(seed).integers(low, high, shape).astype("float32")


def channels_first(x):
    return np.moveaxis(x, -1, 1)


# Every layer with arguments that are not its defaults, and the shape of an input.
EVERY = [
    (layers.Activation, {"activation": "tanh"}, (5, 3)),
    (layers.ActivityRegularization, {"l1": 0.5, "l2": 0.25}, (5, 3)),
    (layers.AlphaDropout, {"rate": 0.25}, (5, 3)),
    (layers.BatchNormalization, {"momentum": 0.5, "epsilon": 0.25, "axis": 2}, (5, 3)),
    (layers.BatchNormalization, {"center": False, "scale": False}, (5, 3)),
    (layers.Conv1D, {"filters": 4, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}, (7, 3)),
    (layers.Conv2D, {"filters": 4, "kernel_size": (3, 2), "strides": 2, "activation": "relu"}, (7, 5, 3)),
    (
        layers.Conv3D,
        {"filters": 4, "kernel_size": 2, "padding": "same", "groups": 2, "use_bias": False},
        (3, 5, 2, 4),
    ),
    (layers.Cropping1D, {"cropping": (1, 2)}, (7, 3)),
    (layers.Cropping2D, {"cropping": ((1, 2), (0, 1))}, (7, 5, 3)),
    (layers.Cropping3D, {"cropping": ((1, 0), (0, 1), (2, 1))}, (3, 2, 5, 2)),
    (layers.Dense, {"units": 4, "activation": "softmax", "kernel_regularizer": "l2"}, (5, 3)),
    (layers.Dropout, {"rate": 0.25, "seed": 3, "noise_shape": (None, 1, 3)}, (5, 3)),
    (layers.ELU, {"alpha": 0.5}, (5, 3)),
    (layers.Flatten, {}, (5, 3)),
    (layers.GaussianDropout, {"rate": 0.25}, (5, 3)),
    (layers.GaussianNoise, {"stddev": 0.25}, (5, 3)),
    (layers.Identity, {}, (5, 3)),
    (layers.LeakyReLU, {"negative_slope": 0.25}, (5, 3)),
    (layers.PReLU, {"alpha_initializer": "he_normal", "shared_axes": [1]}, (5, 3)),
    (layers.ReLU, {"max_value": 2.0, "negative_slope": 0.25, "threshold": 0.5}, (5, 3)),
    (layers.Reshape, {"target_shape": (3, -1)}, (5, 3)),
    (layers.Softmax, {"axis": 1}, (5, 3)),
    (layers.SpatialDropout1D, {"rate": 0.25}, (5, 3)),
    (layers.SpatialDropout2D, {"rate": 0.25}, (5, 7, 3)),
    (layers.SpatialDropout3D, {"rate": 0.25}, (5, 2, 3, 2)),
    (layers.UpSampling1D, {"size": 3}, (5, 3)),
    (layers.UpSampling2D, {"size": (3, 2)}, (5, 7, 3)),
    (layers.UpSampling3D, {"size": (1, 3, 2)}, (5, 2, 3, 2)),
    (layers.ZeroPadding1D, {"padding": (1, 2)}, (5, 3)),
    (layers.ZeroPadding2D, {"padding": ((1, 2), (0, 3))}, (5, 7, 3)),
    (layers.ZeroPadding3D, {"padding": ((1, 0), (0, 1), (2, 1))}, (3, 2, 5, 2)),
]
IDS = [f"{n}-{cls.__name__}" for n, (cls, _, _) in enumerate(EVERY)]


def test_every_layer_is_here():
    ours = {cls for cls, _, _ in EVERY}
    other = {layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose, layers.InputLayer}
    models = {layers.Sequential, layers.Functional, layers.Layer}
    public = {
        c
        for c in map(vars(layers).get, layers.__all__)
        if isinstance(c, type) and issubclass(c, layers.Layer)
    }
    assert public - other - models == ours


SPOKEN = [
    pytest.param(dialect, *one, id=f"{name}-{number}")
    for name, dialect in DIALECTS.items()
    for number, one in zip(IDS, EVERY, strict=True)
    # TensorFlow.js has not all layers, and of ReLU one argument.
    if one[0].__name__ not in dialect.lacking and (dialect is not TFJS or one[0] is not layers.ReLU)
]


@pytest.mark.parametrize(("dialect", "cls", "options", "shape"), SPOKEN)
def test_configurations_make_the_same_layer(dialect, cls, options, shape):
    if dialect is TFJS:
        gone = ("groups", "kernel_regularizer", "alpha_initializer")
        options = {k: v for k, v in options.items() if k not in gone}
        if cls.__name__ in ("Conv1D", "Conv2D", "Conv3D", "Dense"):
            options["kernel_initializer"] = "glorotNormal"  # the name of Keras' default is unknown there
    layer = cls.in_dialect(dialect)(**options, name="one")
    x = ints((2, *shape))
    layer.build_for((None, *shape))
    again = deserialize(serialize(layer), dialect=dialect)
    again.build_for((None, *shape))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))
    assert serialize(again) == serialize(layer)
    assert type(again) is type(layer)


@pytest.mark.parametrize(("cls", "options", "shape"), EVERY, ids=IDS)
def test_shapes_are_known_before(cls, options, shape):
    layer = cls(**options)
    x = ints((2, *shape))
    layer.build((None, *shape))
    assert layer.built
    outputs = layer(x)
    assert layer.compute_output_shape(x.shape) == outputs.shape
    assert layer.compute_output_shape((None, *shape)) == (None, *outputs.shape[1:])
    assert outputs.dtype == np.float32


@pytest.mark.parametrize(("cls", "options", "shape"), EVERY, ids=IDS)
def test_pullbacks_against_differences(cls, options, shape):
    layer = cls(**options, dtype="float64")
    random = np.random.default_rng(1)
    x = random.standard_normal((2, *shape))
    layer.build((None, *shape))
    layer.set_weights([np.abs(random.standard_normal(w.shape)) + 0.1 for w in layer.weights])
    outputs, pullback = layer.vjp(x)
    dy = random.standard_normal(outputs.shape)
    gradients = pullback(dy)
    np.testing.assert_array_equal(outputs, layer(x))
    step = 1e-6

    def slope(change):
        change(step)
        above = float(np.sum(layer(x) * dy))
        change(-2 * step)
        below = float(np.sum(layer(x) * dy))
        change(step)
        return (above - below) / (2 * step)

    direction = random.standard_normal(x.shape)
    start = x.copy()
    found = slope(lambda by: np.add(x, by * direction, out=x))
    np.testing.assert_allclose(np.sum(gradients.inputs * direction), found, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x, start, atol=1e-12)
    assert len(gradients.weights) == len(layer.trainable_weights)
    for weight, gradient in zip(layer.trainable_weights, gradients.weights, strict=True):
        direction = random.standard_normal(weight.shape)
        found = slope(lambda by, w=weight, d=direction: w.assign(w.value + by * d))
        np.testing.assert_allclose(np.sum(gradient * direction), found, rtol=1e-5, atol=1e-6)
    layer.trainable = False
    assert layer.vjp(x)[1](dy).weights == ()


# Values


def convolved(x, kernel, strides, dilation, before, sizes, groups):
    """An ordinary convolution in loops; ``before`` zeros stand before every axis."""
    out = np.zeros((len(x), *sizes, kernel.shape[-1]))
    c_in, c_out = x.shape[-1] // groups, kernel.shape[-1] // groups
    for place in itertools.product(*map(range, sizes)):
        for tap in itertools.product(*map(range, kernel.shape[:-2])):
            at = tuple(
                p * s + t * d - b for p, s, t, d, b in zip(place, strides, tap, dilation, before, strict=True)
            )
            if all(0 <= a < n for a, n in zip(at, x.shape[1:-1], strict=True)):
                for g in range(groups):
                    window = x[(slice(None), *at)][:, g * c_in : (g + 1) * c_in]
                    part = kernel[tap][:, g * c_out : (g + 1) * c_out]
                    out[(slice(None), *place)][:, g * c_out : (g + 1) * c_out] += window @ part
    return out


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("cls", "sizes", "k", "s", "d", "padding", "groups"),
    [
        (layers.Conv1D, (11,), (3,), (2,), (1,), "valid", 1),
        (layers.Conv1D, (11,), (4,), (3,), (1,), "same", 2),
        (layers.Conv1D, (11,), (3,), (1,), (2,), "causal", 1),
        (layers.Conv1D, (11,), (2,), (3,), (1,), "causal", 1),
        (layers.Conv2D, (7, 5), (3, 2), (2, 3), (1, 1), "same", 1),
        (layers.Conv2D, (7, 5), (3, 2), (1, 1), (2, 3), "valid", 2),
        (layers.Conv2D, (7, 5), (1, 2), (3, 4), (1, 1), "valid", 1),
        (layers.Conv3D, (3, 5, 4), (2, 3, 1), (1, 2, 1), (1, 1, 1), "same", 2),
        (layers.Conv3D, (3, 5, 4), (2, 3, 1), (1, 2, 3), (1, 1, 1), "valid", 1),
    ],
)
def test_convolutions(cls, sizes, k, s, d, padding, groups, data_format):
    x = ints((2, *sizes, 6))
    layer = cls(4, k, s, padding, data_format, d, groups)
    ours = x if data_format == "channels_last" else channels_first(x)
    layer(ours)
    kernel, bias = ints((*k, 6 // groups, 4), 1), ints((4,), 2)
    layer.set_weights([kernel, bias])
    reach = [(n - 1) * r + 1 for n, r in zip(k, d, strict=True)]
    if padding == "valid":
        out = [(i - r) // t + 1 for i, r, t in zip(sizes, reach, s, strict=True)]
        before = [0] * len(k)
    else:
        out = [-(-i // t) for i, t in zip(sizes, s, strict=True)]
        total = [max((o - 1) * t + r - i, 0) for o, t, r, i in zip(out, s, reach, sizes, strict=True)]
        before = [r - 1 for r in reach] if padding == "causal" else [t // 2 for t in total]
    wanted = convolved(x, kernel, s, d, before, out, groups) + bias
    found = layer(ours)
    np.testing.assert_array_equal(
        found if data_format == "channels_last" else np.moveaxis(found, 1, -1), wanted
    )


def test_a_convolution_of_changing_lengths():
    layer = layers.Conv1D(2, 3, 3)
    layer.build((None, None, 1))
    layer.set_weights([ints((3, 1, 2), 1), ints((2,), 2)])
    for length in range(3, 30):
        x = ints((1, length, 1), length)
        wanted = (
            convolved(x, layer.kernel.value, (3,), (1,), (0,), ((length - 3) // 3 + 1,), 1) + layer.bias.value
        )
        np.testing.assert_array_equal(layer(x), wanted)
    with pytest.raises(ValueError, match="at least as long as the dilated kernel, but on axis 0 they have 2"):
        layer(ints((1, 2, 1)))


def test_dense():
    layer = layers.Dense(3)
    x = ints((2, 5, 4))
    layer(x)
    kernel, bias = ints((4, 3), 1), ints((3,), 2)
    layer.set_weights([kernel, bias])
    np.testing.assert_array_equal(layer(x), np.einsum("nic,co->nio", x, kernel) + bias)


@pytest.mark.parametrize("axis", [-1, 1, [3]])
def test_batch_normalization(axis):
    layer = layers.BatchNormalization(axis=axis, epsilon=0.25)
    x = ints((2, 3, 5, 4))
    layer(x)
    c = layer.gamma.shape[0]
    gamma, beta, mean = ints((c,), 1), ints((c,), 2), ints((c,), 3)
    variance = np.resize([0.0, 0.75, 3.75, 15.75], c)  # with epsilon, squares of powers of two
    layer.set_weights([gamma, beta, mean, variance])
    shape = [1, 1, 1, 1]
    shape[axis if isinstance(axis, int) else axis[0]] = c
    gamma, beta, mean, variance = (a.reshape(shape) for a in (gamma, beta, mean, variance))
    np.testing.assert_array_equal(layer(x), gamma * (x - mean) / np.sqrt(variance + 0.25) + beta)
    with pytest.raises(ValueError, match="inference form only"):
        layer(x, training=True)


def test_batch_normalization_sees_new_weights():
    layer = layers.BatchNormalization(epsilon=0)
    x = ints((2, 3))
    layer(x)
    layer.moving_mean.assign([1, 2, 3])
    np.testing.assert_array_equal(layer(x), x - [1, 2, 3])


def test_prelu_shares_its_slopes():
    layer = layers.PReLU(shared_axes=(1, 2))
    x = ints((2, 3, 5, 4))
    layer(x)
    slopes = ints((1, 1, 4), 1)
    layer.set_weights([slopes])
    np.testing.assert_array_equal(layer(x), np.where(x > 0, x, x * slopes))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_moving_numbers(data_format):
    x = ints((2, 5, 7, 3))
    given = x if data_format == "channels_last" else channels_first(x)

    def through(layer):
        found = layer(given)
        return found if data_format == "channels_last" else np.moveaxis(found, 1, -1)

    pads = ((1, 2), (0, 3))
    found = through(layers.ZeroPadding2D(pads, data_format))
    np.testing.assert_array_equal(found, np.pad(x, ((0, 0), *pads, (0, 0))))
    np.testing.assert_array_equal(through(layers.Cropping2D(pads, data_format)), x[:, 1:3, 0:4])
    wanted = x.repeat(3, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(through(layers.UpSampling2D((3, 2), data_format)), wanted)
    np.testing.assert_array_equal(layers.Flatten(data_format)(given), x.reshape(2, -1))


def test_reshape_finds_the_open_length():
    assert layers.Reshape((-1, 3)).compute_output_shape((None, 5, 6)) == (None, 10, 3)
    assert layers.Reshape((-1, 3)).compute_output_shape((4, None, 6)) == (4, None, 3)


def test_losses_of_activity_regularization():
    layer = layers.ActivityRegularization(l1=0.5, l2=0.25)
    x = ints((2, 5))
    layer(x)
    np.testing.assert_allclose(layer.losses, [(0.5 * np.abs(x).sum() + 0.25 * (x * x).sum()) / 2], rtol=1e-6)


# Words of the generations


def test_leaky_relu_in_three_generations():
    configs = {
        d.name: layers.LeakyReLU.in_dialect(d)(0.25).get_config() for d in (KERAS3, TF_KERAS_2_9, TFJS)
    }
    assert configs["keras3"]["negative_slope"] == 0.25
    assert configs["tf_keras_2_9"]["alpha"] == configs["tfjs"]["alpha"] == 0.25
    assert "alpha" not in configs["keras3"]
    assert "negative_slope" not in configs["tf_keras_2_9"]
    x = ints((2, 3))
    for config in configs.values():
        slope = {k: v for k, v in config.items() if k in ("alpha", "negative_slope")}
        np.testing.assert_array_equal(layers.LeakyReLU(**slope)(x), np.where(x > 0, x, 0.25 * x))


# Wrong arguments


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.Dense(0), ValueError, "units must be at least 1"),
        (lambda: layers.Dense(2.0), TypeError, "units must be an int"),
        (lambda: layers.Dense(2).build((None, None)), ValueError, "last axis of input_shape must be known"),
        (lambda: layers.Dropout(1.5), ValueError, "rate must be a number between 0 and 1"),
        (lambda: layers.Dropout("a"), ValueError, "rate must be a number between 0 and 1"),
        (lambda: layers.LeakyReLU(-1), ValueError, "negative_slope must be a number of at least 0"),
        (lambda: layers.LeakyReLU(float("nan")), ValueError, "negative_slope must be a number of at least 0"),
        (lambda: layers.ReLU(max_value=-1), ValueError, "max_value must be a number of at least 0"),
        (lambda: layers.Reshape((-1, -1)), ValueError, "target_shape may hold one -1"),
        (lambda: layers.Reshape((7,))(ints((1, 6))), ValueError, "as many numbers as an input"),
        (lambda: layers.Reshape((4, -1))(ints((1, 6))), ValueError, "as many numbers as an input"),
        (lambda: layers.ZeroPadding2D((1, 2, 3)), ValueError, "padding must be an int or 2 ints or pairs"),
        (lambda: layers.ZeroPadding2D(-1), ValueError, "padding must be at least 0"),
        (lambda: layers.Cropping1D(3)(ints((1, 6, 1))), ValueError, "must leave at least one sample"),
        (lambda: layers.UpSampling2D(0), ValueError, "size must be at least 1"),
        (lambda: layers.UpSampling2D(2, interpolation="bilinear"), ValueError, "must be 'nearest'"),
        (lambda: layers.UpSampling2D()(ints((1, 6, 1))), ValueError, "expected ndim=4, found ndim=3"),
        (lambda: layers.Conv2D(2, 3, padding="causal"), ValueError, "padding must be 'valid' or 'same'"),
        (lambda: layers.Conv2D(3, 3, groups=2), ValueError, "groups must divide the filters"),
        (lambda: layers.Conv2D(2, 3, groups=2)(ints((1, 5, 5, 3))), ValueError, "that the groups divide"),
        (lambda: layers.Conv2D(2, 3, 2, dilation_rate=2), ValueError, "strides > 1 together with dilation"),
        (lambda: layers.Conv1D(2, 3).compute_output_shape((None, 5)), ValueError, "must have 3 axes"),
        (lambda: layers.BatchNormalization(axis=(1, 2)), ValueError, "axis must be one int"),
        (lambda: layers.BatchNormalization(axis=0)(ints((1, 2))), ValueError, "axis must be one of the axes"),
        (lambda: layers.BatchNormalization(epsilon=-1), ValueError, "epsilon must be a number of at least 0"),
        (
            lambda: layers.BatchNormalization().build((None, None)),
            ValueError,
            "channels of input_shape must be",
        ),
        (
            lambda: layers.PReLU(shared_axes=(3,))(ints((1, 2))),
            ValueError,
            "shared_axes must lie between 1 and 1",
        ),
        (lambda: layers.PReLU().build((None, None, 2)), ValueError, "must know the lengths of all axes"),
        (lambda: layers.Softmax()("a"), TypeError, "inputs must be an array"),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


# Arithmetic, for tables of layers


@pytest.mark.parametrize(
    ("layer", "shape", "wanted"),
    [
        (layers.Dense(4), (2, 5, 3), 2 * 5 * 3 * 4),
        (layers.Conv2D(4, (3, 2), 2), (2, 7, 5, 3), 2 * 3 * 2 * (3 * 2) * 3 * 4),
        (layers.Conv2D(4, 3, padding="same", groups=2), (1, 7, 5, 6), 7 * 5 * 9 * 6 * 4 // 2),
        (layers.Conv1DTranspose(4, 3, 2), (2, 5, 3), 2 * 5 * 3 * 3 * 4),
        (layers.ReLU(), (2, 5, 3), 0),
    ],
)
def test_multiplications_are_counted(layer, shape, wanted):
    layer.build((None, *shape[1:]))
    assert layer.multiply_adds(shape) == wanted
    plan = layer.plan_for(shape)
    assert (plan is None) == (type(layer).__name__ in ("Dense", "ReLU"))
    if plan is not None:
        assert plan.output_shape(shape) == layer.compute_output_shape(shape)
