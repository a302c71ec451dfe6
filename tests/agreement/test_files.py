"""Files against the installed Keras 3, tf_keras and TensorFlow.js: theirs are read here, ours there."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import warnings

import numpy as np
import pytest

import convtranspose.initializers
import convtranspose.layers
import convtranspose.tf_keras
from convtranspose import load
from convtranspose.compat import v1
from convtranspose.dialects import KERAS3, TF_KERAS_2_21

pytest.importorskip("h5py", reason="Keras files are written with h5py")

DIALECTS = {"keras": KERAS3, "tf_keras": TF_KERAS_2_21}

# Chains of (class, arguments) with the shape of their inputs: every kind of layer, in both data formats where
# the frameworks compute it on a CPU.
CHAINS = {
    "vector": (
        (7,),
        [
            ("Dense", {"units": 30, "activation": "gelu"}),
            ("ActivityRegularization", {"l1": 0.1}),
            ("AlphaDropout", {"rate": 0.2}),
            ("BatchNormalization", {"center": False}),
            ("PReLU", {}),
            ("Reshape", {"target_shape": (5, -1)}),
            ("Conv1DTranspose", {"filters": 3, "kernel_size": 4, "strides": 3, "padding": "same"}),
            ("ReLU", {"max_value": 1.5, "negative_slope": 0.25, "threshold": 0.125}),
            ("SpatialDropout1D", {"rate": 0.2}),
            ("ZeroPadding1D", {"padding": (2, 1)}),
            ("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}),
            ("Cropping1D", {"cropping": (1, 0)}),
            ("UpSampling1D", {"size": 2}),
            ("Conv1D", {"filters": 2, "kernel_size": 2, "strides": 3, "activation": "tanh"}),
            ("Flatten", {}),
            ("Softmax", {}),
        ],
    ),
    "image": (
        (5, 7, 4),
        [
            ("Conv2DTranspose", {"filters": 6, "kernel_size": (3, 2), "strides": 2, "activation": "selu"}),
            ("BatchNormalization", {"scale": False, "epsilon": 0.01}),
            ("LeakyReLU", {}),
            ("SpatialDropout2D", {"rate": 0.2}),
            ("Conv2D", {"filters": 4, "kernel_size": (3, 4), "padding": "same", "strides": 2, "groups": 2}),
            ("ELU", {"alpha": 0.5}),
            ("ZeroPadding2D", {"padding": ((1, 0), (0, 2))}),
            ("UpSampling2D", {"size": (1, 2)}),
            ("Cropping2D", {"cropping": ((0, 1), (1, 0))}),
            ("Dropout", {"rate": 0.2}),
            ("Dense", {"units": 3}),
            ("Activation", {"activation": "softplus"}),
            ("GaussianNoise", {"stddev": 0.2}),
        ],
    ),
    "volume": (
        (2, 3, 2, 3),
        [
            ("Conv3DTranspose", {"filters": 2, "kernel_size": 2, "strides": (1, 2, 1), "padding": "same"}),
            ("PReLU", {"shared_axes": (1, 2, 3)}),
            ("SpatialDropout3D", {"rate": 0.2}),
            ("ZeroPadding3D", {"padding": 1}),
            ("Conv3D", {"filters": 3, "kernel_size": (2, 3, 2), "use_bias": False}),
            ("UpSampling3D", {"size": (2, 1, 1)}),
            ("Cropping3D", {"cropping": ((1, 0), (0, 1), (0, 0))}),
            ("GaussianDropout", {"rate": 0.2}),
            ("Identity", {}),
        ],
    ),
}


@pytest.fixture(scope="module", params=DIALECTS)
def program(request):
    """A framework."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    pytest.importorskip(request.param, reason=f"{request.param} is the other side", exc_type=ImportError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(request.param)


def theirs(keras, name, functional):
    shape, steps = CHAINS[name]
    layers = [getattr(keras.layers, kind)(**options) for kind, options in steps]
    if not functional:
        return randomized(keras.Sequential([keras.layers.InputLayer(shape), *layers], name="model"))
    inputs = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return randomized(keras.Model(inputs, x, name="model"))


def ours(dialect, name, functional):
    shape, steps = CHAINS[name]
    layers = convtranspose.layers
    first = layers.InputLayer.in_dialect(dialect)(batch_shape=(None, *shape))
    made = [getattr(layers, kind).in_dialect(dialect)(**options) for kind, options in steps]
    cls = layers.Functional if functional else layers.Sequential
    return randomized(cls.in_dialect(dialect)([first, *made], name="model"))


def randomized(model):
    random = np.random.default_rng(3)
    values = []
    for weight in model.weights:
        value = random.standard_normal(tuple(weight.shape)) / np.sqrt(max(np.prod(weight.shape[:-1]), 2))
        variance = "variance" in (getattr(weight, "path", None) or weight.name)
        values.append(np.abs(value) + 0.5 if variance else value)
    model.set_weights(values)
    return model


