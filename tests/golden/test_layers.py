"""Every recorded case of the layers of Keras 2 and Keras 3, replayed under the record of its source.

Compared are values and shapes; configurations with the order of their keys, names of weights, input
specifications; and of errors the step that raises, the class, and what the message is about.
"""

from __future__ import annotations

import re
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import convtranspose.layers
import golden_cases
from convtranspose import reference, tf_keras
from convtranspose.compat import v1
from convtranspose.dialects import TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21, Dialect
from convtranspose.layers import Layer, clear_session
from golden_cases import (
    Case,
    Difference,
    array_difference,
    cases,
    deviations,
    inputs,
    plain,
    resolve,
    unused_patterns,
    verdict,
)


def of_v1(dialect: Dialect) -> SimpleNamespace:
    made = (v1.layers.Conv2DTranspose, v1.layers.Conv3DTranspose)
    return SimpleNamespace(**{cls.__name__: cls.in_dialect(dialect) for cls in made})


FACES: dict[str, Any] = {
    "tf24_keras_layers": tf_keras.generation("2.4").layers,
    "tf29_keras_layers": tf_keras.generation("2.9").layers,
    "tfkeras221_keras_layers": tf_keras.generation("2.21").layers,
    "tf24_v1_layers": of_v1(TF_KERAS_2_4),
    "tf29_v1_layers": of_v1(TF_KERAS_2_9),
    "tfkeras221_v1_layers": of_v1(TF_KERAS_2_21),
    "keras3_layers_jax": convtranspose.layers,
    "keras3_layers_tensorflow": convtranspose.layers,
    "keras3_layers_torch": convtranspose.layers,
}

GISTS = [  # what a recorded message is about -> what ours must say
    (r"padding` argument must be a list|Causal padding", r"padding must be 'valid'"),
    (r"must be greater than output padding|strictly less than `strides`", r"output_padding must be smaller"),
    (r"`strides > 1` not supported", r"strides > 1 together with dilation_rate > 1"),
    (r"argument `kernel_size` cannot contain 0", r"kernel_size must not be 0"),
    (r"argument `strides` cannot contain", r"strides must be at least 1"),
    (r"argument for `filters`|argument `filters`", r"filters must be positive"),
    (r"`(\w+)` argument must be a tuple of (\d) integers. .*(not satisfy)", r"{1} must be at least \d"),
    (r"`(\w+)` argument must be a tuple of (\d) integers", r"{1} must be an int or a tuple of {2} ints"),
    (r"'<=' not supported|not all arguments converted|operand type\(s\) for %", r"must be an int"),
    (r"Dimension -1 must be >= 0", r"must not be negative"),
    (r"Dimension value must be integer|invalid dimension|for \*: 'NoneType'", r"the shape of weight"),
    (r"Cannot convert .* to EagerTensor|must be tuple of ints", r"strides must be an int"),
    (r"must be fully-defined|channel dimension of the inputs", r"must be known|must hold integers"),
    (r"'(<|>=)' not supported between", r"output_padding must"),
    (r"Expected an int, got a boolean|mixed types to Tensor", r"must be an int"),
    (r"evenly divisible by the number of groups", r"groups must divide the filters"),
    (r"`data_format` argument must be", r"data_format must be 'channels_last' or 'channels_first'"),
    (r"Unrecognized keyword|Keyword argument not understood", r"unknown keyword arguments"),
    (r"missing 1 required positional argument: '(\w+)'", r"missing 1 required positional argument: '{1}'"),
    (r"multiple values for keyword argument 'rank'", r"rank"),
    (r"[Uu]nknown (\w+)|interpret (\w+)", r"(Unknown|Could not interpret) (activation|{1}|{2})"),
    (r"Inputs should have rank (\d)", r"must have {1} axes"),
    (r"expected (min_ndim|ndim)=(\d), found ndim=(\d)", r"expected {1}={2}, found ndim={3}"),
    (r"expected axis (\S+) of input shape to have value (\d+)", r"expected axis {1} .* length {2},"),
    (r"with a weight list of length (\d+)", r"set_weights got {1} arrays"),
    (r"provided weight shape (\(.*\))", r"set_weights got {1}"),
    (r"[nN]ame` ?(argument to be|must be) a string", r"name must be a string"),
    (r"to a TensorFlow DType|Cannot convert .* to a mixed precision|`type_value`", r"dtype must be the name"),
    (r"Expected floating point type|must be a float dtype", r"must be of a floating-point type"),
    (r"Expected the 2 dimensions of the `dilation_rate`", r"dilation_rate must be the same on both axes"),
    (r"initializer passed is not valid", r"the shape of weight"),
    (
        r"to be a \w+ tensor but is a|Incompatible type conversion",
        r"inputs must be \w+, the type of the layer",
    ),
    (r"name for name_scope must be a string", r"name must be a string"),
    (r"requires arguments to have the same dtypes", r"inputs must be float32"),
    (r"Size of out_backprop doesn't match .* spatial_dim", r"output_padding must be at least 0|strides must"),
    (r"filter depth must be strictly", r"at least one channel"),
    (r"[Ss]tride must be|strides must be", r"strides must be at least 1"),
]


