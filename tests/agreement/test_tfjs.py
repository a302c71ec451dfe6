"""The face of TensorFlow.js beside the installed one: a process of Node.js answers all questions."""

from __future__ import annotations

import itertools
import json
import subprocess
import warnings

import numpy as np
import pytest

from convtranspose import activations, constraints, initializers, regularizers, tfjs
from convtranspose.dialects import TFJS
from convtranspose.layers import BatchNormalization, clear_session

ANSWER = """
console.warn = () => {};
const tf = require('@tensorflow/tfjs');
const tensor = a => tf.tensor(a.data, a.shape);
const plain = t => ({shape: t.shape, data: Array.from(t.dataSync())});
const run = {
  layer({factory, config, weights, inputs}) {
    const layer = tf.layers[factory](config), x = tensor(inputs);
    layer.build(x.shape);
    if (weights.length) layer.setWeights(weights.map(tensor));
    return {config: layer.getConfig(), output: plain(layer.apply(x)), weights: layer.getWeights().map(plain),
            shape: layer.computeOutputShape([null, ...x.shape.slice(1)]), params: layer.countParams()};
  },
  model({layers, shape}) {
    const model = tf.sequential();
    for (const [factory, config] of layers) model.add(tf.layers[factory](config));
    return {weights: model.weights.map(w => w.name), config: model.getConfig().layers.length};
  },
  op({name, given, options}) { return {output: plain(tf[name](...given.map(tensor), ...options))}; },
};
const questions = JSON.parse(require('fs').readFileSync(0));
const answers = questions.map(q => {
  try { return run[q.kind](q); }
  catch (error) { return {error: error.constructor.name, message: error.message}; }
});
console.log(JSON.stringify(answers));
"""


def whole(shape, seed):
    return np.random.default_rng(seed).integers(-4, 5, shape).astype("float32")


def listed(array):
    return {"shape": array.shape, "data": array.ravel().tolist()}


def unlisted(answer):
    return np.array(answer["data"], "float32").reshape(answer["shape"])


def layer(factory, config, sizes, channels=3):
    rank = len(sizes)
    shape = (2, channels, *sizes) if config.get("dataFormat") == "channelsFirst" else (2, *sizes, channels)
    kernel = config["kernelSize"]
    kernel = [kernel] * rank if isinstance(kernel, int) else kernel
    weights = [whole((*kernel, config["filters"], channels), 1), whole((config["filters"],), 2)]
    return {
        "kind": "layer",
        "factory": factory,
        "config": config,
        "inputs": whole(shape, 3),
        "weights": weights[: 2 if config.get("useBias", True) else 1],
    }


def geometries():
    for padding, layout, (kernel, strides), bias in itertools.product(
        ("valid", "same"),
        ("channelsFirst", "channelsLast"),
        ((1, 1), (2, 2), (3, 2), (4, 2), ([5, 2], [3, 1]), ([2, 3], [3, 4]), ([3, 1], 5)),
        (True, False),
    ):
        config = {"filters": 2, "kernelSize": kernel, "strides": strides, "padding": padding}
        yield layer("conv2dTranspose", {**config, "dataFormat": layout, "useBias": bias}, (3, 5))
    for padding, layout, (kernel, strides) in itertools.product(
        ("valid", "same"), ("channelsFirst", "channelsLast"), ((2, 2), (3, [1, 2, 3]), ([2, 5, 3], [2, 3, 1]))
    ):
        config = {"filters": 2, "kernelSize": kernel, "strides": strides, "padding": padding}
        yield layer("conv3dTranspose", {**config, "dataFormat": layout}, (2, 3, 5))


def named(argument, names):
    for name in names:
        yield layer("conv2dTranspose", {"filters": 2, "kernelSize": 3, argument: name}, (3, 5))


OBJECTS = [
    ("kernelInitializer", {"className": "Constant", "config": {"value": 2}}),
    ("biasInitializer", {"className": "RandomNormal", "config": {"mean": 1, "stddev": 2, "seed": 3}}),
    ("kernelInitializer", {"className": "VarianceScaling", "config": {"mode": "fanOut", "scale": 2}}),
    ("kernelRegularizer", {"className": "L1L2", "config": {"l1": 0.5, "l2": 0.25}}),
    ("kernelConstraint", {"className": "MaxNorm", "config": {"maxValue": 3, "axis": 1}}),
    ("biasConstraint", {"className": "MinMaxNorm", "config": {"minValue": 1, "maxValue": 3, "rate": 0.5}}),
]