def agree(name, one, other, **options):
    shape, _ = CHAINS[name]
    inputs = np.random.default_rng(5).standard_normal((3, *shape)).astype("float32")
    found, wanted = np.asarray(one(inputs)), np.asarray(other(inputs, **options))
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.filterwarnings("ignore")  # the frameworks warn of their own formats
@pytest.mark.parametrize("functional", [False, True], ids=["sequential", "functional"])
@pytest.mark.parametrize("ending", [".keras", ".h5", ".weights.h5"])
@pytest.mark.parametrize("name", CHAINS)
def test_their_files_are_read_here(program, name, ending, functional, tmp_path):
    path = tmp_path / f"model{ending}"
    model = theirs(program, name, functional)
    if ending != ".weights.h5":
        model.save(path)
        own = load(path)
    else:
        model.save_weights(path)
        own = ours(DIALECTS[program.__name__], name, functional)
        own.load_weights(path)
    agree(name, own, model, training=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("functional", [False, True], ids=["sequential", "functional"])
@pytest.mark.parametrize("ending", [".keras", ".h5", ".weights.h5"])
@pytest.mark.parametrize("name", CHAINS)
def test_our_files_are_read_there(program, name, ending, functional, tmp_path):
    path = tmp_path / f"model{ending}"
    model = ours(DIALECTS[program.__name__], name, functional)
    if ending != ".weights.h5":
        model.save(path)
        other = program.models.load_model(path)
    else:
        model.save_weights(path)
        other = theirs(program, name, functional)
        other.load_weights(path)
    agree(name, model, other, training=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CHAINS)
def test_what_one_wrote_the_other_reads_after_us(program, name, tmp_path):
    """A file of one generation, loaded here and saved in the words of the other one."""
    other = {"keras": "tf_keras", "tf_keras": "keras"}[program.__name__]
    pytest.importorskip(other, reason=f"{other} is the third side", exc_type=ImportError)
    model = theirs(program, name, functional=True)
    model.save(tmp_path / "old.h5")
    load(tmp_path / "old.h5").save(tmp_path / "new.keras", dialect=DIALECTS[other].name)
    again = importlib.import_module(other).models.load_model(tmp_path / "new.keras")
    agree(name, lambda x: model(x, training=False), again, training=False)


@pytest.mark.filterwarnings("ignore")
def test_models_inside_models(program, tmp_path):
    layers = program.layers
    inside = program.Sequential(
        [layers.InputLayer((5, 4)), layers.Conv1DTranspose(3, 2, strides=2), layers.BatchNormalization()],
        name="inside",
    )
    inputs = program.Input((20,), name="latent")
    x = layers.Reshape((5, 4))(layers.Dense(20)(inputs))
    model = randomized(program.Model(inputs, layers.Conv1D(2, 3)(inside(x)), name="outside"))
    x = np.random.default_rng(5).standard_normal((3, 20)).astype("float32")
    wanted = np.asarray(model(x, training=False))
    for ending in (".keras", ".h5"):
        model.save(tmp_path / f"model{ending}")
        own = load(tmp_path / f"model{ending}")
        np.testing.assert_allclose(own(x), wanted, rtol=1e-5, atol=1e-5)
        own.save(tmp_path / f"again{ending}")
        other = program.models.load_model(tmp_path / f"again{ending}")
        np.testing.assert_allclose(other(x, training=False), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_trained_and_compiled_model(program, tmp_path):
    """The state of an optimizer is no obstacle."""
    model = theirs(program, "image", functional=False)
    model.compile("adam", "mse")
    shape, _ = CHAINS["image"]
    x = np.random.default_rng(5).standard_normal((4, *shape)).astype("float32")
    model.fit(x, np.asarray(model(x)) * 0.5, verbose=0)
    for ending in (".keras", ".h5"):
        model.save(tmp_path / f"model{ending}")
        agree("image", load(tmp_path / f"model{ending}"), model, training=False)


@pytest.mark.filterwarnings("ignore")
def test_corrected_fans_are_read_there(program, tmp_path):
    dialect, up = DIALECTS[program.__name__], convtranspose.layers.Conv2DTranspose
    initializer = convtranspose.initializers.HeNormal(fan="transposed")
    first = up.in_dialect(dialect)(50, 3, kernel_initializer=initializer, input_shape=(None, None, 40))
    model = convtranspose.layers.Sequential.in_dialect(dialect)([first])
    for ending in (".keras", ".h5"):
        model.save(tmp_path / f"model{ending}")
        other = program.models.load_model(tmp_path / f"model{ending}")
        drawn = np.asarray(other.layers[-1].kernel_initializer((3, 3, 50, 40)))
        assert abs(drawn.std() / (2 / (9 * 40)) ** 0.5 - 1) < 5 * (0.5 / drawn.size) ** 0.5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_layers_of_v1_are_read_there(program, ending, tmp_path):
    """TensorFlow writes no files of them; here they become files of layers of Keras."""
    with v1.Graph().as_default(), v1.variable_scope("scope", initializer="ones"):
        layers = [
            v1.layers.Conv2DTranspose(5, 3, 2, "same", bias_initializer=None, input_shape=(5, 7, 4)),
            v1.layers.Conv2DTranspose(3, (2, 1), kernel_regularizer="l2", activation="relu", name="up"),
        ]
        model = randomized(convtranspose.tf_keras.layers.Sequential(layers, name="model"))
        model.save(tmp_path / f"model{ending}", dialect=DIALECTS[program.__name__].name)
        other = program.models.load_model(tmp_path / f"model{ending}")
        agree("image", model, other, training=False)


# TensorFlow.js

READ = """
const fs = require('fs'), path = require('path');
console.warn = () => {};
const tf = require('@tensorflow/tfjs');
const [file, given, answer] = process.argv.slice(1);
const model = JSON.parse(fs.readFileSync(file));
const [group] = model.weightsManifest;
const weights = Buffer.concat(group.paths.map(p => fs.readFileSync(path.join(path.dirname(file), p))));
const artifacts = {...model, weightSpecs: group.weights, weightData: new Uint8Array(weights).buffer};
const {shape, data} = JSON.parse(fs.readFileSync(given));
tf.loadLayersModel(tf.io.fromMemory(artifacts)).then(loaded => {
  const y = loaded.predict(tf.tensor(data, shape));
  fs.writeFileSync(answer, JSON.stringify({shape: y.shape, data: Array.from(y.dataSync())}));
});
"""

TFJS_CHAINS = {
    "vector": [
        ("Dense", {"units": 30, "activation": "elu", "input_shape": (7,)}),
        ("BatchNormalization", {}),
        ("PReLU", {}),
        ("Reshape", {"target_shape": (5, 3, 2)}),
        ("Conv2DTranspose", {"filters": 3, "kernel_size": (4, 3), "strides": 3, "padding": "same"}),
        ("LeakyReLU", {"negative_slope": 0.2}),
        ("UpSampling2D", {"size": (1, 2)}),
        ("ZeroPadding2D", {"padding": ((1, 0), (0, 2))}),
        ("Conv2D", {"filters": 4, "kernel_size": (3, 5), "strides": 2, "activation": "tanh"}),
        ("Cropping2D", {"cropping": ((0, 1), (1, 0))}),
        ("Conv2DTranspose", {"filters": 2, "kernel_size": 2, "strides": 3, "activation": "sigmoid"}),
        ("Dropout", {"rate": 0.2}),
        ("Flatten", {}),
        ("Softmax", {}),
    ],
    "volume": [
        (
            "Conv3DTranspose",
            {"filters": 2, "kernel_size": 2, "strides": (1, 2, 1), "input_shape": (2, 3, 2, 3)},
        ),
        ("ReLU", {"max_value": 1.0}),
        ("Conv3D", {"filters": 3, "kernel_size": (2, 3, 1), "use_bias": False}),
        ("ELU", {}),
    ],
}


@pytest.mark.parametrize("dialect", [KERAS3, TF_KERAS_2_21], ids=lambda d: d.name)
@pytest.mark.parametrize("name", TFJS_CHAINS)
def test_our_files_are_read_by_tfjs(node, name, dialect, tmp_path):
    layers = convtranspose.layers
    made = [getattr(layers, kind).in_dialect(dialect)(**options) for kind, options in TFJS_CHAINS[name]]
    model = randomized(layers.Sequential.in_dialect(dialect)(made, name="model"))
    model.save(tmp_path / "model.json")
    inputs = np.random.default_rng(5).standard_normal((3, *model.input_shape[1:])).astype("float32")
    given, answer = tmp_path / "inputs.json", tmp_path / "outputs.json"
    given.write_text(json.dumps({"shape": inputs.shape, "data": inputs.ravel().tolist()}))
    subprocess.run([node, "-e", READ, str(tmp_path / "model.json"), str(given), str(answer)], check=True)
    found = json.loads(answer.read_text())
    wanted = model(inputs)
    outputs = np.array(found["data"]).reshape(found["shape"])
    np.testing.assert_allclose(outputs, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def test_their_files_come_out_as_they_went_in(node, tmp_path):
    """What TensorFlow.js wrote, read here and written again, computes the same there."""
    folder = os.path.join(os.path.dirname(__file__), "..", "data", "tfjs_decoder")
    with open(os.path.join(folder, "expected.json")) as file:
        record = json.load(file)
    load(folder).save(tmp_path / "model.json")
    given, answer = tmp_path / "inputs.json", tmp_path / "outputs.json"
    given.write_text(json.dumps(record["inputs"]))
    subprocess.run([node, "-e", READ, str(tmp_path / "model.json"), str(given), str(answer)], check=True)
    found = json.loads(answer.read_text())
    assert found["shape"] == record["outputs"]["shape"]
    np.testing.assert_allclose(found["data"], record["outputs"]["data"], rtol=1e-5, atol=1e-6)