class Stage:
    """Remembers which step of a case is running."""

    def __init__(self) -> None:
        self.name = "init"


def tuples(value: Any) -> Any:
    """JSON lists as the tuples they stand for; dictionaries stay as they are."""
    return tuple(tuples(v) for v in value) if isinstance(value, list) else value


def construct(case: Case) -> Layer:
    cls = getattr(FACES[case["source"]], case["api"].rpartition(".")[2])
    made: Layer = cls(**{name: tuples(value) for name, value in case["args"].items()})
    return made


def gist_of(message: str) -> str:
    for recorded, ours in GISTS:
        found = re.search(recorded, message)
        if found:
            for number, group in enumerate(found.groups(), 1):
                ours = ours.replace(f"{{{number}}}", re.escape(group or "-"))
            return ours
    return f"no gist is known for the recorded message {message!r}"


def ones(shape: list[int], dtype: str) -> Any:
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    return np.ones(shape, dtype)


def described(layer: Layer) -> dict[str, Any]:
    """A layer in the words of the recorded values."""
    spec = layer.input_spec
    assert spec is not None
    found: dict[str, Any] = {name: getattr(layer, name) for name in DESCRIBED}
    found["dtype"] = str(layer.dtype)  # as recorded; layers of v1 may have none yet
    found["config"] = layer.get_config()
    suffixed = layer.dialect.named_by_path
    found["weights"] = [
        [w.name, *(() if suffixed else (w.path,)), w.shape, w.dtype.name] for w in layer.weights
    ]
    found["trainable_weights"] = [w.name for w in layer.trainable_weights]
    found["input_spec"] = {**vars(spec), "axes": spec.axes or {}}
    return found


DESCRIBED = (
    *("name", "built", "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate"),
    *("output_padding", "groups", "use_bias", "rank", "trainable"),
)


def run_steps(case: Case, stage: Stage) -> dict[str, Any]:
    """An argument check: construct, then the steps of the case; what the layer is like afterwards."""
    clear_session()
    steps = case.get("steps", {})
    found: dict[str, Any] = {}
    layer = construct(case)
    if "build" in steps:
        stage.name = "build"
        layer.build(tuple(steps["build"]))
    for name in ("call", "call2"):
        if name in steps:
            stage.name = name
            y = layer(ones(steps[name], steps.get("call_dtype", "float32")))
            if name == "call":
                found = {"output_shape": y.shape, "output_dtype": y.dtype.name}
    if "set_weights" in steps:
        stage.name = "set_weights"
        layer.set_weights([np.ones(shape, "float32") for shape in steps["set_weights"]])
    stage.name = "describe"
    found |= described(layer)
    if "build" in steps:
        shape = steps["build"]
        found["cos"] = layer.compute_output_shape(tuple(shape))
        found["cos_none"] = layer.compute_output_shape((*([None] * (len(shape) - 1)), shape[-1]))
    return found