MODEL = [
    ["conv2dTranspose", {"filters": 2, "kernelSize": 3, "inputShape": [3, 5, 2], "name": "one"}],
    ["batchNormalization", {"name": "norm"}],
    ["conv2dTranspose", {"filters": 2, "kernelSize": 3, "name": "two", "trainable": False}],
    ["conv2dTranspose", {"filters": 2, "kernelSize": 3, "name": "three", "useBias": False}],
]

RANDOM = [
    *("randomNormal", "randomUniform", "truncatedNormal", "glorotNormal", "glorotUniform", "heNormal"),
    *("heUniform", "leCunNormal", "leCunUniform", "varianceScaling"),
]

ERRORS = [
    {"filters": 0},
    {"filters": "2"},
    {"kernelSize": [3, 3, 3]},
    {"kernelSize": "3"},
    {"kernelSize": []},
    {"strides": [1, 2, 3]},
    {"strides": [1.5, 2]},
    {"dilationRate": [1]},
    {"padding": "SAME"},
    {"padding": "causal"},
    {"dataFormat": "channels_first"},
    {"activation": "leakyRelu"},
    {"kernelInitializer": "glorot_uniform"},
    {"kernelRegularizer": "l2"},
    {"biasConstraint": "max_norm"},
    {"kernelConstraint": {"className": "Mine", "config": {}}},
    {"activityRegularizer": "l1l2"},
]


def questions():
    """Name -> question."""
    found = {"geometry": list(geometries())}
    found["activation"] = list(named("activation", activations.names(TFJS)))
    for argument, module in (
        ("kernelInitializer", initializers),
        ("kernelRegularizer", regularizers),
        ("kernelConstraint", constraints),
    ):
        found[argument] = list(named(argument, module.classes(TFJS)))
    wide = {"filters": 20, "kernelSize": 3}
    found["draws"] = [
        {
            **layer("conv2dTranspose", wide, (1, 1), 40),
            "config": {**wide, "kernelInitializer": n},
            "weights": [],
        }
        for n in RANDOM
    ]
    found["objects"] = [q for argument, value in OBJECTS for q in named(argument, [value])]
    found["errors"] = [
        {**layer("conv2dTranspose", {"filters": 2, "kernelSize": 3}, (3, 5)), "config": {**base, **change}}
        for base in [{"filters": 2, "kernelSize": 3}]
        for change in ERRORS
    ]
    found["model"] = [{"kind": "model", "layers": MODEL}]
    found["op"] = [
        {"kind": "op", "name": "conv2dTranspose", "given": [x, kernel], "options": [shape, strides, pad]}
        for x, kernel, shape, strides, pad in (
            (whole((2, 3, 5, 2), 1), whole((3, 2, 4, 2), 2), [2, 7, 10, 4], 2, "valid"),
            (whole((2, 3, 5, 2), 1), whole((3, 4, 4, 2), 2), [2, 6, 15, 4], [2, 3], "same"),
            (whole((3, 5, 2), 1), whole((2, 2, 4, 2), 2), [5, 9, 4], 2, "same"),
            (whole((1, 3, 3, 2), 1), whole((3, 3, 4, 2), 2), [1, 5, 5, 4], 2, 1),
        )
    ] + [
        {"kind": "op", "name": "conv3dTranspose", "given": [x, kernel], "options": [shape, strides, pad]}
        for x, kernel, shape, strides, pad in (
            (whole((1, 2, 3, 2, 2), 1), whole((3, 2, 2, 4, 2), 2), [1, 5, 6, 4, 4], 2, "valid"),
            (whole((2, 2, 3, 2), 1), whole((3, 2, 4, 3, 2), 2), [4, 4, 9, 3], [2, 2, 3], "same"),
        )
    ]
    return found


def encoded(question):
    arrays = {key: question[key] for key in ("weights", "given") if key in question}
    whole = {"inputs": listed(question["inputs"])} if "inputs" in question else {}
    return {**question, **whole, **{key: [listed(a) for a in value] for key, value in arrays.items()}}


