"""The face of TensorFlow.js: what its recorded cases do not say."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import convtranspose
import convtranspose.layers
from convtranspose import tf_keras, tfjs
from convtranspose.dialects import KERAS3, TFJS
from convtranspose.layers import clear_session


@pytest.fixture(autouse=True)
def _numbers_start_again():
    clear_session()


def up(**config):
    return tfjs.layers.conv2dTranspose({"filters": 2, "kernelSize": 3, **config})


def small(shape, seed=0):
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


# Names


def test_layers_are_numbered_by_class():
    names = [up().name, up(name="own").name, up().name]
    names.append(tfjs.layers.conv3dTranspose({"filters": 1, "kernelSize": 1}).name)
    assert names == [
        "conv2d_transpose_Conv2DTranspose1",
        "own",
        "conv2d_transpose_Conv2DTranspose2",
        "conv3d_transpose_Conv3DTranspose1",
    ]
    assert [tfjs.sequential().name for _ in range(2)] == ["sequential_1", "sequential_2"]


def test_weights_take_the_layer_s_name_at_a_call_only():
    first, second, called = up(), up(), up(name="up")
    first.build((None, 5, 7, 3))
    second.build((None, 5, 7, 3))
    called.apply(np.ones((1, 5, 7, 3)))
    assert [w.name for w in first.weights] == ["kernel", "bias"]
    assert [w.name for w in second.weights] == ["kernel_1", "bias_1"]
    assert [w.name for w in called.trainableWeights] == ["up/kernel", "up/bias"]
    assert called.nonTrainableWeights == []


def test_clear_session_starts_the_names_of_weights_again():
    for _ in range(2):
        clear_session()
        layer = up()
        layer.build((None, 5, 7, 3))
        assert layer.weights[0].name == "kernel"


# Values


def test_kernel_begins_as_glorot_normal_of_tfjs():
    layer = tfjs.layers.conv2dTranspose({"filters": 64, "kernelSize": 5})
    layer.build((None, 5, 7, 32))
    kernel, bias = layer.getWeights()
    wanted = np.sqrt(2 / (25 * (64 + 32)))  # of the normal distribution, before it is cut off at 2
    assert np.abs(kernel).max() <= 2 * wanted
    assert_allclose(kernel.std(), wanted * 0.87962566, rtol=0.02)
    assert_array_equal(bias, np.zeros(64))


@pytest.mark.parametrize("dtype", ["int32", "bool", "uint8", "float16", "float64"])
def test_every_type_is_computed_in_float32(dtype):
    layer, x = up(kernelInitializer="ones"), np.ones((1, 2, 3, 1), dtype)
    y = layer.apply(x)
    assert y.dtype == np.float32
    assert_array_equal(y, layer.apply(x.astype("float32")))


def test_words_are_no_numbers():
    with pytest.raises(TypeError, match="inputs must be"):
        up().apply(np.array([["a"]]))


def test_data_formats_agree():
    x = small((2, 3, 5, 7))
    last, first = (
        up(strides=[2, 1], padding="same", dataFormat=f) for f in ("channelsLast", "channelsFirst")
    )
    wanted = last.apply(x)
    first.build((None, 7, 3, 5))
    first.setWeights(last.getWeights())
    assert_array_equal(first.apply(x.transpose(0, 3, 1, 2)), wanted.transpose(0, 3, 1, 2))


def test_set_weights_applies_constraints():
    layer = up(kernelConstraint="nonNeg", useBias=False)
    layer.build((None, 5, 7, 1))
    kernel = small((3, 3, 2, 1))
    layer.setWeights([kernel])
    assert_array_equal(layer.getWeights()[0], np.maximum(kernel, 0))
    started = up(kernelConstraint="nonNeg", useBias=False, weights=[kernel])
    started.build((None, 5, 7, 1))
    assert_array_equal(started.getWeights()[0], np.maximum(kernel, 0))


def test_an_activity_regularizer_is_refused_at_the_call():
    layer = up(activityRegularizer="l1l2")
    layer.build((None, 5, 7, 1))
    with pytest.raises(NotImplementedError, match="no activityRegularizer at a call"):
        layer.apply(np.ones((1, 5, 7, 1)))


# What is refused, and what is ignored


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"filters": 0}, r"filters must be a number > 0\. Got filters=0"),
        ({"filters": "2"}, r"filters must be a number > 0"),
        (
            {"kernelSize": "3"},
            r"kernelSize must be a number or an array of 1 to 3 numbers\. Got kernelSize='3'",
        ),
        ({"kernelSize": None}, r"kernelSize must be a number"),
        ({"kernelSize": True}, r"kernelSize must be a number"),
        ({"kernelSize": [3, 2, 1]}, r"kernelSize must be a number or an array of 2 integers"),
        (
            {"strides": [1, 2.5]},
            r"strides must be a number or an array of 2 integers\. .* 2\.5 is no integer",
        ),
        ({"strides": "2"}, r"strides must be a number or an array of 2 integers"),
        ({"dilationRate": [1]}, r"dilationRate must be a number or an array of 2 integers"),
        ({"padding": "SAME"}, r"padding must be 'valid' or 'same'\. Got padding='SAME'"),
        ({"padding": "causal"}, r"'causal' has no meaning"),
        ({"padding": ["same"]}, r"padding must be 'valid' or 'same'"),
        ({"dataFormat": "channels_last"}, r"dataFormat must be 'channelsFirst' or 'channelsLast'"),
        ({"kernelInitializer": "glorot_normal"}, r"Unknown initializer: glorot_normal\. .*Did you mean"),
        ({"kernelRegularizer": "l2"}, r"Unknown regularizer: l2"),
        ({"biasConstraint": "max_norm"}, r"Unknown constraint: max_norm"),
        ({"activation": "leakyRelu"}, r"Unknown activation: leakyRelu"),
    ],
)
def test_bad_configurations(config, message):
    with pytest.raises(ValueError, match=message):
        up(**config)


def test_kernel_size_is_required():
    with pytest.raises(AssertionError, match=r"required key 'kernelSize' not in config. Got filters"):
        tfjs.layers.conv2dTranspose({"filters": 2})


@pytest.mark.parametrize("size", [-1, 2.5])
def test_impossible_sizes_fail_at_build(size):
    layer = up(kernelSize=size)
    with pytest.raises(ValueError, match=r"must not be negative|must hold integers"):
        layer.build((None, 5, 7, 1))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"outputPadding": 0}, r"ignores outputPadding=0\. convtranspose\.layers compute it"),
        ({"dilationRate": [1, 2]}, r"ignores dilationRate=\(1, 2\)"),
        ({"groups": 2}, r"ignores groups=2"),
        ({"dtype": "float64"}, r"ignores dtype='float64'\. Its layers are of float32"),
        ({"use_bias": False}, r"ignores use_bias=False\. It says 'useBias'"),
        ({"flavour": 1}, r"ignores flavour=1\. It has no such key"),
    ],
)
def test_what_is_ignored_is_told(config, message):
    with pytest.warns(UserWarning, match=message) as told:
        layer = up(strides=2, name="up", **config)
    assert told[0].filename == __file__
    assert layer.getConfig() == up(strides=2, name="up").getConfig()


def test_nothing_is_told_of_defaults():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        up(outputPadding=None, dilationRate=[1, 1], groups=1, dtype="float32", activation=None, strides=None)


# Configurations


def test_configuration_comes_back():
    layer = up(
        strides=[2, 3],
        padding="same",
        dataFormat="channelsFirst",
        activation="gelu_new",
        kernelInitializer="leCunUniform",
        kernelRegularizer={"className": "L1L2", "config": {"l1": 0.5, "l2": 0.25}},
        kernelConstraint="minMaxNorm",
        inputShape=[3, 5, 7],
        name="up",
        trainable=False,
    )
    config = layer.getConfig()
    assert config["strides"] == [2, 3]
    assert config["batchInputShape"] == [None, 3, 5, 7]
    assert config["activation"] == "gelu_new"
    assert tfjs.layers.conv2dTranspose(config).getConfig() == config
    assert tfjs.layers.Conv2DTranspose.fromConfig(config).getConfig() == config
    assert tfjs.layers.Conv2DTranspose.from_config(layer.get_config()).getConfig() == config
    written = tfjs.layers.serialize(layer)
    assert written["config"]["kernel_initializer"]["config"]["mode"] == "fan_in"
    assert written["config"]["data_format"] == "channels_first"
    assert tfjs.layers.deserialize(written).getConfig() == config


def test_what_keras_2_wrote_is_read_with_what_tfjs_drops():
    written = convtranspose.layers.Conv2DTranspose.in_dialect(tf_keras.generation("2.9").dialect)(
        4, 3, strides=2, output_padding=1, activation="hard_sigmoid", name="up"
    )
    item = convtranspose.layers.serialize(written)
    with pytest.warns(UserWarning, match="ignores outputPadding"):
        layer = tfjs.layers.deserialize(item)
    assert layer.getConfig()["activation"] == "hardSigmoid"
    assert layer.computeOutputShape((None, 5, 7, 1)) == (None, 11, 15, 4)


def test_other_classes_are_read_as_layers():
    flat = tfjs.layers.deserialize({"class_name": "Flatten", "config": {"name": "flat"}})
    assert flat.dialect is TFJS
    assert flat.name == "flat"
    with pytest.raises(ValueError, match="unknown layer class 'Conv1DTranspose'"):
        tfjs.layers.deserialize({"class_name": "Conv1DTranspose", "config": {}})


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_keep_class_and_weights(copied):
    layer = up(name="up")
    x = small((1, 3, 5, 2))
    y = layer.apply(x)
    twin = copied(layer)
    assert type(twin) is tfjs.layers.Conv2DTranspose
    assert_array_equal(twin.apply(x), y)


# Models and files


def model():
    return tfjs.sequential(
        {
            "name": "decoder",
            "layers": [
                up(strides=2, activation="relu", inputShape=[3, 5, 1], name="a"),
                up(filters=1, padding="same", kernelConstraint="nonNeg"),
            ],
        }
    )


def test_a_model():
    made = model()
    assert made.getConfig()["layers"][0]["config"]["name"] == "a"
    assert made.countParams() == 2 * 9 + 2 + 2 * 9 + 1
    made.setWeights([-np.ones_like(w) for w in made.getWeights()])
    assert_array_equal(made.getWeights()[2], np.zeros((3, 3, 1, 2)))
    assert made.predict(np.ones((7, 3, 5, 1))).shape == (7, 7, 11, 1)
    assert made.getLayer("a") is made.getLayer(0) is made.layers[0]
    with pytest.raises(ValueError, match=r"no layer 'b'\. There are: a, conv2d"):
        made.getLayer("b")
    assert (made.inputShape, made.outputShape) == ((None, 3, 5, 1), (None, 7, 11, 1))
    assert made.getLayer(1).inputShape == made.getLayer(0).outputShape == (None, 7, 11, 2)
    assert convtranspose.formats.from_json(made.toJSON()).output_shape == made.outputShape


def test_weights_of_a_model_begin_with_the_trainable_ones(tmp_path):
    def chain(dialect):
        layers = convtranspose.layers
        up, norm = (cls.in_dialect(dialect) for cls in (layers.Conv2DTranspose, layers.BatchNormalization))
        first = {"input_shape": (3, 5, 7), "name": "one", "kernel_initializer": "ones"}
        return up(7, 1, **first), norm(name="norm"), up(7, 1, name="two", kernel_initializer="ones")

    theirs = tfjs.sequential({"layers": chain(TFJS)})
    assert [w.name for w in theirs.weights] == [
        *("one/kernel", "one/bias", "norm/gamma", "norm/beta", "two/kernel", "two/bias"),
        *("norm/moving_mean", "norm/moving_variance"),
    ]
    assert [w.name for w in theirs.nonTrainableWeights] == [w.name for w in theirs.weights[6:]]
    theirs.layers[0].trainable = False
    assert [w.name for w in theirs.weights][:2] == ["norm/gamma", "norm/beta"]
    theirs.layers[0].trainable = True
    ours = convtranspose.layers.Sequential(chain(KERAS3))
    assert [w.name for w in ours.weights][4:6] == ["moving_mean", "moving_variance"]
    ours.set_weights([np.full(w.shape, n + 1.0) for n, w in enumerate(ours.weights)])
    ours.save(tmp_path / "ours.npz")
    theirs.load_weights(tmp_path / "ours.npz")
    assert [w.value.ravel()[0] for w in theirs.weights] == [1, 2, 3, 4, 7, 8, 5, 6]
    x = small((1, 3, 5, 7))
    assert_allclose(theirs.predict(x), ours.predict(x), rtol=1e-6)


@pytest.mark.parametrize("ending", ["model.json", "model.npz", "model.keras"])
def test_models_are_files(ending, tmp_path):
    if ending == "model.keras":
        pytest.importorskip("h5py")
    made, x = model(), small((1, 3, 5, 1))
    made.save(tmp_path / ending)
    again = convtranspose.load(tmp_path / ending)
    assert again.dialect is (KERAS3 if ending == "model.keras" else TFJS)
    assert_array_equal(again(x), made.apply(x))


# Operations


def test_operations_without_a_batch():
    x, kernel = small((2, 3, 4, 2)), small((3, 2, 5, 2), 1)
    y = tfjs.conv2dTranspose(x, kernel, [2, 8, 8, 5], [3, 2], "same")
    for one, whole in zip(x, y, strict=True):
        assert_array_equal(tfjs.conv2dTranspose(one, kernel, [8, 8, 5], [3, 2], "same"), whole)


@pytest.mark.parametrize("pad", [1, [[0, 0], [1, 1], [1, 2], [0, 0]]])
def test_pads_as_numbers_cut_the_beginning(pad):
    x, kernel = small((1, 3, 4, 2)), small((3, 3, 1, 2), 1)
    whole = tfjs.conv2dTranspose(x, kernel, (1, 7, 9, 1), 2, "valid")
    assert_array_equal(tfjs.conv2dTranspose(x, kernel, (1, 5, 7, 1), 2, pad), whole[:, 1:6, 1:8])


def test_what_lies_beyond_is_zero():
    y = tfjs.conv3dTranspose(
        np.ones((1, 2, 1, 1, 1)), np.ones((1, 1, 1, 1, 1)), (1, 7, 1, 1, 1), (2, 1, 1), "valid"
    )
    assert_array_equal(y.ravel(), [1, 0, 1, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.ones((2, 3))}, r"x must have 4 axes, or 3 without the batch"),
        ({"filter": np.ones((3, 3, 1))}, r"and filter 4\. Got"),
        ({"outputShape": (2, 5, 7, 1)}, r"outputShape must keep the batch of x"),
        ({"outputShape": (1, 5, 7, 3)}, r"end in the 1 output channels of filter"),
        ({"outputShape": (1, 5, 7)}, r"outputShape must"),
        ({"strides": 0}, r"strides must be at least 1"),
        ({"pad": "SAME"}, r"pad must be 'valid', 'same', a number or 4 pairs\. Got pad='SAME'"),
        ({"pad": -1}, r"pad must be at least 0"),
        ({"dimRoundingMode": "floor"}, r"dimRoundingMode goes with a number as pad"),
        ({"filter": np.ones((3, 3, 1, 3))}, r"kernel expects 3 input channels"),
    ],
)
def test_bad_operations(change, message):
    given = {
        "x": np.ones((1, 3, 4, 2)),
        "filter": np.ones((3, 3, 1, 2)),
        "outputShape": (1, 5, 7, 1),
        "strides": 2,
        "pad": "same",
    }
    with pytest.raises(ValueError, match=message):
        tfjs.conv2dTranspose(**{**given, **change})


def test_volumes_take_words_as_pad():
    with pytest.raises(ValueError, match=r"pad must be 'valid' or 'same'\. Got pad=1"):
        tfjs.conv3dTranspose(np.ones((1, 1, 1, 1, 1)), np.ones((1, 1, 1, 1, 1)), (1, 1, 1, 1, 1), 1, 1)