def value_difference(found: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    found = plain(found)
    for name, value in wanted.items():
        if name not in found:
            return f"{name} is missing, recorded {value!r}"
        if found[name] != value:
            return f"{name} is {found[name]!r}, recorded {value!r}"
    if list(found["config"]) != list(wanted["config"]):
        return f"config has the order {list(found['config'])}, recorded {list(wanted['config'])}"
    return None


def array_case(case: Case, stage: Stage) -> str | None:
    """A computation: the output and the shape that was foretold."""
    given, expect = inputs(case), case["expect"]
    layer = construct(case)
    stage.name = "build"
    layer.build(given["x"].shape)
    stage.name = "set_weights"
    layer.set_weights([given[name] for name in ("kernel", "bias") if name in given])
    stage.name = "call"
    y = layer(given["x"])
    if expect["kind"] == "raises":
        return None
    wrong = array_difference(y, resolve(case, expect["output"]), expect.get("exact", False))
    foretold = layer.compute_output_shape(given["x"].shape)
    if wrong is None and list(foretold) != expect["compute_output_shape"]:
        wrong = f"foretold shape {foretold}, recorded {expect['compute_output_shape']}"
    return wrong


def difference(case: Case) -> Difference | None:
    """How our outcome differs from the recorded one, or ``None``."""
    expect, stage = case["expect"], Stage()

    def run() -> str | None:
        if "inputs" in case:
            return array_case(case, stage)
        found = run_steps(case, stage)
        return value_difference(found, expect["value"]) if expect["kind"] == "value" else None

    return golden_cases.difference(
        case,
        run,
        same=lambda _, wrong: wrong,
        gist=gist_of(expect["message"]) if expect["kind"] == "raises" else None,
        stage=lambda: stage.name,
    )


def kind(case: Case) -> str:
    return str(case["key"]).split("_")[0]


def _groups() -> list[Any]:
    """Cases of one source and kind together: thousands of tests of their own would cost more time."""
    made = []
    for source in FACES:
        for name, group in groupby(sorted(cases(source), key=kind), kind):
            made.append(pytest.param(list(group), id=f"{source}-{name}"))
    return made


@pytest.mark.parametrize("group", _groups())
def test_recorded(group: list[Case]) -> None:
    wrong = [found for case in group if (found := verdict(case, difference(case))) is not None]
    assert not wrong, f"{len(wrong)} of {len(group)}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("source", FACES)
def test_what_a_program_refuses_is_computed_by_the_definition(source: str) -> None:
    refused = [
        case
        for case in cases(source)
        if case["key"] in deviations(source) and "inputs" in case and case["expect"]["kind"] == "raises"
    ]
    for case in refused:
        given, options = inputs(case), dict(case["args"])
        if "ValueError" in str(difference(case)):  # refused here as well, for another reason
            continue
        layer = construct({**case, "args": {**options, "activation": None}})
        layer.build(given["x"].shape)
        layer.set_weights([given[name] for name in ("kernel", "bias") if name in given])
        wanted = reference.conv_transpose(
            given["x"],
            given["kernel"],
            layer.strides,
            layer.padding,
            layer.output_padding,
            layer.data_format,
            layer.dilation_rate,
            bias=given.get("bias"),
        )
        found = array_difference(layer(given["x"]), wanted.astype(given["x"].dtype), case["arith"] == "grid")
        assert found is None, f"{case['key']}: {found}"


@pytest.mark.parametrize("source", FACES)
def test_no_idle_patterns(source: str) -> None:
    assert unused_patterns(source) == []