@pytest.fixture(scope="module")
def answers(node):
    topics = questions()
    everything = [encoded(q) for group in topics.values() for q in group]
    done = subprocess.run(
        [node, "-e", ANSWER], input=json.dumps(everything), check=True, capture_output=True, text=True
    )
    found = iter(json.loads(done.stdout.splitlines()[-1]))
    return {topic: [(q, next(found)) for q in group] for topic, group in topics.items()}


def made(question):
    clear_session()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(tfjs.layers, question["factory"])(question["config"])


def without_name(config):
    assert config["name"].startswith("conv")
    return {key: value for key, value in config.items() if key != "name"}


@pytest.mark.parametrize(
    "topic", ["geometry", "activation", "kernelRegularizer", "kernelConstraint", "objects"]
)
def test_layers(answers, topic):
    """Outputs, shapes, constrained weights and configurations, with the order of their keys."""
    for question, theirs in answers[topic]:
        about = question["config"]
        assert "error" not in theirs, f"{about}: {theirs}"
        ours = made(question)
        ours.build(question["inputs"].shape)
        ours.setWeights(question["weights"])
        outputs, wanted = ours.apply(question["inputs"]), unlisted(theirs["output"])
        if topic == "geometry":
            np.testing.assert_array_equal(outputs, wanted, err_msg=str(about))
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(outputs, wanted, rtol=1e-5, atol=1e-5 * scale, err_msg=str(about))
        for own, weight in zip(ours.getWeights(), theirs["weights"], strict=True):
            np.testing.assert_allclose(own, unlisted(weight), rtol=1e-6, atol=1e-6, err_msg=str(about))
        found = without_name(ours.getConfig())
        assert found == without_name(theirs["config"]), about
        assert list(found) == list(without_name(theirs["config"]))
        assert list(ours.computeOutputShape((None, *question["inputs"].shape[1:]))) == theirs["shape"]
        assert ours.countParams() == theirs["params"]


def outcome(question):
    """A layer after all steps, or the name of the error."""
    try:
        ours = made(question)
        ours.build(question["inputs"].shape)
        ours.setWeights(question["weights"])
        ours.apply(question["inputs"])
    except Exception as error:  # whatever it is
        return type(error).__name__
    return ours


def test_initializers(answers):
    """Every name that is known here is known there, and fails there where it fails here."""
    for question, theirs in answers["kernelInitializer"]:
        about, ours = question["config"], outcome(question)
        if isinstance(ours, str):
            assert theirs.get("error") is not None, f"{about}: {ours}"
            continue
        assert "error" not in theirs, f"{about}: {theirs}"
        assert without_name(ours.getConfig()) == without_name(theirs["config"]), about


def test_first_values_have_the_same_distribution(answers):
    for question, theirs in answers["draws"]:
        ours = made(question)
        ours.build(question["inputs"].shape)
        a, b = ours.getWeights()[0], unlisted(theirs["weights"][0])
        assert a.shape == b.shape
        # Five standard errors of two samples.
        assert abs(a.mean() - b.mean()) < 5 * b.std() * (2 / b.size) ** 0.5, question["config"]
        assert abs(a.std() / b.std() - 1) < 5 * (1 / b.size) ** 0.5, question["config"]


def test_errors(answers):
    for question, theirs in answers["errors"]:
        ours = outcome(question)
        wanted = {"Error": "ValueError"}.get(theirs.get("error"), theirs.get("error"))
        assert ours == wanted, f"{question['config']}: {ours}, {theirs}"


def test_the_order_of_weights_in_a_model(answers):
    [(_, theirs)] = answers["model"]
    made = {
        "conv2dTranspose": tfjs.layers.conv2dTranspose,
        "batchNormalization": lambda config: BatchNormalization.in_dialect(TFJS)(**config),
    }
    model = tfjs.sequential({"layers": [made[factory](config) for factory, config in MODEL]})
    assert [w.name for w in model.weights] == theirs["weights"]


def test_operations(answers):
    for question, theirs in answers["op"]:
        ours = getattr(tfjs, question["name"])(*question["given"], *question["options"])
        assert "error" not in theirs, theirs
        np.testing.assert_array_equal(ours, unlisted(theirs["output"]))
