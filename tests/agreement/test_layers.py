"""Layers and models against the installed Keras 3 and tf_keras, gradients against torch.

A configuration goes both ways: theirs makes our model, ours makes theirs, and all four compute the same.
"""

from __future__ import annotations

import importlib
import json
import os
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import convtranspose.layers
from convtranspose import tf_keras
from convtranspose.layers import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose

FACES = {"keras": convtranspose.layers, "tf_keras": tf_keras.generation("2.21").layers}


@pytest.fixture(scope="module", params=FACES)
def program(request):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    pytest.importorskip(request.param, reason=f"{request.param} is the other side", exc_type=ImportError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = importlib.import_module(request.param)
    found.backend.clear_session()
    convtranspose.layers.clear_session()
    return found, FACES[request.param]


def decoder(face):
    return face.Sequential(
        [
            face.Conv2DTranspose(
                5, (3, 2), 2, "same", activation="relu", kernel_regularizer="l2", input_shape=(5, 3, 2)
            ),
            face.Conv2DTranspose(
                3, 3, (1, 2), output_padding=(0, 1), activity_regularizer="l1", bias_constraint="max_norm"
            ),
            face.Conv2DTranspose(
                2, 2, 3, use_bias=False, activation="sigmoid", kernel_initializer="he_normal"
            ),
        ],
        name="decoder",
    )


def plain(config):
    return json.loads(json.dumps(config, default=str))


@pytest.mark.filterwarnings("ignore")
def test_models(program):
    keras, face = program
    theirs, ours = decoder(_names(keras)), decoder(face)
    assert plain(ours.get_config()) == plain(theirs.get_config())
    paths = [getattr(w, "path", w.name) for w in theirs.weights]
    assert [w.path for w in ours.weights] == paths
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    assert ours.output_shape == tuple(theirs.output_shape)
    assert ours.count_params() == theirs.count_params()
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(w.shape).astype("float32") for w in ours.weights]
    x = rng.standard_normal((3, 5, 3, 2)).astype("float32")
    ours_again = face.Sequential.from_config(plain(theirs.get_config()))
    theirs_again = keras.Sequential.from_config(plain(ours.get_config()))
    outputs = []
    for model in (ours, ours_again, theirs, theirs_again):
        model.set_weights(weights)
        outputs.append(np.asarray(model(x)))
        np.testing.assert_allclose(outputs[-1], outputs[0], rtol=1e-5, atol=1e-5)
    losses = [sorted(float(loss) for loss in model.losses) for model in (ours, theirs)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_layers_inside_a_layer_of_ones_own(program):
    keras, face = program

    def block(layers):
        class Block(layers.Layer):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.up = layers.Conv2DTranspose(3, 2, kernel_regularizer="l2", name="up")
                self.rest = [layers.BatchNormalization(name="n"), layers.Conv2DTranspose(2, 2, name="a")]

            def call(self, inputs):
                for layer in (self.up, *self.rest):
                    inputs = layer(inputs)
                return inputs

        return Block(name="block")

    theirs, ours = block(keras.layers), block(face)
    x = np.random.default_rng(0).standard_normal((3, 5, 3, 2)).astype("float32")
    theirs(x), ours(x)
    ours.set_weights(theirs.get_weights())
    assert [w.path for w in ours.weights] == [getattr(w, "path", w.name) for w in theirs.weights]
    assert len(ours.trainable_variables) == len(theirs.trainable_variables)
    assert ours.count_params() == theirs.count_params()
    if hasattr(theirs, "submodules"):
        assert [layer.name for layer in ours.submodules] == [layer.name for layer in theirs.submodules]
    np.testing.assert_allclose(ours(x), np.asarray(theirs(x)), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.losses, [float(loss) for loss in theirs.losses], rtol=1e-5)


def _names(keras):
    return SimpleNamespace(Sequential=keras.Sequential, Conv2DTranspose=keras.layers.Conv2DTranspose)


TORCH_CASES = [
    (Conv1DTranspose, (5,), 3, 2, "same", None, 1),
    (Conv1DTranspose, (5,), 4, 3, "valid", 2, 1),
    (Conv2DTranspose, (5, 3), 3, 2, "same", 1, 1),
    (Conv2DTranspose, (5, 3), 2, 1, "same", None, 3),
    (Conv2DTranspose, (5, 3), 2, 3, "valid", None, 1),
    (Conv3DTranspose, (3, 2, 5), 3, 2, "same", None, 1),
]


@pytest.mark.parametrize(("layer", "sizes", "k", "s", "padding", "op", "d"), TORCH_CASES)
@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_of_torch(layer, sizes, k, s, padding, op, d, groups):
    torch = pytest.importorskip("torch", reason="torch computes the gradients", exc_type=ImportError)
    rank = len(sizes)
    ours = layer(
        6,
        k,
        s,
        padding,
        op,
        "channels_first",
        d,
        activation="tanh",
        dtype="float64",
        groups=groups,
        bias_initializer="ones",
    )
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 4, *sizes))
    outputs, pullback = ours.vjp(x)
    weigh = rng.standard_normal(outputs.shape)
    gradients = pullback(weigh)
    # torch crops evenly; the whole output with room at the end, then our crop, says any padding.
    function = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    places = [torch.tensor(a, requires_grad=True) for a in (x, *ours.get_weights())]
    kernel = places[1].permute(rank + 1, rank, *range(rank))
    whole = function(places[0], kernel, places[2], stride=s, dilation=d, groups=groups)
    for axis in range(rank):
        axis_out = outputs.shape[2 + axis]
        full = whole.shape[2 + axis]
        lo = max(full - axis_out, 0) // 2 if padding == "same" else 0
        missing = max(axis_out + lo - full, 0)
        if missing:
            shape = [*whole.shape]
            shape[2 + axis] = missing
            bias = places[2].reshape(1, -1, *(1,) * rank).expand(shape)
            whole = torch.cat([whole, bias], dim=2 + axis)
        whole = whole.narrow(2 + axis, lo, axis_out)
    theirs = torch.tanh(whole)
    np.testing.assert_allclose(outputs, theirs.detach().numpy(), rtol=1e-12, atol=1e-13)
    theirs.backward(torch.tensor(weigh))
    found = (gradients.inputs, gradients.kernel, gradients.bias)
    for own, place in zip(found, places, strict=True):
        np.testing.assert_allclose(own, place.grad.numpy(), rtol=1e-10, atol=1e-12)
